"""What a test holds: where its service is, and connections that are closed with the lease."""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any, Protocol, TypeVar

from envkit.errors import DriverMissing
from envkit.model import Endpoint

__all__ = ["Handle", "driver"]


class _Closable(Protocol):
    def close(self) -> Any: ...


_C = TypeVar("_C", bound=_Closable)


class Handle:
    """One service of a lease: where it is, and ways to connect, which each service adds.

    Attributes:
        endpoint: All that is known about where it is, as one value.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        # Held until `close`: a connection that nobody holds warns about itself when it goes.
        self._opened: list[_Closable] = []

    @property
    def url(self) -> str:
        """All of it in one URL, with the password: what drivers and libraries take."""
        return self.endpoint.url

    @property
    def host(self) -> str:
        """Name or address, as it is reached from here."""
        return self.endpoint.host

    @property
    def port(self) -> int:
        """Of the usual protocol; of ClickHouse that of HTTP."""
        return self.endpoint.port

    @property
    def user(self) -> str:
        """That of the lease."""
        return self.endpoint.user

    @property
    def password(self) -> str:
        """That of the lease; thrown away with it."""
        return self.endpoint.password

    @property
    def database(self) -> str:
        """The name of the database; for Redis its number."""
        return self.endpoint.database

    def close(self) -> None:
        """Close every synchronous connection this handle opened and the test left open."""
        for connection in self._opened:
            with contextlib.suppress(Exception):  # a test may have broken it on purpose
                connection.close()
        self._opened.clear()

    def _closing(self, connection: _C) -> _C:
        self._opened.append(connection)
        return connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint.safe_url}>"


def driver(module: str, distribution: str) -> Any:
    """Import a driver.

    Raises:
        DriverMissing: It is not installed, or what it needs is not.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DriverMissing(
            f"{distribution} cannot be imported: {error}",
            hint=f"pip install '{distribution}'",
        ) from error
