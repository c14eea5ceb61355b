"""What every service promises of a lease, on every backend that this machine has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from envkit import api, config
from envkit.keeper.client import Client, connect
from envkit.model import SERVICES, Lease, ServiceName, Settings

Write = Callable[[Any], None]
Read = Callable[[Any], object]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One keeper for the whole module, with a project of its own."""
    root = tmp_path_factory.mktemp("contract")
    (root / "envkit.toml").write_text("")
    loaded = config.load(root)
    with connect(loaded.root, loaded.settings) as made:
        yield made


@pytest.fixture
def lease(client: Client) -> Iterator[Callable[..., api.Services]]:
    held: list[api.Services] = []

    def take(*services: ServiceName) -> api.Services:
        held.append(api.Services(client.take(services), Settings()))
        return held[-1]

    yield take
    for one in held:
        one.close()
        client.release(one.lease_id)


def write(leased: api.Services, service: ServiceName) -> None:
    if service == "postgres":
        with leased.postgres.connect() as connection:
            connection.execute("CREATE TABLE mark (word text)")
            connection.execute("INSERT INTO mark VALUES ('ours')")
    elif service == "redis":
        leased.redis.client().set("mark", "ours")
    else:
        made = leased.clickhouse.client()
        made.command("CREATE TABLE mark (word String) ENGINE = MergeTree ORDER BY word")
        made.insert("mark", [["ours"]], column_names=["word"])


def names(leased: api.Services, service: ServiceName) -> set[str]:
    """What is there, by name."""
    if service == "postgres":
        with leased.postgres.connect() as connection:
            rows = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
        return {row[0] for row in rows}
    if service == "redis":
        return set(map(str, leased.redis.client(decode_responses=True).scan_iter()))
    return {row[0] for row in leased.clickhouse.client().query("SHOW TABLES").result_rows}


@pytest.mark.parametrize("service", SERVICES)
def test_lease_begins_empty(lease: Callable[..., api.Services], service: ServiceName) -> None:
    write(lease(service), service)
    assert names(lease(service), service) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_written_can_be_read(
    lease: Callable[..., api.Services], service: ServiceName
) -> None:
    leased = lease(service)
    write(leased, service)
    assert names(leased, service) == {"mark"}


@pytest.mark.parametrize("service", SERVICES)
def test_two_leases_at_once_do_not_see_each_other(
    lease: Callable[..., api.Services], service: ServiceName
) -> None:
    one, two = lease(service), lease(service)
    write(one, service)
    write(two, service)
    assert one[service].url != two[service].url
    assert names(one, service) == names(two, service) == {"mark"}


@pytest.mark.parametrize("service", SERVICES)
def test_released_lease_cannot_be_reached_any_more(client: Client, service: ServiceName) -> None:
    taken = client.take([service])
    leased = api.Services(taken, Settings())
    write(leased, service)
    client.release(taken.id)
    with pytest.raises(Exception, match=r"(?i)exist|refused|closed|unknown|password"):
        names(leased, service)


@pytest.mark.parametrize("service", SERVICES)
def test_wrong_password_is_refused(
    lease: Callable[..., api.Services], service: ServiceName
) -> None:
    endpoint = lease(service)[service].endpoint
    wrong = msgspec.structs.replace(
        endpoint, password="wrong", url=endpoint.url.replace(endpoint.password, "wrong")
    )
    stranger = api.Services(Lease(id="x", endpoints={service: wrong}), Settings())
    with pytest.raises(Exception, match=r"(?i)password|auth"):
        names(stranger, service)
    stranger.close()


@pytest.mark.parametrize("service", SERVICES)
def test_asynchronous_twin_reaches_the_same_data(
    lease: Callable[..., api.Services], service: ServiceName
) -> None:
    leased = lease(service)
    write(leased, service)

    async def read() -> object:
        if service == "postgres":
            async with await leased.postgres.aconnect() as connection:
                cursor = await connection.execute("SELECT word FROM mark")
                return (await cursor.fetchone() or [None])[0]
        if service == "redis":
            async with leased.redis.aclient(decode_responses=True) as made:
                return await made.get("mark")
        clickhouse = await leased.clickhouse.aclient()
        try:
            return (await clickhouse.query("SELECT word FROM mark")).result_rows[0][0]
        finally:
            await clickhouse.close()

    assert asyncio.run(read()) == "ours"


@pytest.mark.parametrize("service", SERVICES)
def test_environment_leads_to_the_lease(
    lease: Callable[..., api.Services], service: ServiceName
) -> None:
    leased = lease(service)
    assert leased[service].url in leased.env.values()


def test_postgres_lease_is_owned_by_an_ordinary_role(
    lease: Callable[..., api.Services],
) -> None:
    with lease("postgres").postgres.connect() as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, False)


def test_postgres_role_cannot_enter_another_lease(
    lease: Callable[..., api.Services],
) -> None:
    import psycopg

    one, two = lease("postgres").postgres, lease("postgres").postgres
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(one.url, dbname=two.database).close()


def test_postgres_lease_is_dropped_although_somebody_is_still_connected(client: Client) -> None:
    import psycopg

    taken = client.take(["postgres"])
    connection = psycopg.connect(taken.endpoints["postgres"].url)
    client.release(taken.id)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_redis_pubsub_and_flushall_stay_within_the_lease(
    lease: Callable[..., api.Services],
) -> None:
    one, two = (lease("redis").redis.client(decode_responses=True) for _ in range(2))
    two.set("mark", "ours")
    listener: Any = two.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    listener.subscribe("news")
    listener.get_message(timeout=1)
    one.flushall()
    assert one.publish("news", "hello") == 0
    assert two.get("mark") == "ours"
    listener.close()


def test_superuser_is_given_when_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("superuser")
    (root / "envkit.toml").write_text("[postgres]\nsuperuser = true\n")
    with api.lease("postgres", root=root) as leased, leased.postgres.connect() as connection:
        row = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (True,)
