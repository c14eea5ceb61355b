"""Whatever happens to clients, builders, servers and the keeper: leases are alone and as templates.

TEST_EXAMPLES=60 TEST_STEPS=40 was run by hand, which takes 11 minutes on two busy cores, and finds
nothing any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from envkit.errors import EnvkitError, KeeperClosing, KeeperLost, TemplateFailed
from envkit.keeper.client import running
from envkit.model import SERVICES, Lease, ServiceName
from envkit.processes import start_time
from tests.conftest import Leftovers, Project
from tests.leases.conftest import CONFIGURATION
from tests.leases.holders import There
from tests.leases.using import User, ask_clickhouse, postgres, until

_EXAMPLES = int(os.environ.get("TEST_EXAMPLES", "4"))
_STEPS = int(os.environ.get("TEST_STEPS", "14"))

_POSTGRES = """\
CREATE TABLE items (id serial PRIMARY KEY, tag text NOT NULL);
CREATE TABLE kinds (name text);
INSERT INTO kinds VALUES ('{mark}');
"""
_CLICKHOUSE = """\
CREATE TABLE items (id UInt64, tag String) ENGINE = MergeTree ORDER BY id;
CREATE TABLE kinds (name String) ENGINE = MergeTree ORDER BY name;
INSERT INTO kinds VALUES ('{mark}');
"""
_SLOW = """\
import pathlib, sys
from tests.leases.using import User
user = User(pathlib.Path.cwd())
print("begun", flush=True)
user.take("postgres", "redis", "clickhouse")
print("done", flush=True)
sys.stdin.readline()
"""


class Life(RuleBasedStateMachine):
    """The life of a project's keeper, with servers of all three services."""

    clients: Bundle[User] = Bundle("clients")
    processes: Bundle[There] = Bundle("processes")

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="life-"))
        self.project = Project(self.place)
        self.leftovers = Leftovers()
        self.version = 0
        self.written = 0
        # Nobody's are those that were kept.
        self.held: dict[str, tuple[User | There | None, Lease]] = {}
        # Of the files, when a client looked at them.
        self.loaded: dict[User, int] = {}
        self.users: list[User] = []
        self.others: list[There] = []
        self.project.write("envkit.toml", CONFIGURATION)
        self.project.write("plain.sql", "CREATE TABLE plain (x int);\n")
        self.project.write("plain_clickhouse.sql", "CREATE TABLE plain (x UInt8) ENGINE = Log;\n")
        self._change()

    def _change(self) -> None:
        mark = f"v{self.version}"
        self.project.write("postgres.sql", _POSTGRES.format(mark=mark))
        self.project.write("clickhouse.sql", _CLICKHOUSE.format(mark=mark))
        self.project.write("seed.redis", f"SET mark {mark}\n")

    # -- who there is -------------------------------------------------------------------------

    @rule(target=clients)
    def connect(self) -> Any:
        if len(self.users) >= 4:
            return multiple()
        self.users.append(User(self.place))
        self._load(self.users[-1])
        return self.users[-1]

    def _load(self, client: User) -> None:
        client.reload()
        client.templates.wants(SERVICES)
        self.loaded[client] = self.version

    @rule(target=processes)
    def start_process(self) -> Any:
        if len(self.others) >= 2:
            return multiple()
        self.others.append(There(self.place))
        return self.others[-1]

    @rule(client=consumes(clients))
    def close(self, client: User) -> None:
        client.close()
        self._gone(client)
        self.users.remove(client)

    @rule(process=consumes(processes))
    def kill_process(self, process: There) -> None:
        process.kill()
        self._gone(process)
        self.others.remove(process)

    def _gone(self, owner: User | There | None) -> None:
        for name, (who, _) in list(self.held.items()):
            if who is owner:
                del self.held[name]

    # -- leases -------------------------------------------------------------------------------

    @rule(client=clients, template=st.sampled_from(["", "", "plain", "empty"]))
    def take(self, client: User, template: str) -> None:
        lease, refusal = None, ""
        try:
            lease = client.take(*SERVICES, template=template)
        except TemplateFailed as error:
            refusal = error.observed
        if lease is None:
            # A template that was lost with its server cannot be made of what the files are by now.
            assert "have changed since this run asked for it" in refusal
            assert self.loaded[client] < self.version
            self._load(client)
            return
        self._hold(client, lease, template, self.loaded[client])

    @rule(process=processes)
    def take_in_process(self, process: There) -> None:
        self._hold(process, process.take(), "", 0)

    @rule(client=clients, number=st.integers(0, 3))
    def warm(self, client: User, number: int) -> None:
        with contextlib.suppress(EnvkitError):
            client.client.warm(client.templates.wants(SERVICES), number)

    def _hold(self, owner: User | There, lease: Lease, template: str, oldest: int) -> None:
        for _, other in self.held.values():
            for service in SERVICES:
                one, two = lease.endpoints[service], other.endpoints[service]
                assert (one.port, one.database) != (two.port, two.database), (service, lease.id)
        _check_new(lease, template)
        if template == "":
            versions = {f"v{version}" for version in range(oldest, self.version + 1)}
            assert set(_marks(lease)) <= versions, (_marks(lease), versions)
        self.held[lease.id] = (owner, lease)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), service=st.sampled_from(SERVICES))
    def write(self, data: st.DataObject, service: ServiceName) -> None:
        _, lease = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        self.written += 1
        _write(lease, service, self.written)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def define(self, data: st.DataObject) -> None:
        _, lease = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        with postgres(lease.endpoints["postgres"]) as one:
            one.execute(
                "CREATE TABLE IF NOT EXISTS defined (x int); CREATE EXTENSION IF NOT EXISTS citext"
            )

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        owner, lease = self.held.pop(name)
        if owner is not None:
            owner.release(lease)

    @precondition(lambda self: any(isinstance(o, User) for o, _ in self.held.values()))
    @rule(data=st.data())
    def keep(self, data: st.DataObject) -> None:
        names = sorted(name for name, (o, _) in self.held.items() if isinstance(o, User))
        name = data.draw(st.sampled_from(names))
        owner, lease = self.held[name]
        assert isinstance(owner, User)
        owner.client.keep(lease.id)
        self.held[name] = (None, lease)

    # -- what goes wrong ----------------------------------------------------------------------

    @rule()
    def change_templates(self) -> None:
        self.version += 1
        self._change()

    @rule(client=clients)
    def reload(self, client: User) -> None:
        self._load(client)

    @rule(wait=st.floats(0, 0.4))
    def kill_builder(self, wait: float) -> None:
        """A process that builds templates of what the files are now is killed at some moment."""
        self.version += 1
        self._change()
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(
            [shutil.which("python") or "python", "-c", _SLOW],
            cwd=self.place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as builder:
            assert builder.stdout is not None
            builder.stdout.readline()
            time.sleep(wait)
            builder.kill()

    @rule(client=clients, service=st.sampled_from(SERVICES))
    def crash_server(self, client: User, service: ServiceName) -> None:
        (row,) = client.client.start([service])
        assert row.pid is not None
        os.kill(row.pid, signal.SIGKILL)
        assert until(lambda: start_time(row.pid or 0) is None)
        for name, (_, lease) in list(self.held.items()):
            if lease.endpoints[service].port == row.port:
                del self.held[name]
        time.sleep(0.05)  # until the keeper has heard of it

    @precondition(lambda self: self.users or self.others)
    @rule()
    def kill_keeper(self) -> None:
        for keeper in running(self.place):
            os.kill(keeper.pid, signal.SIGKILL)
        assert self.leftovers.wait_until_none(5) == []
        self._all_lost()

    @precondition(lambda self: self.users or self.others)
    @rule()
    def down(self) -> None:
        done = self.project.envkit("down")
        assert done.returncode == 0, done.stderr
        assert self.leftovers.wait_until_none(5) == []
        self._all_lost()

    def _all_lost(self) -> None:
        self.held.clear()
        for client in self.users:
            with contextlib.suppress(EnvkitError):
                client.client.status()
            assert client.client.closed
            again = User(self.place)
            client.client = again.client
            self._load(client)
        for process in self.others:
            process.kill()
            process.process = There(self.place).process

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def nobody_sees_anybody_else(self) -> None:
        for _, lease in self.held.values():
            for service, writers in _writers(lease).items():
                assert writers <= {lease.id}, (service, lease.id, writers)

    def teardown(self) -> None:
        try:
            log = ""
            if running(self.place):
                user = User(self.place)
                log = Path(user.client.status()["data"], "logs", "keeper.log").read_text()
                user.close()
            for process in self.others:
                process.close()
            for user in self.users:
                with contextlib.suppress(KeeperLost, KeeperClosing):
                    user.close()
            self.project.envkit("down")
            assert self.leftovers.wait_until_none(5) == []
            assert "Traceback" not in log, log
        finally:
            shutil.rmtree(self.place, ignore_errors=True)


def _marks(lease: Lease) -> list[str]:
    """Of the files that it was made from, on each service."""
    with postgres(lease.endpoints["postgres"]) as connection:
        row = connection.execute("SELECT name FROM kinds").fetchone()
        assert row is not None
    with redis.Redis.from_url(lease.endpoints["redis"].url, decode_responses=True) as client:
        mark = client.get("mark")
    return [row[0], str(mark), ask_clickhouse(lease.endpoints["clickhouse"], "SELECT * FROM kinds")]


def _write(lease: Lease, service: ServiceName, number: int) -> None:
    """Something that says whose it is."""
    endpoint = lease.endpoints[service]
    if service == "postgres":
        with postgres(endpoint) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS items (id serial, tag text);"
                f"INSERT INTO items (tag) VALUES ('{lease.id}')"
            )
    elif service == "redis":
        with redis.Redis.from_url(endpoint.url) as client:
            client.set(f"{lease.id}:{number}", number)
    else:
        columns = "(id UInt64, tag String) ENGINE = MergeTree ORDER BY id"
        ask_clickhouse(endpoint, f"CREATE TABLE IF NOT EXISTS items {columns}")
        ask_clickhouse(endpoint, f"INSERT INTO items VALUES ({number}, '{lease.id}')")


def _writers(lease: Lease) -> dict[ServiceName, set[str]]:
    """Which leases have written what there is."""
    with postgres(lease.endpoints["postgres"]) as connection:
        there = connection.execute("SELECT to_regclass('items') IS NOT NULL").fetchone()
        rows: list[Any] = []
        if there == (True,):
            rows = connection.execute("SELECT tag FROM items").fetchall()
    with redis.Redis.from_url(lease.endpoints["redis"].url, decode_responses=True) as client:
        keys = [key for key in client.scan_iter() if ":" in key]
    tags = ""
    if ask_clickhouse(lease.endpoints["clickhouse"], "EXISTS items") == "1":
        tags = ask_clickhouse(lease.endpoints["clickhouse"], "SELECT DISTINCT tag FROM items")
    return {
        "postgres": {tag for (tag,) in rows},
        "redis": {key.partition(":")[0] for key in keys},
        "clickhouse": set(tags.split()),
    }


def _check_new(lease: Lease, template: str) -> None:
    """Make sure that a lease holds what its template does, and nothing else."""
    assert _writers(lease) == {service: set() for service in SERVICES}
    tables = {"": "items kinds", "plain": "plain", "empty": ""}[template].split()
    with postgres(lease.endpoints["postgres"]) as connection:
        rows = connection.execute(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        assert [name for (name,) in rows] == tables
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
    there = ask_clickhouse(
        lease.endpoints["clickhouse"],
        "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name",
    )
    assert there.split() == tables
    with redis.Redis.from_url(lease.endpoints["redis"].url) as client:
        assert sorted(client.scan_iter()) == ([] if template == "empty" else [b"mark"])


def test_leases_are_alone_and_new_whatever_happens() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=_EXAMPLES,
            stateful_step_count=_STEPS,
            deadline=None,
            # What has happened once need not happen again at the same step.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
