"""Several servers of one service in one keeper: other versions, another isolation."""

from __future__ import annotations

from msgspec import Struct, structs

from envkit.errors import UsageError
from envkit.model import BackendName, Isolation, RedisSettings, ServiceName, Settings, Want

__all__ = ["Variant", "variant_of"]


class Variant(Struct, frozen=True, kw_only=True):
    """A service as somebody wants it.

    Attributes:
        version: Empty where it is the configured one.
        isolation: ``auto`` where it is the configured one.
        settings: The project's, with these instead.
    """

    service: ServiceName
    version: str
    isolation: Isolation
    settings: Settings

    def __hash__(self) -> int:
        return hash((self.service, self.version, self.isolation))

    @property
    def name(self) -> str:
        """Of its server, of the server's directory and of its log."""
        parts = [self.service, self.version, "" if self.isolation == "auto" else self.isolation]
        return "-".join(part for part in parts if part)

    def own_servers(self, backend: BackendName) -> bool:
        """Whether each lease has a server of its own, where the service can do that."""
        table = self.settings.of(self.service)
        wanted = table.isolation if isinstance(table, RedisSettings) else "auto"
        return backend == "embedded" if wanted == "auto" else wanted == "server"


def variant_of(want: Want, settings: Settings) -> Variant:
    """What somebody wants, as one value however it is said.

    Raises:
        UsageError: The service knows no such thing.
    """
    version, isolation = want.version, want.isolation
    table = settings.of(want.service)
    if version:
        if want.service != "postgres":
            raise UsageError(
                f"{want.service} runs in one version at a time",
                hint=f'version = "{version}" in [tool.envkit.{want.service}]',
            )
        if version == table.version:
            version = ""
        else:
            # The image that is configured is of the configured version.
            other = structs.replace(settings.postgres, version=version, image="")
            settings = structs.replace(settings, postgres=other)
    if isolation != "auto":
        if not isinstance(table, RedisSettings):
            raise UsageError(f"{want.service} has one kind of isolation", hint="leave it out")
        if isolation == table.isolation:
            isolation = "auto"
        else:
            settings = structs.replace(
                settings, redis=structs.replace(settings.redis, isolation=isolation)
            )
    return Variant(service=want.service, version=version, isolation=isolation, settings=settings)
