"""What every service promises of a lease, on every backend that this machine has."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
import redis
from redis.exceptions import NoPermissionError

from envkit import api, config
from envkit.errors import ExtraMissing
from envkit.keeper.client import Client, connect
from envkit.model import SERVICES, BackendName, Lease, ServiceName, Settings

if TYPE_CHECKING:
    from tests.conftest import Engine


def _of_wheels(_: pytest.FixtureRequest) -> dict[str, str]:
    return {}


def _in_engine(request: pytest.FixtureRequest) -> dict[str, str]:
    request.getfixturevalue("images")
    engine: Engine = request.getfixturevalue("engine")
    return engine.environment


def _run_by_others(request: pytest.FixtureRequest) -> dict[str, str]:
    urls: dict[str, str] = request.getfixturevalue("foreign_urls")
    return urls


#: Backend to what finds it: skips saying what it lacks, or gives the variables that lead to it.
BACKENDS: dict[BackendName, Callable[[pytest.FixtureRequest], dict[str, str]]] = {
    "embedded": _of_wheels,
    "docker": _in_engine,
    "attach": _run_by_others,
}
# Redis is cheap as a process, so each lease has one of its own; elsewhere leases share one.
ON_OWN_REDIS: list[BackendName] = ["embedded"]
ON_SHARED_REDIS = [name for name in BACKENDS if name not in ON_OWN_REDIS]
# Servers of others have 16 databases unless told otherwise, and not all of those are empty.
LEASES_AT_ONCE: dict[BackendName, int] = {"docker": 30, "attach": 10}


def until_it_fails(do: Callable[[], object], error: type[Exception]) -> Exception:
    """What is released is removed in the background, and at once if nothing else is to be done."""
    limit = time.monotonic() + 10
    while True:
        try:
            do()
        except error as raised:
            return raised
        assert time.monotonic() < limit, "it can still be used"
        time.sleep(0.005)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[BackendName]:
    """Each backend, with an environment that leads to it."""
    chosen: BackendName = request.param
    with pytest.MonkeyPatch.context() as patch:
        for name, value in BACKENDS[chosen](request).items():
            patch.setenv(name, value)
        yield chosen


@pytest.fixture(scope="module")
def root(backend: BackendName, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that takes everything from the backend."""
    made = tmp_path_factory.mktemp(backend)
    (made / "envkit.toml").write_text(f'backend = "{backend}"\n')
    return made


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[Client]:
    """One keeper for all tests of a backend."""
    loaded = config.load(root)
    with connect(loaded.root, loaded.settings) as made:
        try:
            made.start(SERVICES)
        except ExtraMissing as error:
            pytest.skip(error.observed)
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
    gone = until_it_fails(lambda: names(leased, service), Exception)
    told = r"(?i)exist|refused|closed|reset|unknown|password|terminat"
    assert re.search(told, str(gone))


@pytest.mark.parametrize("service", SERVICES)
def test_wrong_password_is_refused(
    lease: Callable[..., api.Services], service: ServiceName
) -> None:
    endpoint = lease(service)[service].endpoint
    quoted = quote(endpoint.password, safe="")  # attached, it may be one that others have chosen
    assert quoted in endpoint.url
    wrong = msgspec.structs.replace(
        endpoint, password="wrong", url=endpoint.url.replace(quoted, "wrong")
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
    until_it_fails(lambda: connection.execute("SELECT 1"), psycopg.OperationalError)
    connection.close()


# -- Redis: a server for each lease, or a database of a shared one ---------------------------------

own_redis = pytest.mark.parametrize("backend", ON_OWN_REDIS, indirect=True, scope="module")
shared_redis = pytest.mark.parametrize("backend", ON_SHARED_REDIS, indirect=True, scope="module")


def listener_to_news(client: redis.Redis) -> Any:
    listener: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    listener.subscribe("news")
    listener.get_message(timeout=1)
    return listener


@own_redis
def test_redis_pubsub_and_flushall_stay_within_the_lease(
    lease: Callable[..., api.Services],
) -> None:
    one, two = (lease("redis").redis.client(decode_responses=True) for _ in range(2))
    two.set("mark", "ours")
    listener = listener_to_news(two)
    one.flushall()
    assert one.publish("news", "hello") == 0
    assert two.get("mark") == "ours"
    listener.close()


@shared_redis
def test_redis_pubsub_crosses_leases_that_share_a_server(
    lease: Callable[..., api.Services],
) -> None:
    one, two = (lease("redis").redis.client(decode_responses=True) for _ in range(2))
    listener = listener_to_news(two)
    assert one.publish("news", "hello") == 1
    listener.close()


@shared_redis
def test_redis_flushall_is_refused_where_it_would_reach_others(
    lease: Callable[..., api.Services],
) -> None:
    one, two = (lease("redis").redis.client(decode_responses=True) for _ in range(2))
    two.set("mark", "ours")
    with pytest.raises(NoPermissionError, match=r"(?i)no permissions"):
        one.flushall()
    assert two.get("mark") == "ours"


@shared_redis
def test_redis_flushdb_empties_the_lease_alone(lease: Callable[..., api.Services]) -> None:
    one, two = (lease("redis").redis.client(decode_responses=True) for _ in range(2))
    one.set("mark", "mine")
    two.set("mark", "ours")
    one.flushdb()
    assert (one.dbsize(), two.get("mark")) == (0, "ours")


@pytest.fixture
def neighbours(lease: Callable[..., api.Services]) -> tuple[redis.Redis, redis.Redis, str]:
    """A client of one lease with the key "mine", one of another with "ours", and its database."""
    one, two = lease("redis").redis, lease("redis").redis
    first, second = one.client(decode_responses=True), two.client(decode_responses=True)
    first.set("mine", "1")
    second.set("ours", "2")
    return first, second, two.database


# With {other} for the number of the other lease's database.
INTRUSIONS = [
    "SELECT {other}",
    "SELECT 0",
    "MOVE mine {other}",
    "COPY mine stolen DB {other}",
    "SWAPDB {own} {other}",
    "EVAL return(redis.call('SELECT',ARGV[1])) 0 {other}",
    "EVAL return(redis.call('MOVE',KEYS[1],ARGV[1])) 1 mine {other}",
    "EVAL return(redis.call('FLUSHALL')) 0",
    "ACL SETUSER default nopass",
    "CONFIG SET databases 1",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "SHUTDOWN NOSAVE",
]


@shared_redis
@pytest.mark.parametrize("command", INTRUSIONS)
def test_redis_lease_cannot_reach_beyond_its_database(
    neighbours: tuple[redis.Redis, redis.Redis, str], command: str
) -> None:
    first, second, other = neighbours
    own = str(first.connection_pool.connection_kwargs["db"])
    words = [word.format(own=own, other=other) for word in command.split(" ")]
    with pytest.raises(redis.ResponseError, match=r"(?i)no permissions|NOPERM|not allowed"):
        first.execute_command(*words)  # type: ignore[no-untyped-call]
    assert (first.keys(), second.keys()) == (["mine"], ["ours"])


@shared_redis
def test_redis_password_of_a_lease_opens_no_other_database(
    lease: Callable[..., api.Services],
) -> None:
    one, two = lease("redis").redis.endpoint, lease("redis").redis.endpoint
    url = one.url.removesuffix(f"/{one.database}") + f"/{two.database}"
    stranger = redis.Redis.from_url(url)
    with stranger, pytest.raises(redis.ResponseError, match=r"(?i)no permissions"):
        stranger.ping()


@shared_redis
def test_many_redis_leases_at_once_get_different_databases(
    client: Client, backend: BackendName
) -> None:
    many = LEASES_AT_ONCE[backend]
    with ThreadPoolExecutor(many) as pool:
        taken = list(pool.map(lambda _: client.take(["redis"]), range(many)))
    databases = {one.endpoints["redis"].database for one in taken}
    for one in taken:
        client.release(one.id)
    assert len(databases) == many
    assert "0" not in databases  # where the leases are written down


@shared_redis
def test_redis_lease_begins_empty_in_a_database_that_was_used_before(client: Client) -> None:
    # More than there are databases, so that each is used again.
    for _ in range(300):
        taken = client.take(["redis"])
        with redis.Redis.from_url(taken.endpoints["redis"].url) as connection:
            assert connection.dbsize() == 0
            connection.set("mark", "ours")
        client.release(taken.id)


def test_superuser_is_given_when_asked_for(
    backend: BackendName, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("superuser")
    (root / "envkit.toml").write_text(f'backend = "{backend}"\npostgres.superuser = true\n')
    with api.lease("postgres", root=root) as leased, leased.postgres.connect() as connection:
        row = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (True,)


def test_lease_names_its_backend(lease: Callable[..., api.Services], backend: BackendName) -> None:
    leased = lease(*SERVICES)
    assert {leased[service].endpoint.backend for service in SERVICES} == {backend}
