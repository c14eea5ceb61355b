"""What answers at a port, if it is not what was expected there."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final, Literal

from msgspec import Struct

__all__ = ["Answer", "who_answers"]

Speaks = Literal["redis", "clickhouse", "clickhouse-native", "postgres", "http", "tls", "other", ""]

_HTTP: Final = b"GET / HTTP/1.0\r\n\r\n"
_PING: Final = b"*1\r\n$4\r\nPING\r\n"
# https://www.postgresql.org/docs/current/protocol-message-formats.html#SSLRequest
_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)


class Answer(Struct, frozen=True, kw_only=True):
    """Who it is, as far as one can tell.

    Attributes:
        speaks: Its protocol; empty if it says nothing to anything.
        title: For people: ``Postgres``, ``an HTTP server``.
    """

    speaks: Speaks
    title: str


def who_answers(host: str, port: int, limit: float) -> Answer:
    """Say hello in several protocols, each on a connection of its own.

    Args:
        host: Name or address.
        port: Of the server.
        limit: Seconds for all of it.
    """
    end = time.monotonic() + limit
    for number, question in enumerate((_HTTP, _PING, _SSL_REQUEST)):
        share = (end - time.monotonic()) / (4 - number)
        said = _ask(host, port, question, max(0.01, share))
        if said and (answer := _judge(question, said)) is not None:
            return answer
    if _tls(host, port, max(0.01, end - time.monotonic())):
        return Answer(speaks="tls", title="a server that speaks TLS")
    return Answer(speaks="", title="something that answers nothing")


def _ask(host: str, port: int, question: bytes, limit: float) -> bytes:
    try:
        with socket.create_connection((host, port), timeout=limit) as connection:
            connection.sendall(question)
            return connection.recv(2048)
    except OSError:
        return b""


def _judge(question: bytes, said: bytes) -> Answer | None:
    if b"clickhouse-client program" in said:
        return Answer(speaks="clickhouse-native", title="ClickHouse's native protocol")
    if said.startswith(b"HTTP/"):
        if b"x-clickhouse" in said.lower():
            return Answer(speaks="clickhouse", title="ClickHouse's HTTP interface")
        return Answer(speaks="http", title="an HTTP server")
    if said.startswith((b"+PONG", b"-ERR", b"-NOAUTH", b"-DENIED", b"-LOADING", b"-MISCONF")):
        return Answer(speaks="redis", title="Redis")
    if said.startswith(b"\x15\x03"):  # an alert of TLS
        return Answer(speaks="tls", title="a server that speaks TLS")
    if question is _SSL_REQUEST and said in (b"S", b"N"):
        return Answer(speaks="postgres", title="Postgres")
    if question is _HTTP:  # it may have greeted us unasked, as MySQL and SSH do
        first = said[:40].decode("ascii", "replace")
        kind = (
            "MySQL" if b"mysql" in said or b"MariaDB" in said else f"a server that says {first!r}"
        )
        return Answer(speaks="other", title=kind)
    return None


def _tls(host: str, port: int, limit: float) -> bool:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only whether it speaks TLS, nothing is told to it
    try:
        with (
            socket.create_connection((host, port), timeout=limit) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLCertVerificationError:
        return True
    except OSError:
        return False
