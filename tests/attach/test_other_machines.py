"""Runs of other machines on the same servers: left alone unless they are proven dead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest
import redis

from envkit import dsn
from envkit.keeper.attached import remove_dead
from envkit.model import SERVICES, ServiceName, Settings
from envkit.owner import Owner
from envkit.services import attached
from envkit.services.attached import postgres as attached_postgres
from envkit.services.spec import Address, Namespace
from tests.attach.world import in_the_end, numbered

if TYPE_CHECKING:
    from tests.foreign import Foreign


def elsewhere() -> Owner:
    """As a keeper on another machine calls itself."""
    return msgspec.structs.replace(
        Owner.this_process(), boot="another", machine="another", born=int(time.time()) - 7200
    )


def reached(service: ServiceName, server: Foreign, owner: Owner) -> Address:
    target = dsn.read(service, server.url, "the test")
    return attached.load(service).address(target, owner.run)


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
        yield address, kind.create(address, name, settings, owner.text, None)
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
