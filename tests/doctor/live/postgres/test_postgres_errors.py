"""What a real driver raises in a test, as an exception and as text, leads to the same finding."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator

import psycopg
import pytest

from envkit.doctor.model import Facts, Finding, ServiceFacts
from envkit.doctor.symptoms import from_exception, from_text
from envkit.doctor.triage import findings_of
from tests.doctor.live.postgres.clusters import PASSWORD, Cluster


def raised(provoke: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what is asked
        provoke()
    return caught.value


def found(error: Exception, facts: Facts | None = None) -> Finding:
    """The first finding; the exception's text alone must lead to the same slug."""
    whole = findings_of(from_exception(error), facts or Facts())
    text = "".join(traceback.format_exception(error))
    read = findings_of(from_text(text), Facts())
    assert [one.slug for one in whole[:1]] == [one.slug for one in read[:1]], text
    assert whole, text
    return whole[0]


def planned(server: Cluster) -> Facts:
    place = ServiceFacts(host="127.0.0.1", port=server.port, user="postgres")
    return Facts(services={"postgres": place})


def follow(finding: Finding, server: Cluster) -> None:
    path = f"{server.installation.programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(finding.fix.command),
        env=os.environ | {"PATH": path, "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def session(server: Cluster) -> Iterator[psycopg.Connection[object]]:
    """As superuser; other sessions of the same test must not wait for it."""
    with server.connect() as opened:
        yield opened


@pytest.fixture
def database(server: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test's own."""
    name = f"of {request.node.name}"[:60]
    with server.connect() as opened:
        opened.execute(f'CREATE DATABASE "{name}"')
        yield name
        opened.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_template_in_use_is_found_and_its_command_mends_it(
    server: Cluster, session: psycopg.Connection[object], database: str
) -> None:
    with contextlib.closing(psycopg.connect(server.url(database=database))):
        error = raised(lambda: session.execute(f'CREATE DATABASE copy TEMPLATE "{database}"'))
        finding = found(error, planned(server))
        assert finding.slug == "pg.template.in-use"
        follow(finding, server)
        session.execute(f'CREATE DATABASE copy TEMPLATE "{database}"')
        session.execute("DROP DATABASE copy")


def test_database_in_use_is_found_and_its_command_mends_it(
    server: Cluster, session: psycopg.Connection[object], database: str
) -> None:
    with contextlib.closing(psycopg.connect(server.url(database=database))):
        error = raised(lambda: session.execute(f'DROP DATABASE "{database}"'))
        finding = found(error, planned(server))
        assert finding.slug == "pg.db.in-use"
        follow(finding, server)
        session.execute(f'DROP DATABASE "{database}"')


def test_database_that_exists_is_found(session: psycopg.Connection[object], database: str) -> None:
    error = raised(lambda: session.execute(f'CREATE DATABASE "{database}"'))
    assert found(error).slug == "pg.db.exists"


def test_session_that_was_ended_is_found(
    server: Cluster, session: psycopg.Connection[object]
) -> None:
    with contextlib.closing(server.connect()) as victim:
        session.execute("SELECT pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
        assert found(raised(lambda: victim.execute("SELECT 1"))).slug == "pg.state.killed"


def test_lock_that_another_session_holds_is_found(server: Cluster, database: str) -> None:
    url = server.url(database=database)
    with psycopg.connect(url) as holder, psycopg.connect(url) as waiting:
        holder.execute("CREATE TABLE t (a int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        waiting.execute("SET lock_timeout = 50")
        error = raised(lambda: waiting.execute("SELECT * FROM t"))
        assert found(error).slug == "pg.lock.timeout"


@pytest.mark.parametrize(
    ("statement", "slug"),
    [
        ("CREATE DATABASE mine", "pg.priv.denied"),
        ("CREATE TABLE public.mine (a int)", "pg.priv.denied"),
    ],
)
def test_right_that_the_role_does_not_have_is_found(
    server: Cluster, session: psycopg.Connection[object], statement: str, slug: str
) -> None:
    with contextlib.suppress(psycopg.errors.DuplicateObject):
        session.execute("CREATE ROLE modest LOGIN PASSWORD 'modest-pa55'")
    url = server.url(user="modest", password="modest-pa55")
    with psycopg.connect(url, autocommit=True) as other:
        assert found(raised(lambda: other.execute(statement))).slug == slug


@pytest.mark.parametrize(
    ("statement", "slug"),
    [
        ("SELECT * FROM users", "pg.schema.table-missing"),
        ("SELECT * FROM billing.users", "pg.schema.table-missing"),
        ("CREATE TABLE billing.users (a int)", "pg.schema.table-missing"),
        ("SELECT nix FROM pg_class", "app.schema-drift"),
        ("CREATE EXTENSION postgis", "pg.extension.missing"),
        ("LOAD 'timescaledb'", "pg.extension.missing"),
        ("BEGIN READ ONLY; CREATE TABLE t (a int)", "pg.role.readonly"),
        ("CREATE DATABASE copy TEMPLATE nowhere", "pg.db.missing"),
    ],
)
def test_statement_that_meets_what_is_not_there_is_found(
    server: Cluster, statement: str, slug: str
) -> None:
    with server.connect() as session:
        assert found(raised(lambda: session.execute(statement))).slug == slug


def test_mistake_in_a_statement_is_no_missing_table(
    session: psycopg.Connection[object],
) -> None:
    error = raised(lambda: session.execute("SELECT u.oid FROM pg_class"))
    assert isinstance(error, psycopg.errors.UndefinedTable)
    assert findings_of(from_exception(error), Facts()) == ()


@pytest.mark.parametrize(
    ("how", "slug"),
    [
        ({"password": "wr0ng"}, "pg.auth.password"),
        ({"password": None}, "pg.auth.password"),
        ({"dbname": "nowhere"}, "pg.db.missing"),
        ({"sslmode": "require"}, "pg.tls.unsupported"),
        ({"port": 1}, "net.refused"),
    ],
)
def test_connection_that_fails_is_found(server: Cluster, how: dict[str, object], slug: str) -> None:
    where: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "user": "postgres"}
    where |= {"password": PASSWORD, "dbname": "postgres", "passfile": "/nonexistent"}
    error = raised(lambda: psycopg.connect(**(where | how)))  # type: ignore[arg-type]  # mixed
    assert found(error).slug == slug


@pytest.mark.parametrize("password", ["first@canary", "canary%zz", "first/canary"])
def test_unescaped_password_is_found_and_not_shown(password: str) -> None:
    url = f"postgresql://u:{password}@localhost:1/db"
    finding = found(raised(lambda: psycopg.connect(url, connect_timeout=2)))
    assert finding.slug == "dsn.malformed"
    assert "canary" not in str(finding)


def test_connection_that_two_tasks_share_is_found(server: Cluster) -> None:
    """With libpq's own interface, which does not make the second one wait."""

    def both() -> None:
        with contextlib.closing(server.connect()) as session:
            session.pgconn.send_query(b"SELECT pg_sleep(0.2)")
            session.pgconn.send_query(b"SELECT 1")

    assert found(raised(both)).slug == "pg.conn.shared"


def test_port_that_accepts_and_hangs_up_is_no_postgres_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=accept, daemon=True).start()
        port = listener.getsockname()[1]
        error = raised(lambda: psycopg.connect(host="127.0.0.1", port=port, connect_timeout=5))
        listener.shutdown(socket.SHUT_RDWR)
    assert found(error).slug == "pg.state.init-race"
