"""Several databases in one test."""

import envkit
from ledger import balance, book, move

# Each is a fixture, and each has a database of its own.
north = envkit.lease_fixture("postgres")
south = envkit.lease_fixture("postgres")


def test_account_moves_to_another_tenant(north, south):
    with north.connect() as here, south.connect() as there:
        book(here, "ada", 50)
        book(here, "ben", 20)
        move(here, there, "ada")
        assert (balance(here, "ada"), balance(there, "ada")) == (0, 50)
        assert (balance(here, "ben"), balance(there, "ben")) == (20, 0)


def test_tenants_do_not_share_anything(north, south, real_postgres):
    assert len({north.url, south.url, real_postgres.url}) == 3
    with north.connect() as db:
        book(db, "ada", 50)
    for other in (south, real_postgres):
        with other.connect() as db:
            assert balance(db, "ada") == 0
