INSERT INTO entry (account, amount) VALUES ('ada', 70), ('ben', 30);
