"""Servers for tests of services: a ClickHouse and a Postgres with databases, and Redis servers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envkit import dsn
from envkit.model import PostgresSettings, ServiceSettings
from envkit.owner import Owner
from envkit.services import attached
from envkit.services import postgres as postgres_service
from envkit.services.clickhouse import SPEC, query
from envkit.services.spec import Address, Namespace, Sealed
from tests.foreign import Foreign, run_clickhouse, run_postgres
from tests.services import own_postgres
from tests.services.own_redis import Own, Start, starting

OWNER = Owner.this_process().text


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The server, as one of our own: nothing of others is in it."""
    with run_clickhouse(tmp_path_factory.mktemp("clickhouse")) as running:
        yield Address(host=running.host, port=running.port, user="boss", password=running.password)


@pytest.fixture
def make(server: Address) -> Iterator[Callable[..., Namespace]]:
    """A function that makes a database, empty or of a template; all are dropped at the end."""
    made: list[Namespace] = []
    numbers = itertools.count(1)

    def create(sealed: Sealed | None = None) -> Namespace:
        name = f"lease_{next(numbers)}_{os.urandom(6).hex()}"
        made.append(SPEC.create(server, name, ServiceSettings(), OWNER, sealed))
        return made[-1]

    yield create
    for namespace in made:
        SPEC.drop(server, namespace)


@pytest.fixture
def sealed(server: Address, make: Callable[..., Namespace]) -> Iterator[Callable[[str], Sealed]]:
    """A function that makes a template of statements; all are removed at the end."""
    from envkit.services.clickhouse_statements import run

    made: list[Sealed] = []

    def seal(text: str) -> Sealed:
        namespace = make()
        run(server, namespace.database, text.replace("{db}", namespace.database), "tables.sql")
        made.append(SPEC.seal(server, namespace))
        return made[-1]

    yield seal
    for template in made:
        SPEC.unseal(server, template)


@pytest.fixture
def ask(server: Address) -> Callable[[Namespace, str], str]:
    """A function that runs a statement in a database, with ``{db}`` for its name."""

    def run(namespace: Namespace, statement: str) -> str:
        statement = statement.replace("{db}", namespace.database)
        return query(server, 60, statement, namespace.database)

    return run


@pytest.fixture(params=["wheel", "path"])
def start_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts Redis servers: of the wheel, and what is installed otherwise."""
    with starting(request.param, tmp_path) as start:
        yield start


@pytest.fixture
def own(start_redis: Start) -> Own:
    """A Redis server that is somebody's lease."""
    return start_redis()


@pytest.fixture(scope="module")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with run_postgres(
        tmp_path_factory.mktemp("copies"), max_prepared_transactions="5", max_connections="60"
    ) as found:
        yield found


@pytest.fixture(scope="module")
def address(postgres_server: Foreign) -> Address:
    """As of a server of our own: without the prefix of a run."""
    kind = attached.load("postgres")
    return kind.address(dsn.read("postgres", postgres_server.url, "the test"), "")


@pytest.fixture(scope="module")
def template(address: Address) -> Iterator[Sealed]:
    sealed = own_postgres.seal(address)
    yield sealed
    postgres_service.SPEC.unseal(address, sealed)


@pytest.fixture
def copy(address: Address, template: Sealed) -> Iterator[Namespace]:
    made = postgres_service.SPEC.create(
        address, own_postgres.new_name(), PostgresSettings(), "", template
    )
    yield made
    postgres_service.SPEC.drop(address, made)
