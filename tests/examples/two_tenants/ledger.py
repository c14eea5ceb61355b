"""Who has how much; each tenant has a database of its own."""

from pathlib import Path

import psycopg

SCHEMA = Path(__file__).parent / "db" / "schema.sql"


def create(db: psycopg.Connection) -> None:
    """Make the tables of a new tenant."""
    db.execute(SCHEMA.read_text())


def book(db: psycopg.Connection, account: str, amount: int) -> None:
    """Add to an account, or take from it."""
    db.execute("INSERT INTO entry (account, amount) VALUES (%s, %s)", [account, amount])


def balance(db: psycopg.Connection, account: str) -> int:
    """What an account has."""
    sql = "SELECT coalesce(sum(amount), 0) FROM entry WHERE account = %s"
    return db.execute(sql, [account]).fetchone()[0]


def move(source: psycopg.Connection, target: psycopg.Connection, account: str) -> None:
    """Take an account with all that it has to another tenant."""
    with source.transaction(), target.transaction():
        book(target, account, balance(source, account))
        source.execute("DELETE FROM entry WHERE account = %s", [account])
