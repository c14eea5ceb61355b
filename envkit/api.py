"""What Python programs use: a lease as a context manager, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from envkit import services as registry
from envkit.errors import UsageError
from envkit.model import Endpoint, Isolation, Lease, ServiceName, Settings
from envkit.variables import ADMIN_URLS, environment

if TYPE_CHECKING:
    from envkit.services.clickhouse import ClickHouseHandle
    from envkit.services.handle import Handle
    from envkit.services.postgres import PostgresHandle
    from envkit.services.redis import RedisHandle

__all__ = ["Services", "lease"]


class Services:
    """The services of one lease, as attributes or by name: ``services["postgres"]``.

    Iterating gives the names of those that are there.

    Attributes:
        env: The environment variables that lead programs to this lease.
        lease_id: The lease's name: that of ``envkit shell --lease``.
    """

    def __init__(self, lease: Lease, settings: Settings) -> None:
        self.lease_id = lease.id
        self.env = environment(lease.endpoints, settings) | _to_the_same(lease.endpoints, settings)
        self._handles: dict[ServiceName, Handle] = {
            name: registry.load(name).handle(endpoint) for name, endpoint in lease.endpoints.items()
        }

    @property
    def postgres(self) -> PostgresHandle:
        """The lease on Postgres."""
        return self["postgres"]  # type: ignore[return-value] # the registry's class for this name

    @property
    def redis(self) -> RedisHandle:
        """The lease on Redis."""
        return self["redis"]  # type: ignore[return-value] # as above

    @property
    def clickhouse(self) -> ClickHouseHandle:
        """The lease on ClickHouse."""
        return self["clickhouse"]  # type: ignore[return-value] # as above

    @classmethod
    def joined(cls, parts: Sequence[Services]) -> Services:
        """Make one object of the services of several leases."""
        whole = cls.__new__(cls)
        whole.lease_id = parts[0].lease_id
        whole.env = {name: value for part in parts for name, value in part.env.items()}
        whole._handles = {name: part[name] for part in parts for name in part}
        return whole

    def __getitem__(self, service: ServiceName) -> Handle:
        """The service of that name.

        Raises:
            UsageError: The lease has no such service.
        """
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


def _to_the_same(endpoints: Mapping[ServiceName, Endpoint], settings: Settings) -> dict[str, str]:
    """What leads an envkit started by a program to the same servers that are not envkit's own.

    And so to the same keeper: DATABASE_URL leads to the lease there.
    """
    return {
        ADMIN_URLS[name]: settings.of(name).url
        for name, endpoint in endpoints.items()
        if endpoint.backend == "attach" and settings.of(name).url
    }


@contextmanager
def lease(
    *services: ServiceName,
    backend: str | None = None,
    template: str = "",
    version: str = "",
    isolation: Isolation = "auto",
    root: Path | None = None,
) -> Iterator[Services]:
    """Isolated services for the length of a ``with`` block; started if they are not running.

    Args:
        services: "postgres", "redis" and "clickhouse"; those of the configuration if none is named.
        backend: Instead of the configured one.
        template: The name of one from the configuration, or ``empty``, instead of the usual one.
        version: Of Postgres, instead of the configured one.
        isolation: Of Redis, likewise.
        root: The project's directory; found from the current one if not given.

    Raises:
        ConfigError: The project's configuration cannot be used.
        UnavailableError: No backend here can serve one of them.
        StartError: One could not be started.
        TemplateFailed, TemplateTimeout, TemplateShared, TemplateUntouched: Its template could not
            be made.
    """
    from envkit import config
    from envkit.keeper.client import connect
    from envkit.templates import Templates

    loaded = config.load(root, overrides=config.Overrides(backend=backend, services=services))
    with connect(loaded.root, loaded.settings) as client:
        templates = Templates(loaded)
        wants = templates.wants(
            loaded.settings.services, template=template, version=version, isolation=isolation
        )
        taken = templates.take(client, wants)
        held = Services(taken, loaded.settings)
        try:
            yield held
        finally:
            held.close()
            client.release(taken.id)
