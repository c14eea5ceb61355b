"""A database for a whole module: filled once, read by several tests."""

import pytest

import envkit
from ledger import balance, book

archive = envkit.lease_fixture("postgres", scope="module")


@pytest.fixture(scope="module")
def year(archive):
    """A connection to a database with a year's bookings."""
    with archive.connect(autocommit=True) as db:
        for month in range(1, 13):
            book(db, "ada", 10)
            book(db, "ben", month)
        yield db


def test_equal_bookings_add_up(year):
    assert balance(year, "ada") == 120


def test_growing_bookings_add_up(year):
    assert balance(year, "ben") == 78


def test_account_without_bookings_has_nothing(year, real_postgres):
    assert balance(year, "cleo") == 0
    with real_postgres.connect() as own:
        assert balance(own, "ada") == 0
