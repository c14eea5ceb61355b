"""What Python programs use: a lease as a context manager, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envkit import services as registry
from envkit.errors import UsageError
from envkit.model import SERVICES, Endpoint, Lease, ServiceName, Settings

if TYPE_CHECKING:
    from envkit.services.clickhouse import ClickHouseHandle
    from envkit.services.handle import Handle
    from envkit.services.postgres import PostgresHandle
    from envkit.services.redis import RedisHandle

__all__ = ["ADMIN_URLS", "Services", "environment", "lease", "misleading"]

#: The variables that say where a server is that is not envkit's own.
ADMIN_URLS: dict[ServiceName, str] = {name: f"ENVKIT_{name.upper()}_URL" for name in SERVICES}


class Services:
    """The services of one lease: ``.postgres``, ``.redis``, ``.clickhouse``.

    Attributes:
        env: The environment variables that lead programs to this lease.
    """

    def __init__(self, lease: Lease, settings: Settings) -> None:
        self.lease_id = lease.id
        self.env = environment(lease.endpoints, settings) | _to_the_same(lease.endpoints, settings)
        self._handles: dict[ServiceName, Handle] = {
            name: registry.load(name).handle(endpoint) for name, endpoint in lease.endpoints.items()
        }

    @property
    def postgres(self) -> PostgresHandle:
        return self["postgres"]  # type: ignore[return-value] # the registry's class for this name

    @property
    def redis(self) -> RedisHandle:
        return self["redis"]  # type: ignore[return-value] # as above

    @property
    def clickhouse(self) -> ClickHouseHandle:
        return self["clickhouse"]  # type: ignore[return-value] # as above

    @classmethod
    def joined(cls, parts: Sequence[Services]) -> Services:
        """One object for the services of several leases."""
        whole = cls.__new__(cls)
        whole.lease_id = parts[0].lease_id
        whole.env = {name: value for part in parts for name, value in part.env.items()}
        whole._handles = {name: part[name] for part in parts for name in part}
        return whole

    def __getitem__(self, service: ServiceName) -> Handle:
        if service not in self._handles:
            raise UsageError(
                f"this lease has no {service}, only {', '.join(self._handles)}",
                hint=f'add "{service}" to services in [tool.envkit], or ask for it by name',
            )
        return self._handles[service]

    def __iter__(self) -> Iterator[ServiceName]:
        return iter(self._handles)

    def close(self) -> None:
        """Close the connections that were opened through the handles."""
        for handle in self._handles.values():
            handle.close()

    def __repr__(self) -> str:
        return f"<Services {', '.join(repr(handle) for handle in self._handles.values())}>"


def environment(endpoints: Mapping[ServiceName, Endpoint], settings: Settings) -> dict[str, str]:
    """The variables that lead programs to these endpoints, the project's own names included."""
    variables: dict[str, str] = {}
    for name, endpoint in endpoints.items():
        variables |= registry.load(name).environment(endpoint)
    for variable, meaning in settings.env.items():
        service, _, field = meaning.partition(".")
        found: Any = next((e for n, e in endpoints.items() if n == service), None)
        if found is not None:
            variables[variable] = str(getattr(found, field))
    return variables


def _to_the_same(endpoints: Mapping[ServiceName, Endpoint], settings: Settings) -> dict[str, str]:
    """What leads an envkit started by a program to the same servers that are not envkit's own.

    And so to the same keeper: DATABASE_URL leads to the lease there.
    """
    return {
        ADMIN_URLS[name]: settings.of(name).url
        for name, endpoint in endpoints.items()
        if endpoint.backend == "attach" and settings.of(name).url
    }


def misleading(endpoints: Mapping[ServiceName, Endpoint]) -> list[str]:
    """The variables that would send programs elsewhere in spite of `environment`."""
    return [variable for name in endpoints for variable in registry.load(name).misleading]


@contextmanager
def lease(
    *services: ServiceName,
    backend: str | None = None,
    root: Path | None = None,
) -> Iterator[Services]:
    """Isolated services for the length of a ``with`` block; started if they are not running.

    Args:
        services: Which; those of the configuration if none is named.
        backend: Instead of the configured one.
        root: The project's directory; found from the current one if not given.

    Raises:
        ConfigError: The project's configuration cannot be used.
        UnavailableError: No backend here can serve one of them.
        StartError: One could not be started.
    """
    from envkit import config
    from envkit.keeper.client import connect

    loaded = config.load(root, overrides=config.Overrides(backend=backend, services=services))
    with connect(loaded.root, loaded.settings) as client:
        taken = client.take(loaded.settings.services)
        held = Services(taken, loaded.settings)
        try:
            yield held
        finally:
            held.close()
            client.release(taken.id)
