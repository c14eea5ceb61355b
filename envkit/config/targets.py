"""Where services run already, as the variables say that programs of the field read.

``ENVKIT_POSTGRES_URL`` and its like are meant for envkit and used at once. ``DATABASE_URL`` and its
like are meant for the application, and often name what must not be touched: they count only where
the backend ``attach`` is asked for by name, or ``[tool.envkit.attach] allow`` names their target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import structs

from envkit.model import SERVICES, ServiceName, Settings

if TYPE_CHECKING:
    from envkit.dsn import Dsn

__all__ = ["VARIABLES", "with_targets"]

#: The variables that say where a service runs, for messages.
VARIABLES: Final[dict[ServiceName, str]] = {
    "postgres": "DATABASE_URL or PGHOST",
    "redis": "REDIS_URL",
    "clickhouse": "CLICKHOUSE_URL or CLICKHOUSE_HOST",
}
# https://www.postgresql.org/docs/current/libpq-envars.html: those that are about the way there.
_PG_PARAMETERS: Final = {
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGGSSENCMODE": "gssencmode",
    "PGCHANNELBINDING": "channel_binding",
    "PGPASSFILE": "passfile",
}
_TRUE: Final = ("1", "true", "yes", "on")

#: A URL, and the variable that names it.
Found = tuple[str, str]


def with_targets(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with the URLs filled in that the usual variables name, where these count."""
    wanted = [service for service in SERVICES if _counts(settings, service)]
    if not wanted:
        return settings
    # Loaded here, because what takes URLs apart takes some milliseconds.
    from envkit.dsn import is_lease
    from envkit.guard import allowed

    filled = {}
    for service in wanted:
        table = settings.of(service)
        by_name = settings.backend_of(service) == "attach"
        for url, origin in _USUAL[service](environ):
            target = _readable(service, url, origin)
            if target is not None and is_lease(target):
                continue  # this process was started by `envkit run` or alike
            if by_name or (target is not None and allowed(target, settings.attach.allow)):
                filled[service] = structs.replace(table, url=url, url_origin=origin)
                break
    return structs.replace(settings, **filled)


def _counts(settings: Settings, service: ServiceName) -> bool:
    backend = settings.backend_of(service)
    by_pattern = backend == "auto" and bool(settings.attach.allow)
    return not settings.of(service).url and (backend == "attach" or by_pattern)


def _readable(service: ServiceName, url: str, origin: str) -> Dsn | None:
    from envkit.dsn import read
    from envkit.errors import DsnMalformed

    try:
        return read(service, url, origin)
    except DsnMalformed:
        return None  # another service's, perhaps; whoever asked for it by name will be told


def _postgres(environ: Mapping[str, str]) -> list[Found]:
    from envkit.dsn import compose

    found = []
    if url := environ.get("DATABASE_URL", "").strip():
        found.append((url, "DATABASE_URL"))
    if host := environ.get("PGHOST") or environ.get("PGHOSTADDR"):
        parts = {
            "host": host,
            "port": environ.get("PGPORT", ""),
            "user": environ.get("PGUSER", ""),
            "password": environ.get("PGPASSWORD", ""),
            "database": environ.get("PGDATABASE", ""),
        }
        more = {key: environ[name] for name, key in _PG_PARAMETERS.items() if environ.get(name)}
        origin = "PGHOST" if environ.get("PGHOST") else "PGHOSTADDR"
        found.append((compose("postgresql", parts, more), origin))
    # DATABASE_URL may be another product's; then PG* is what is left.
    found.sort(key=lambda one: not one[0].startswith("postgres"))
    return found


def _redis(environ: Mapping[str, str]) -> list[Found]:
    url = environ.get("REDIS_URL", "").strip()
    return [(url, "REDIS_URL")] if url else []


def _clickhouse(environ: Mapping[str, str]) -> list[Found]:
    if url := environ.get("CLICKHOUSE_URL", "").strip():
        return [(url, "CLICKHOUSE_URL")]
    host = environ.get("CLICKHOUSE_HOST", "")
    if not host:
        return []
    from envkit.dsn import compose

    port = environ.get("CLICKHOUSE_PORT", "")
    secure = environ.get("CLICKHOUSE_SECURE", "").lower() in _TRUE or port in ("443", "8443")
    parts = {
        "host": host,
        "port": port,
        "user": environ.get("CLICKHOUSE_USER", ""),
        "password": environ.get("CLICKHOUSE_PASSWORD", ""),
        "database": environ.get("CLICKHOUSE_DATABASE", ""),
    }
    return [(compose("https" if secure else "http", parts, {}), "CLICKHOUSE_HOST")]


_USUAL: Final[dict[ServiceName, Callable[[Mapping[str, str]], list[Found]]]] = {
    "postgres": _postgres,
    "redis": _redis,
    "clickhouse": _clickhouse,
}
