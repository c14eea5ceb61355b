"""Faults of Redis, provoked on real servers: each is the first finding, under its own name."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.certificates import handshakes, make_certificate
from tests.doctor.live.visits import Visits, slugs_of
from tests.foreign import Foreign, run_redis

if TYPE_CHECKING:
    from tests.conftest import Project


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Foreign]:
    """A server without a password, for a fault that is made in it later."""
    with run_redis(tmp_path, password="") as found:
        yield found


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Foreign]:
    """A server with a password."""
    with run_redis(tmp_path) as found:
        yield found


def client_at(url: str, limit: float = 5) -> redis.Redis:
    """Answers within so many seconds, or not at all."""
    once = Retry(NoBackoff(), 0)
    client: redis.Redis = redis.Redis.from_url(url, socket_timeout=limit, retry=once)
    return client


@contextlib.contextmanager
def client_of(server: Foreign, database: int = 0) -> Iterator[redis.Redis]:
    with contextlib.closing(client_at(f"{server.url.removesuffix('/0')}/{database}")) as client:
        yield client


def said_to(client: redis.Redis, *words: str) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no types


def without_password(server: Foreign) -> str:
    return f"redis://{server.host}:{server.port}/0"


def until(met: Callable[[], object]) -> None:
    limit = time.monotonic() + 20
    while not met():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_no_password(project: Project, guarded: Foreign) -> None:
    url = without_password(guarded)
    assert Visits(project, "redis", url).first()["slug"] == "redis.auth.required"


def test_no_password_in_a_program(guarded: Foreign) -> None:
    with contextlib.closing(client_at(without_password(guarded))) as client:
        assert set(slugs_of(client.ping)) == {"redis.auth.required"}


def test_wrong_password(project: Project, guarded: Foreign) -> None:
    url = f"redis://:wrong@{guarded.host}:{guarded.port}/0"
    finding = Visits(project, "redis", url).first()
    assert finding["slug"] == "redis.auth.wrong"
    assert "wrong@" not in str(finding)


def test_wrong_user(project: Project, guarded: Foreign) -> None:
    url = guarded.url.replace("redis://:", "redis://nobody:")
    assert Visits(project, "redis", url).first()["slug"] == "redis.auth.wrong"


def test_wrong_password_in_a_program(guarded: Foreign) -> None:
    url = f"redis://:wrong@{guarded.host}:{guarded.port}/0"
    with contextlib.closing(client_at(url)) as client:
        assert set(slugs_of(client.ping)) == {"redis.auth.wrong"}


def test_user_without_the_rights_that_leases_need(project: Project, guarded: Foreign) -> None:
    with client_of(guarded) as admin:
        said_to(admin, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-flushdb")
    url = f"redis://app:secret@{guarded.host}:{guarded.port}/0"
    finding = Visits(project, "redis", url).first()
    assert finding["slug"] == "redis.acl.denied"
    assert finding["fix"]["text"].endswith("ACL SETUSER app +flushdb")


@pytest.mark.parametrize(
    "words",
    [
        ("SET", "app:a", "1"),
        ("GET", "other"),
        ("PUBLISH", "channel", "word"),
        ("EVAL", "return redis.call('get', 'other')", "0"),
    ],
    ids=["command", "key", "channel", "script"],
)
def test_denied_in_a_program(guarded: Foreign, words: tuple[str, ...]) -> None:
    rules = ("resetchannels", "~app:*", "+get", "+eval", "+publish", "+@connection")
    with client_of(guarded) as admin:
        said_to(admin, "ACL", "SETUSER", "app", "on", ">secret", *rules)
    url = f"redis://app:secret@{guarded.host}:{guarded.port}/0"
    with contextlib.closing(client_at(url)) as client:
        assert set(slugs_of(lambda: said_to(client, *words))) == {"redis.acl.denied"}


def test_loading(project: Project, tmp_path: Path) -> None:
    slow = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with run_redis(tmp_path, "--enable-debug-command", "yes", *slow, password="") as server:
        with client_of(server) as client:
            said_to(client, "DEBUG", "POPULATE", "5000")
        with socket.create_connection((server.host, server.port)) as reloading:
            reloading.sendall(b"DEBUG RELOAD\r\n")
            with client_of(server) as client:
                until(lambda: is_refused(client, redis.BusyLoadingError))
                assert set(slugs_of(client.ping)) == {"redis.state.loading"}
            assert Visits(project, "redis", server.url).first()["slug"] == "redis.state.loading"


def is_refused(client: redis.Redis, kind: type[redis.RedisError]) -> bool:
    try:
        client.ping()
    except kind:
        return True
    return False


def test_snapshots_that_cannot_be_saved(project: Project, tmp_path: Path) -> None:
    with run_redis(tmp_path, "--save", "3600 1", password="") as server:
        # Nothing can be renamed onto a directory, not even by root.
        (tmp_path / f"redis-{server.port}" / "dump.rdb").mkdir()
        with client_of(server) as client:
            client.set("a", "b")
            client.bgsave()
            until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
            assert set(slugs_of(lambda: client.set("a", "b"))) == {"redis.persist.misconf"}
        visits = Visits(project, "redis", server.url)
        finding = visits.first()
        assert finding["slug"] == "redis.persist.misconf"
        visits.assert_mended_by(finding)


def test_append_only_file_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    # Like Python, which ignores it, so that a file's limit is an error and not the end.
    with run_redis(tmp_path, "--appendonly", "yes", password="", restore_signals=False) as server:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        with client_of(server) as client:
            with contextlib.suppress(redis.RedisError):
                client.set("a", "b" * (1 << 17))
            until(lambda: client.info("persistence")["aof_last_write_status"] == "err")
            assert set(slugs_of(lambda: client.set("a", "b"))) == {"redis.aof.misconf"}
        visits = Visits(project, "redis", server.url)
        finding = visits.first()
        assert finding["slug"] == "redis.aof.misconf"
        visits.assert_mended_by(finding)


def test_maxmemory_reached(project: Project, server: Foreign) -> None:
    with client_of(server) as client:
        client.config_set("maxmemory", "1")
        assert set(slugs_of(lambda: client.set("a", "b"))) == {"redis.mem.oom"}
        with client.pipeline() as pipeline:
            pipeline.set("a", "b")
            assert set(slugs_of(pipeline.execute)) == {"redis.mem.oom"}
    visits = Visits(project, "redis", server.url)
    finding = visits.first()
    assert finding["slug"] == "redis.mem.oom"
    visits.assert_mended_by(finding)


def test_maxmemory_with_eviction_is_healthy(project: Project, server: Foreign) -> None:
    with client_of(server) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
    assert Visits(project, "redis", server.url).report()["findings"] == []


def test_read_only_replica(project: Project, server: Foreign) -> None:
    with client_of(server) as client:
        said_to(client, "REPLICAOF", "127.0.0.1", "1")
        assert set(slugs_of(lambda: client.set("a", "b"))) == {"redis.role.readonly"}
    visits = Visits(project, "redis", server.url)
    finding = visits.first()
    assert finding["slug"] == "redis.role.readonly"
    assert "127.0.0.1:1" in finding["title"]
    visits.assert_mended_by(finding)


def test_replica_that_lost_its_primary(project: Project, server: Foreign) -> None:
    with client_of(server) as client:
        client.config_set("replica-serve-stale-data", "no")
        said_to(client, "REPLICAOF", "127.0.0.1", "1")
        assert set(slugs_of(client.ping)) == {"redis.masterdown"}
    visits = Visits(project, "redis", server.url)
    report = visits.report()
    assert [one["slug"] for one in report["findings"]] == ["redis.masterdown"]
    visits.assert_mended_by(report["findings"][0])


def test_too_few_replicas(project: Project, server: Foreign) -> None:
    with client_of(server) as client:
        client.config_set("min-replicas-to-write", "1")
        assert set(slugs_of(lambda: client.set("a", "b"))) == {"redis.replicas"}
    visits = Visits(project, "redis", server.url)
    finding = visits.first()
    assert finding["slug"] == "redis.replicas"
    visits.assert_mended_by(finding)


def test_all_clients_taken(project: Project, server: Foreign) -> None:
    with client_of(server) as client:
        client.config_set("maxclients", "1")
        with client_of(server) as other:
            assert set(slugs_of(other.ping)) == {"redis.conn.maxclients"}
        finding = Visits(project, "redis", server.url).first()
    assert finding["slug"] == "redis.conn.maxclients"


def test_used_up_pool_of_a_program(server: Foreign) -> None:
    with contextlib.closing(redis.ConnectionPool(port=server.port, max_connections=1)) as pool:
        taken = pool.get_connection()
        assert set(slugs_of(pool.get_connection)) == {"redis.conn.pool"}
        pool.release(taken)


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(sock.getsockname()[0])


def test_protected_mode(project: Project, tmp_path: Path) -> None:
    address = own_address()
    with run_redis(tmp_path, "--bind", "0.0.0.0", password="") as server:
        url = f"redis://{address}:{server.port}/0"
        with contextlib.closing(client_at(url)) as client:
            assert set(slugs_of(client.ping)) == {"redis.net.protected"}
        visits = Visits(project, "redis", url, address)
        assert visits.first()["slug"] == "redis.net.protected"


@contextlib.contextmanager
def in_cluster_mode(directory: Path) -> Iterator[Foreign]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        bus = str(sock.getsockname()[1])  # its default is 10000 above the port, if there is one
    clustered = ("--cluster-enabled", "yes", "--cluster-port", bus, "--bind", "127.0.0.1")
    with run_redis(directory, *clustered, password="") as server:
        yield server


def test_cluster_that_nobody_has_formed(project: Project, tmp_path: Path) -> None:
    with in_cluster_mode(tmp_path) as server:
        with client_of(server) as client:
            assert set(slugs_of(lambda: client.set("a", "b"))) == {"redis.cluster.down"}
        visits = Visits(project, "redis", server.url)
        finding = visits.first()
        assert finding["slug"] == "redis.cluster.down"
        visits.type(finding["fix"]["command"])
        with client_of(server) as client:
            until(lambda: client.cluster("INFO")["cluster_state"] == "ok")
            assert client.set("a", "b")
        # It is whole now, but has no databases for tests.
        assert visits.first()["slug"] == "redis.databases.few"


def bus_of(client: redis.Redis) -> str:
    return str(client.config_get("cluster-port")["cluster-port"])


def test_keys_of_another_node_and_of_other_slots(tmp_path: Path) -> None:
    with in_cluster_mode(tmp_path) as server, client_of(server) as client:
        said_to(client, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        until(lambda: client.cluster("INFO")["cluster_state"] == "ok")
        assert set(slugs_of(lambda: client.mset({"a": "1", "b": "2"}))) == {
            "redis.cluster.crossslot"
        }
        with in_cluster_mode(tmp_path) as other, client_of(other) as second:
            said_to(second, "CLUSTER", "MEET", "127.0.0.1", str(server.port), bus_of(client))
            until(lambda: second.cluster("INFO")["cluster_slots_assigned"] == "16384")
            until(lambda: second.cluster("INFO")["cluster_state"] == "ok")
            assert set(slugs_of(lambda: second.get("a"))) == {"redis.cluster.moved"}


def test_cluster_client_of_a_single_server(server: Foreign) -> None:
    found = slugs_of(lambda: redis.RedisCluster(host=server.host, port=server.port))
    assert set(found) == {"redis.cluster.disabled"}


def test_script_without_an_end(project: Project, server: Foreign) -> None:
    with client_of(server) as client, socket.create_connection((server.host, server.port)) as loop:
        client.config_set("busy-reply-threshold", "20")
        loop.sendall(b"EVAL 'while true do end' 0\r\n")
        until(lambda: is_refused(client, redis.ResponseError))
        assert set(slugs_of(client.ping)) == {"redis.busy"}
        visits = Visits(project, "redis", server.url)
        finding = visits.first()
        assert finding["slug"] == "redis.busy"
        visits.type(finding["fix"]["command"])
        until(lambda: not is_refused(client, redis.ResponseError))
        assert visits.report()["findings"] == []


def test_database_that_is_not_there(project: Project, server: Foreign) -> None:
    url = server.url.removesuffix("/0") + "/99"
    assert Visits(project, "redis", url).first()["slug"] == "redis.db.missing"
    with client_of(server, 99) as client:
        assert set(slugs_of(lambda: client.get("a"))) == {"redis.db.missing"}


def test_single_database(project: Project, tmp_path: Path) -> None:
    with run_redis(tmp_path, "--databases", "1", password="") as server:
        assert Visits(project, "redis", server.url).first()["slug"] == "redis.databases.few"


def test_paused_server_is_not_checked(project: Project, server: Foreign) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        report = Visits(project, "redis", server.url).report()
        with contextlib.closing(client_at(server.url, 0.2)) as client:
            assert set(slugs_of(client.ping)) == {"net.timeout"}
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert report["findings"][0]["slug"] == "net.timeout"
    assert report["status"] == "incomplete"


def test_killed_server(project: Project, tmp_path: Path) -> None:
    with run_redis(tmp_path, password="") as server:
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not is_open(server.port))
        assert Visits(project, "redis", server.url).first()["slug"] == "net.refused"
        with client_of(server) as client:
            assert set(slugs_of(client.ping)) == {"net.refused"}


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_postgres_at_the_port(project: Project, foreign_postgres: Foreign) -> None:
    visits = Visits(project, "redis", f"redis://127.0.0.1:{foreign_postgres.port}/0")
    finding = visits.first()
    assert finding["slug"] == "redis.protocol.mismatch"
    assert finding["title"].endswith("is no Redis but Postgres")


def test_clickhouse_at_the_port(project: Project, foreign_clickhouse: Foreign) -> None:
    visits = Visits(project, "redis", f"redis://127.0.0.1:{foreign_clickhouse.port}/0")
    finding = visits.first()
    assert finding["slug"] == "redis.protocol.mismatch"
    assert "ClickHouse's HTTP interface" in finding["title"]


def test_tls_asked_of_a_plain_port(project: Project, server: Foreign) -> None:
    visits = Visits(project, "redis", server.url.replace("redis://", "rediss://"))
    finding = visits.first()
    assert finding["slug"] == "redis.tls.mismatch"
    assert finding["fix"]["text"].endswith("with redis://")


def test_port_that_speaks_tls(project: Project, tmp_path: Path) -> None:
    with handshakes(make_certificate(tmp_path)) as port:
        finding = Visits(project, "redis", f"redis://127.0.0.1:{port}/0").first()
    assert finding["slug"] == "redis.tls.mismatch"
    assert finding["fix"]["text"].endswith("with rediss://")


def test_certificate_that_nobody_vouches_for(project: Project, tmp_path: Path) -> None:
    with handshakes(make_certificate(tmp_path)) as port:
        visits = Visits(project, "redis", f"rediss://127.0.0.1:{port}/0")
        report = visits.report()
    assert report["findings"][0]["slug"] == "net.tls.certificate"
    assert report["status"] == "problems"
    assert "?ssl_ca_certs=FILE" in report["findings"][0]["fix"]["text"]
