CREATE TABLE book (
    id serial PRIMARY KEY,
    title text NOT NULL UNIQUE
);

CREATE INDEX book_title_similar ON book USING gin (title gin_trgm_ops);
