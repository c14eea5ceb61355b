INSERT INTO book (title) VALUES
    ('A Room of One''s Own'),
    ('Middlemarch'),
    ('The Left Hand of Darkness');
