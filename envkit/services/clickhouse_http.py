"""Statements over ClickHouse's HTTP interface, with nothing but the standard library."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPSConnection

    from envkit.services.spec import Address

__all__ = ["Connection", "Rejected", "query", "quoted", "quoted_name"]


class Rejected(ConnectionError):
    """An HTTP answer that is none of success; its text is the error's.

    Attributes:
        status: Of HTTP.
        native: Whether it is ClickHouse's own error, with a code.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text or f"HTTP {status}")
        self.status = status
        self.native = text.startswith("Code: ")


class Connection:
    """One HTTP connection, kept for many statements. Not for two threads at a time."""

    def __init__(self, address: Address, limit: float) -> None:
        """Connect with the first statement.

        Args:
            address: The server.
            limit: Seconds that it may say nothing.
        """
        from http.client import HTTPConnection

        token = base64.b64encode(f"{address.user}:{address.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}
        self._http: HTTPConnection = HTTPConnection(address.host, address.port, timeout=limit)
        if address.tls:
            self._http = _over_tls(address, limit)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def query(self, statement: str, **parameters: str) -> str:
        """One statement and its answer's text.

        Args:
            statement: As it is, with its data if it is an INSERT that has some.
            parameters: Of the interface (``database``, ``session_id``) and settings.

        Raises:
            Rejected: An answer other than 200, with its text.
            OSError: No connection, or no HTTP at the other end.
        """
        from http.client import HTTPException

        target = f"/?{urlencode(parameters)}" if parameters else "/"
        try:
            self._http.request("POST", target, statement.encode(), self._headers)
            response = self._http.getresponse()
            text = response.read().decode(errors="replace").strip()
        except HTTPException as error:
            self._http.close()
            if isinstance(error, ConnectionError):  # hung up without a word
                raise
            raise ConnectionError(f"not an HTTP answer: {error!r}") from None
        if response.status != 200:
            raise Rejected(response.status, text)
        return text


def query(address: Address, limit: float, statement: str, database: str = "") -> str:
    """One statement over a connection of its own.

    Args:
        address: The server.
        limit: Seconds that it may say nothing.
        statement: What to run.
        database: That names without one are looked for in; empty for the user's usual one.

    Raises:
        Rejected: An answer other than 200, with its text.
        OSError: No connection, or no HTTP at the other end.
    """
    with Connection(address, limit) as connection:
        return connection.query(statement, **({"database": database} if database else {}))


def quoted(text: str) -> str:
    """As a string in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted_name(name: str) -> str:
    """As the name of a database, table or column in SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _over_tls(address: Address, limit: float) -> HTTPSConnection:
    """With the names that clickhouse-connect gives to these choices."""
    import ssl
    from http.client import HTTPSConnection

    context = ssl.create_default_context(cafile=address.parameters.get("ca_cert"))
    if address.parameters.get("verify", "").lower() in ("0", "false", "no", "off"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(address.host, address.port, timeout=limit, context=context)
