"""What whoever has a lease may do on a shared server: nothing to others, and nothing that stays."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.leases.using import User, databases, log_of, postgres, refused, roles, until

if TYPE_CHECKING:
    from tests.conftest import Project

SCHEMA = """\
CREATE TABLE items (id serial PRIMARY KEY, tag text);
CREATE TABLE kinds (name text PRIMARY KEY);
INSERT INTO kinds VALUES ('cat'), ('dog');
"""


@pytest.fixture
def one(project: Project, user: Callable[[], User]) -> User:
    """A client of a project with a template of Postgres and nothing kept ready."""
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\npool = 0\n')
    project.write("schema.sql", SCHEMA)
    return user()


def test_template_is_out_of_reach_for_who_has_a_copy(one: User) -> None:
    first = one.take("postgres").endpoints["postgres"]
    (template,) = (name for name in databases(first) if name.startswith("template_"))
    with postgres(first) as connection:
        for statement in (
            f"ALTER DATABASE {template} ALLOW_CONNECTIONS true",
            f"ALTER DATABASE {template} SET work_mem = '1MB'",
            f"DROP DATABASE {template}",
            f"REASSIGN OWNED BY {template} TO CURRENT_USER",
            f"DROP OWNED BY {template} CASCADE",
            f"DROP DATABASE {template}",
        ):
            with contextlib.suppress(psycopg.Error):  # in its own copy it may do some of it
                connection.execute(statement.encode())
    second = one.take("postgres").endpoints["postgres"]
    with postgres(second) as connection:
        assert connection.execute("SELECT count(*) FROM kinds").fetchone() == (2,)
        assert connection.execute("SHOW work_mem").fetchone() != ("1MB",)
    assert template in databases(second)


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_databases_that_all_share_let_no_lease_in(one: User, database: str) -> None:
    mine = one.take("postgres").endpoints["postgres"]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        postgres(mine, database)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {name} IS_TEMPLATE true",
        "ALTER DATABASE {name} CONNECTION LIMIT 0",
        "GRANT ALL ON DATABASE {name} TO PUBLIC",
        "ALTER ROLE CURRENT_USER SET search_path = nowhere",
        "ALTER ROLE CURRENT_USER PASSWORD 'other'",
        "COMMENT ON DATABASE {name} IS 'mine'",
        "SELECT lo_from_bytea(0, 'large')",
        "CREATE EXTENSION citext",
    ],
)
def test_whatever_a_user_did_to_it_a_lease_is_dropped(one: User, statement: str) -> None:
    watching = one.take("postgres").endpoints["postgres"]
    before = databases(watching), roles(watching)
    lease = one.take("postgres")
    mine = lease.endpoints["postgres"]
    with postgres(mine) as connection:
        assert not refused(connection, statement.format(name=mine.database))
    one.release(lease)
    assert until(lambda: (databases(watching), roles(watching)) == before), databases(watching)
    assert "Traceback" not in log_of(one.client)


def test_prepared_transactions_of_a_lease_end_with_it(
    project: Project, user: Callable[[], User]
) -> None:
    project.write(
        "envkit.toml", "[postgres]\npool = 0\nsettings = { max_prepared_transactions = 4 }\n"
    )
    one = user()
    watching = one.take("postgres").endpoints["postgres"]
    before = databases(watching)
    lease = one.take("postgres")
    with postgres(lease.endpoints["postgres"]) as connection:
        connection.execute("BEGIN; CREATE TABLE t (x int); PREPARE TRANSACTION 'mine'")
    one.release(lease)
    assert until(lambda: databases(watching) == before)
    with postgres(watching) as connection:
        assert connection.execute("SELECT gid FROM pg_prepared_xacts").fetchall() == []
    assert "Traceback" not in log_of(one.client)


def test_statistics_that_vacuum_and_analyze_leave_are_not_handed_on(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\n')
    project.write("schema.sql", SCHEMA)
    one = user()
    one.warm("postgres", 2)
    guesses = (
        "SELECT relname::text, reltuples, relpages, relallvisible FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    first = one.take("postgres")
    with postgres(first.endpoints["postgres"]) as connection:
        fresh = connection.execute(guesses).fetchall()
    one.release(first)
    for statement in ("ANALYZE items", "VACUUM kinds", "VACUUM") * 2:
        lease = one.take("postgres")
        with postgres(lease.endpoints["postgres"]) as connection:
            assert connection.execute(guesses).fetchall() == fresh
            connection.execute(statement.encode())
        one.release(lease)
    for _ in range(4):
        lease = one.take("postgres")
        with postgres(lease.endpoints["postgres"]) as connection:
            assert connection.execute(guesses).fetchall() == fresh


def test_program_that_goes_on_connecting_does_not_disturb_the_keeper(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\n')
    project.write("schema.sql", SCHEMA)
    one = user()
    one.warm("postgres", 2)
    over = threading.Event()

    def connect_forever(url: str) -> None:
        while not over.is_set():
            with contextlib.suppress(psycopg.Error), psycopg.connect(url):
                pass

    threads: list[threading.Thread] = []
    used: set[str] = set()
    try:
        for _ in range(6):
            lease = one.take("postgres")
            url = lease.endpoints["postgres"].url
            used.add(lease.endpoints["postgres"].database)
            threads += [threading.Thread(target=connect_forever, args=(url,)) for _ in range(2)]
            for thread in threads[-2:]:
                thread.start()
            one.release(lease)
        watching = one.take("postgres").endpoints["postgres"]
        assert until(lambda: not used & set(databases(watching)))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert "Traceback" not in log_of(one.client)
