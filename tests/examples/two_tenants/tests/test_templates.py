"""Other things to begin with than the usual template."""

import psycopg
import pytest

import envkit
from ledger import balance, book, create

filled = envkit.lease_fixture("postgres", template="small")


def test_usual_template_has_the_schema(real_postgres):
    with real_postgres.connect() as db:
        assert balance(db, "ada") == 0


@pytest.mark.real_services(template="small")
def test_named_template_has_accounts_as_well(real_postgres):
    with real_postgres.connect() as db:
        assert balance(db, "ada") == 70


@pytest.mark.real_services(template="empty")
def test_new_tenant_gets_its_tables(real_postgres):
    with real_postgres.connect() as db:
        create(db)
        book(db, "ada", 1)
        assert balance(db, "ada") == 1


@pytest.mark.real_services(template="empty")
def test_empty_database_has_no_tables(real_postgres):
    with real_postgres.connect() as db, pytest.raises(psycopg.errors.UndefinedTable):
        balance(db, "ada")


def test_both_in_one_test(filled, real_postgres):
    with filled.connect() as source, real_postgres.connect() as target:
        assert (balance(source, "ben"), balance(target, "ben")) == (30, 0)
