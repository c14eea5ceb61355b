"""What the application keeps in Postgres."""

import psycopg


def create(url: str) -> None:
    """Make the tables where they are missing."""
    with psycopg.connect(url) as db:
        db.execute("CREATE TABLE IF NOT EXISTS link (name text PRIMARY KEY, target text NOT NULL)")
