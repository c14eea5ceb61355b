"""Whether a server of our own answers, asked without credentials: those are the tests'."""

from __future__ import annotations

import socket
import struct
from typing import Final

from envkit.doctor.model import Symptom
from envkit.doctor.symptoms import from_exception
from envkit.model import ServiceName

__all__ = ["sign_of_life"]

# https://www.postgresql.org/docs/current/protocol-message-formats.html#SSLRequest
_SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)
#: What to say, and how each answer may begin.
_QUESTIONS: Final[dict[ServiceName, tuple[bytes, tuple[bytes, ...]]]] = {
    "postgres": (_SSL_REQUEST, (b"S", b"N", b"E")),
    "redis": (b"*1\r\n$4\r\nPING\r\n", (b"+", b"-")),
    "clickhouse": (b"GET /ping HTTP/1.0\r\n\r\n", (b"HTTP/",)),
}


def sign_of_life(
    service: ServiceName, host: str, port: int, *, limit: float, check: str
) -> tuple[Symptom, ...]:
    """Ask for any answer at all.

    Args:
        service: Whose protocol to speak.
        host: Or the path of a Unix socket's directory.
        port: Of the server.
        limit: Seconds.
        check: Name of the check.
    """
    question, answers = _QUESTIONS[service]
    about = {"host": host, "port": str(port)}
    try:
        with socket.create_connection((host, port), timeout=limit) as connection:
            connection.sendall(question)
            said = connection.recv(64)
    except OSError as error:
        return tuple(
            Symptom(
                source=one.source,
                code=one.code,
                text=one.text,
                service=service,
                check=check,
                where=f"{host}:{port}",
                data=about,
            )
            for one in from_exception(error)
        )
    if said.startswith(answers):
        return ()
    text = f"answers {said[:40]!r} to a first question" if said else "closes the connection at once"
    return (Symptom(source="host", code="NO_LIFE", text=text, service=service, check=check),)
