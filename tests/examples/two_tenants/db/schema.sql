CREATE TABLE entry (
    id serial PRIMARY KEY,
    account text NOT NULL,
    amount integer NOT NULL
);
