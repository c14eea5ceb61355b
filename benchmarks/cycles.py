"""What a test does to get at its services and to be rid of them, over and over: ``cycles.py JOB``.

One client in a process of its own, as a worker of a test run is one. JOB is JSON (see `Job`). It
prints ``ready``, waits for a line, goes on for as long as JOB says, prints its samples as JSON, and
cleans up when its input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

# This directory would hide the package `docker` behind the benchmark of that name.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contender import ask_clickhouse
from benchmarks.ground import Sample, Samples, since
from envkit.model import ServiceName

if TYPE_CHECKING:
    import psycopg

__all__ = ["WAYS", "Job", "Server", "schema"]


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A Postgres server, and a superuser there for those who need one."""

    host: str
    port: int
    user: str
    password: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a client is to do.

    Attributes:
        way: A key of `WAYS`.
        number: Of the client, beside others.
        tables: Of the schema.
        schema: Its file.
        work: What a test does after its first query: ``idle``, ``writing`` or ``ddl``.
        work_s: How long that takes at least.
        rounds: How many tests there are; 0 goes by ``seconds``.
        seconds: After which no more begins.
        project: Of envkit.
        template: Of envkit.
        services: That are asked, of envkit.
        server: For the others.
    """

    way: str
    number: int = 0
    tables: int
    schema: str
    work: str = "idle"
    work_s: float = 0.0
    rounds: int = 0
    seconds: float = 0.0
    project: str = ""
    template: str = ""
    services: tuple[ServiceName, ...] = ("postgres",)
    server: Server | None = None


def schema(tables: int) -> str:
    """The statements that all ways prepare their databases with."""
    return "".join(
        f"CREATE TABLE t{number} (id serial PRIMARY KEY, label text NOT NULL,"
        " amount int NOT NULL DEFAULT 0, made timestamptz NOT NULL DEFAULT now());\n"
        f"CREATE INDEX ON t{number} (label);\n"
        for number in range(1, tables + 1)
    )


# -- what each test does --------------------------------------------------------------------------


def ask_postgres(connection: psycopg.Connection[Any], tables: int) -> None:
    """The first query, on the last table."""
    query = f"SELECT count(*) FROM t{tables}" if tables else "SELECT 0"
    assert connection.execute(query.encode()).fetchone() == (0,)


def work(connection: psycopg.Connection[Any], job: Job) -> None:
    """All that a test does after its first query."""
    begun = time.monotonic()
    if job.work == "writing":
        for number in range(max(1, job.tables - 2), job.tables + 1):
            connection.execute(f"INSERT INTO t{number} (label) VALUES ('written')".encode())
    elif job.work == "ddl":
        connection.execute("CREATE TABLE made_by_a_test (id serial PRIMARY KEY, label text)")
    connection.commit()
    time.sleep(max(0.0, job.work_s - since(begun) / 1000))


def set_in_redis(url: str) -> None:
    from redis import Redis

    with Redis.from_url(url, socket_timeout=5) as client:
        assert client.set("written", "1")


# -- the ways -------------------------------------------------------------------------------------


class Way(Protocol):
    """A way to get at a database for a test."""

    def once(self) -> Sample:
        """One test: milliseconds to the first answers, and those of the removal."""

    def close(self) -> None:
        """Remove what was made for all tests."""


class Envkit:
    """Leases of a keeper."""

    def __init__(self, job: Job) -> None:
        from envkit import config
        from envkit.keeper.client import connect
        from envkit.templates import Templates

        self._job = job
        loaded = config.load(Path(job.project))
        self._client = connect(loaded.root, loaded.settings)
        templates = Templates(loaded)
        self._wants = templates.wants(job.services, template=job.template)
        templates.ensure(self._client, self._wants)

    def once(self) -> Sample:
        import psycopg

        begun = time.monotonic()
        lease = self._client.take(self._wants)
        handed = since(begun)
        took = {"hand-out": handed}
        asks = {"redis": set_in_redis, "clickhouse": ask_clickhouse}
        asking = time.monotonic()
        with psycopg.connect(lease.endpoints["postgres"].url) as connection:
            ask_postgres(connection, self._job.tables)
            took["postgres"] = since(asking)
            for service in self._job.services:
                if service != "postgres":
                    asking = time.monotonic()
                    asks[service](lease.endpoints[service].url)
                    took[service] = since(asking)
            took["answers"] = since(begun)
            work(connection, self._job)
        releasing = time.monotonic()
        self._client.release(lease.id)
        return took | {"removal": since(releasing)}

    def close(self) -> None:
        self._client.close()


class PytestPostgresql:
    """Its own class, used as its fixtures postgresql_noproc and postgresql use it.

    Each worker of pytest-xdist has a template of its own there.
    """

    def __init__(self, job: Job) -> None:
        from functools import partial

        from pytest_postgresql.executors import NoopExecutor
        from pytest_postgresql.janitor import DatabaseJanitor

        assert job.server is not None
        self._job = job
        executor = NoopExecutor(**_libpq(job.server), dbname=f"tests_{job.number}", options="")
        self._janitor = partial(
            DatabaseJanitor, **_libpq(job.server), maintenance_dbname="postgres"
        )
        names = {"dbname": executor.dbname, "template_dbname": executor.template_dbname}
        self._names: dict[str, Any] = names
        self._stack = ExitStack()
        template = self._janitor(dbname=executor.template_dbname, as_template=True)
        self._stack.enter_context(template)
        template.load(Path(job.schema))

    def once(self) -> Sample:
        import psycopg

        assert self._job.server is not None
        begun = time.monotonic()
        with self._janitor(**self._names):
            connection = psycopg.connect(
                dbname=self._names["dbname"], **_libpq(self._job.server), options=""
            )
            ask_postgres(connection, self._job.tables)
            answered = since(begun)
            work(connection, self._job)
            removing = time.monotonic()
            connection.close()
        return {"answers": answered, "removal": since(removing)}

    def close(self) -> None:
        self._stack.close()


class Pgtestdb:
    """The statements of pgtestdb, without Go around them.

    https://github.com/peterldowns/pgtestdb/blob/main/testdb.go. There each test opens a connection
    to create its database with; here one serves all tests, which is to its advantage.
    """

    strategy = ""

    def __init__(self, job: Job) -> None:
        import psycopg

        assert job.server is not None
        self._job = job
        self._template = f"testdb_tpl_{type(self).__name__.lower()}_{job.tables}"
        self._base = psycopg.connect(**_libpq(job.server), dbname="postgres", autocommit=True)
        self._base.execute("SELECT pg_advisory_lock(1)")
        there = "SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate"
        if self._base.execute(there, [self._template]).fetchone() is None:
            self._base.execute(f'CREATE DATABASE "{self._template}"'.encode())
            with psycopg.connect(**_libpq(job.server), dbname=self._template) as connection:
                connection.execute(Path(job.schema).read_bytes())
            self._base.execute(f'ALTER DATABASE "{self._template}" IS_TEMPLATE true'.encode())
        self._base.execute("SELECT pg_advisory_unlock(1)")

    def once(self) -> Sample:
        import psycopg

        assert self._job.server is not None
        begun = time.monotonic()
        name = f"{self._template}_inst_{os.urandom(8).hex()}"
        self._base.execute(
            f'CREATE DATABASE "{name}" WITH TEMPLATE "{self._template}"'
            f' OWNER "{self._job.server.user}" {self.strategy}'.encode()
        )
        with psycopg.connect(**_libpq(self._job.server), dbname=name) as connection:
            ask_postgres(connection, self._job.tables)
            answered = since(begun)
            work(connection, self._job)
            removing = time.monotonic()
        self._base.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        return {"answers": answered, "removal": since(removing)}

    def close(self) -> None:
        """Its template stays, as there."""
        self._base.close()


class PgtestdbFileCopy(Pgtestdb):
    """The same with a strategy that pgtestdb does not use, and that is faster without fsync."""

    strategy = "STRATEGY file_copy"


class DropAndMigrate:
    """One database for all tests of a client, whose schema is made anew for each."""

    def __init__(self, job: Job) -> None:
        import psycopg

        assert job.server is not None
        self._job = job
        self._name = f"migrated_{job.number}"
        self._schema = Path(job.schema).read_bytes()
        self._base = psycopg.connect(**_libpq(job.server), dbname="postgres", autocommit=True)
        self._base.execute(f'CREATE DATABASE "{self._name}"'.encode())

    def once(self) -> Sample:
        import psycopg

        assert self._job.server is not None
        begun = time.monotonic()
        with psycopg.connect(**_libpq(self._job.server), dbname=self._name) as connection:
            connection.execute(b"CREATE SCHEMA IF NOT EXISTS public;" + self._schema)
            connection.commit()
            ask_postgres(connection, self._job.tables)
            answered = since(begun)
            work(connection, self._job)
            removing = time.monotonic()
            connection.execute("DROP SCHEMA public CASCADE")
        return {"answers": answered, "removal": since(removing)}

    def close(self) -> None:
        self._base.execute(f'DROP DATABASE "{self._name}" WITH (FORCE)'.encode())
        self._base.close()


def _libpq(server: Server) -> dict[str, Any]:
    return msgspec.structs.asdict(server)


WAYS: dict[str, Callable[[Job], Way]] = {
    "envkit": Envkit,
    "pytest-postgresql": PytestPostgresql,
    "pgtestdb": Pgtestdb,
    "pgtestdb, file_copy": PgtestdbFileCopy,
    "drop and migrate": DropAndMigrate,
}


# -- the process ----------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> None:
    job = msgspec.json.decode(arguments[0], type=Job)
    way = WAYS[job.way](job)
    samples: Samples = {}
    count = 0
    with contextlib.closing(way):
        way.once()  # imports, and a first connection
        print("ready", flush=True)
        sys.stdin.readline()
        until = time.monotonic() + job.seconds
        while count < job.rounds or time.monotonic() < until:
            for key, value in way.once().items():
                samples.setdefault(key, []).append(value)
            count += 1
        result = {"count": count, "ended": time.monotonic(), "samples": samples}
        print(json.dumps(result), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
