"""Faults of ClickHouse, provoked on real servers: each is the first finding, under its own name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pytest

from tests.certificates import handshakes, make_certificate
from tests.doctor.live.visits import Visits, slugs_of
from tests.foreign import Foreign, run_clickhouse

if TYPE_CHECKING:
    from tests.conftest import Project

# Where another ClickHouse is asked for a table: once, and not for long.
_ONCE = (
    "connections_with_failover_max_tries = 1, handshake_timeout_ms = 200, http_max_tries = 1, "
    "receive_timeout = 1"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Foreign]:
    """A server for one test, which pauses or kills it."""
    with run_clickhouse(tmp_path) as found:
        yield found


def ask(server: Foreign, statement: str, **how: Any) -> Callable[[], object]:
    """A program that connects and runs one statement."""

    def run() -> object:
        how_long = {"connect_timeout": 5, "send_receive_timeout": 10}
        client = clickhouse_connect.get_client(dsn=server.url, **(how_long | how))
        with contextlib.closing(client):
            return client.command(statement)

    return run


def test_wrong_password(project: Project, foreign_clickhouse: Foreign) -> None:
    url = f"http://boss:wr0ng-word@127.0.0.1:{foreign_clickhouse.port}/default"
    finding = Visits(project, "clickhouse", url).first()
    assert finding["slug"] == "ch.auth.failed"
    assert "wr0ng-word" not in str(finding)


def test_no_password(project: Project, foreign_clickhouse: Foreign) -> None:
    url = f"http://127.0.0.1:{foreign_clickhouse.port}"
    assert Visits(project, "clickhouse", url).first()["slug"] == "ch.auth.failed"


def test_wrong_password_in_a_program(foreign_clickhouse: Foreign) -> None:
    action = ask(foreign_clickhouse, "SELECT 1", password="wrong")
    assert set(slugs_of(action)) == {"ch.auth.failed"}


def test_missing_database(project: Project, foreign_clickhouse: Foreign) -> None:
    url = foreign_clickhouse.url.replace("/default", "/app_test")
    visits = Visits(project, "clickhouse", url)
    finding = visits.first()
    assert finding["slug"] == "ch.db.missing"
    try:
        visits.assert_mended_by(finding)
    finally:
        ask(foreign_clickhouse, "DROP DATABASE IF EXISTS app_test")()


def test_profile_that_only_reads(project: Project, tmp_path: Path) -> None:
    with run_clickhouse(tmp_path, readonly=2) as server:
        finding = Visits(project, "clickhouse", server.url).first()
    assert finding["slug"] == "ch.profile.readonly"


def test_paused_server_is_not_checked(project: Project, server: Foreign) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        report = Visits(project, "clickhouse", server.url).report()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert report["findings"][0]["slug"] == "net.timeout"
    assert report["status"] == "incomplete"


def test_killed_server(project: Project, server: Foreign) -> None:
    os.kill(server.pid, signal.SIGKILL)
    limit = time.monotonic() + 20
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < limit:
            socket.create_connection((server.host, server.port), 1).close()
    assert Visits(project, "clickhouse", server.url).first()["slug"] == "net.refused"
    assert set(slugs_of(ask(server, "SELECT 1"))) == {"net.refused"}


def test_redis_at_the_port(project: Project, foreign_redis: Foreign) -> None:
    url = f"http://127.0.0.1:{foreign_redis.port}/default"
    finding = Visits(project, "clickhouse", url).first()
    assert finding["slug"] == "ch.protocol.mismatch"
    assert finding["title"].endswith("is no ClickHouse but Redis")


def test_postgres_at_the_port(project: Project, foreign_postgres: Foreign) -> None:
    url = f"http://127.0.0.1:{foreign_postgres.port}/default"
    finding = Visits(project, "clickhouse", url).first()
    assert finding["slug"] == "ch.protocol.mismatch"
    assert finding["title"].endswith("is no ClickHouse but Postgres")


def test_tls_asked_of_a_plain_port(project: Project, foreign_clickhouse: Foreign) -> None:
    url = foreign_clickhouse.url.replace("http://", "https://")
    finding = Visits(project, "clickhouse", url).first()
    assert finding["slug"] == "ch.tls.mismatch"
    assert finding["fix"]["text"].endswith("with http://")
    action = ask(foreign_clickhouse, "SELECT 1", interface="https", verify=False)
    assert set(slugs_of(action)) == {"ch.tls.mismatch"}


def test_port_that_speaks_tls(project: Project, tmp_path: Path) -> None:
    with handshakes(make_certificate(tmp_path)) as port:
        finding = Visits(project, "clickhouse", f"http://127.0.0.1:{port}/default").first()
    assert finding["slug"] == "ch.tls.mismatch"
    assert finding["fix"]["text"].endswith("with https://")


def nothing_listens() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    ("slug", "statement"),
    [
        ("ch.db.missing", "SELECT * FROM nowhere.t"),
        ("ch.table.missing", "SELECT * FROM nowhere"),
        ("ch.profile.readonly", "CREATE DATABASE app SETTINGS readonly = 1"),
        (
            "ch.timeout.query",
            "SELECT sleepEachRow(1) FROM numbers(3)"
            " SETTINGS max_block_size = 1, max_execution_time = 0.2",
        ),
        (
            "ch.memory.limit",
            "SELECT length(groupArray(number)) FROM numbers(1e7)"
            " SETTINGS max_memory_usage = 1000000",
        ),
        # Wrapped three times by whoever passed it on.
        ("ch.refused", "SELECT * FROM remote('127.0.0.1:{nothing}', system.one) SETTINGS {once}"),
        # The native protocol, spoken to the HTTP port.
        (
            "ch.timeout.socket",
            "SELECT * FROM remote('127.0.0.1:{http}', system.one) SETTINGS {once}",
        ),
    ],
    ids=lambda text: text if text.startswith("ch.") else "",
)
def test_refused_statement_of_a_program(
    foreign_clickhouse: Foreign, slug: str, statement: str
) -> None:
    where = {"nothing": nothing_listens(), "http": foreign_clickhouse.port, "once": _ONCE}
    assert set(slugs_of(ask(foreign_clickhouse, statement.format(**where)))) == {slug}


@pytest.fixture
def table(foreign_clickhouse: Foreign) -> Iterator[str]:
    """Of a few parts that nobody merges, and more than two are too many."""
    name = f"parts_{os.getpid()}"
    made = (
        f"CREATE TABLE {name} (a Int) ENGINE = MergeTree ORDER BY a"
        " SETTINGS parts_to_delay_insert = 1, parts_to_throw_insert = 2",
        f"SYSTEM STOP MERGES {name}",
    )
    for statement in made:
        ask(foreign_clickhouse, statement)()
    yield name
    ask(foreign_clickhouse, f"DROP TABLE {name}")()


def test_row_by_row_insert_of_a_program(foreign_clickhouse: Foreign, table: str) -> None:
    def insert() -> None:
        for row in range(4):
            ask(foreign_clickhouse, f"INSERT INTO {table} SELECT {row}")()

    assert set(slugs_of(insert)) == {"ch.parts.too-many"}


def test_insert_of_a_program_into_a_full_disk(foreign_clickhouse: Foreign, table: str) -> None:
    more_than_there_is = 1 << 60
    insert = (
        f"INSERT INTO {table} SETTINGS min_free_disk_bytes_to_perform_insert = {more_than_there_is}"
        " SELECT 1"
    )
    assert set(slugs_of(ask(foreign_clickhouse, insert))) == {"ch.disk.full"}


def test_too_many_queries_of_a_program(foreign_clickhouse: Foreign) -> None:
    busy = ask(foreign_clickhouse, "SELECT sleepEachRow(1) FROM numbers(1)")
    thread = threading.Thread(target=busy)
    thread.start()
    one = ask(foreign_clickhouse, "SELECT 1 SETTINGS max_concurrent_queries_for_all_users = 1")

    def until_refused() -> None:
        while thread.is_alive():
            one()

    try:
        assert set(slugs_of(until_refused)) == {"ch.queries.too-many"}
    finally:
        thread.join()


_CONFIG = """\
<clickhouse>
  <logger><level>error</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http}</http_port><tcp_port>{native}</tcp_port>
  <path>{data}/</path><tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/files/</user_files_path>
  <format_schema_path>{data}/schemas/</format_schema_path>
  <mark_cache_size>5368709</mark_cache_size>
  <users_config>{data}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
</clickhouse>
"""
_USERS = """\
<clickhouse>
  <profiles><default></default></profiles><quotas><default></default></quotas>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota>
  </default></users>
</clickhouse>
"""


def test_http_to_the_native_port(project: Project, tmp_path: Path) -> None:
    """Only where there is a whole server: chdb has no native port."""
    program = shutil.which("clickhouse") or shutil.which("clickhouse-server")
    if program is None:
        pytest.skip("no ClickHouse server on PATH")
    http, native = nothing_listens(), nothing_listens()
    (tmp_path / "users.xml").write_text(_USERS)
    config = tmp_path / "config.xml"
    config.write_text(_CONFIG.format(http=http, native=native, data=tmp_path))
    words = [] if program.endswith("-server") else ["server"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words, f"--config-file={config}"], stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        limit = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", native), 1).close()
                break
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < limit
            time.sleep(0.05)
        url = f"http://127.0.0.1:{native}/default"
        finding = Visits(project, "clickhouse", url).first()
        assert finding["slug"] == "ch.port.http-on-native"
        assert str(http) in finding["fix"]["text"]
    finally:
        process.kill()
        process.wait(20)
