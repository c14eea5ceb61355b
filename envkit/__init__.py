"""Real Postgres, Redis and ClickHouse for tests."""

from __future__ import annotations

from envkit.version import __version__

TYPE_CHECKING = False  # what `typing` says at run time, without its 8 ms
if TYPE_CHECKING:
    from envkit.api import Services, lease
    from envkit.errors import EnvkitError
    from envkit.model import Endpoint
    from envkit.pytest_plugin import lease_fixture

__all__ = [
    "Endpoint",
    "EnvkitError",
    "Services",
    "__version__",
    "lease",
    "lease_fixture",
]

_HOMES = {
    "Endpoint": "envkit.model",
    "EnvkitError": "envkit.errors",
    "Services": "envkit.api",
    "lease": "envkit.api",
    "lease_fixture": "envkit.pytest_plugin",
}


def __getattr__(name: str) -> object:
    # Every program of ours imports this package; only users of these names pay for them.
    if name not in _HOMES:
        raise AttributeError(f"module 'envkit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
