"""A client that takes leases as a program does, and what it can see from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from envkit import config
from envkit.keeper.client import Client, connect
from envkit.model import Endpoint, Isolation, Lease, ServiceName
from envkit.services.clickhouse_http import query
from envkit.services.spec import address_of
from envkit.templates import Templates

__all__ = ["User", "ask_clickhouse", "databases", "log_of", "postgres", "refused", "roles", "until"]


class User:
    """One client of a project's keeper, and the templates as the files are now."""

    def __init__(self, root: Path) -> None:
        self.config = config.load(root)
        self.client: Client = connect(self.config.root, self.config.settings)
        self.templates = Templates(self.config)

    def take(
        self, *services: ServiceName, template: str = "", isolation: Isolation = "auto"
    ) -> Lease:
        """A lease on these services."""
        wants = self.templates.wants(services, template=template, isolation=isolation)
        return self.templates.take(self.client, wants)

    def warm(self, service: ServiceName, count: int, isolation: Isolation = "auto") -> None:
        """Have leases of a service ready."""
        wants = self.templates.wants([service], isolation=isolation)
        self.templates.ensure(self.client, wants)
        self.client.warm(wants, count)

    def release(self, lease: Lease) -> None:
        self.client.release(lease.id)

    def reload(self) -> None:
        """Look at the project's files again."""
        self.templates = Templates(self.config)

    def close(self) -> None:
        self.client.close()


def postgres(endpoint: Endpoint, database: str = "") -> psycopg.Connection[Any]:
    """A session on a lease's server, in its own database or in another."""
    url = endpoint.url
    if database:
        url = f"{url.rpartition('/')[0]}/{database}"
    return psycopg.connect(url, autocommit=True)


def ask_clickhouse(endpoint: Endpoint, statement: str) -> str:
    """The answer's text to a statement in a lease's database."""
    return query(address_of(endpoint), 60, statement, endpoint.database)


def refused(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Whether the server does not do that."""
    try:
        connection.execute(statement.encode())
    except psycopg.Error:
        return True
    return False


def log_of(client: Client) -> str:
    """What the keeper itself has written."""
    return Path(client.status()["data"], "logs", "keeper.log").read_text()


def databases(endpoint: Endpoint) -> list[str]:
    """Of its server, without those that it is born with."""
    return _names(
        endpoint,
        "SELECT datname::text FROM pg_database WHERE datname !~ '^template[01]$'"
        " AND datname <> 'postgres'",
    )


def roles(endpoint: Endpoint) -> list[str]:
    """Likewise."""
    return _names(
        endpoint,
        "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'",
    )


def _names(endpoint: Endpoint, statement: str) -> list[str]:
    with postgres(endpoint) as connection:
        return sorted(name for (name,) in connection.execute(statement.encode()).fetchall())


def until(condition: Callable[[], bool], limit: float = 20.0) -> bool:
    """Whether it comes true; the keeper works in the background."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
