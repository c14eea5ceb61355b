"""Just enough of RESP (https://valkey.io/topics/protocol/) for what the keeper asks of Redis.

redis-py takes 100 ms to import, and the keeper needs nothing else of it.
"""

from __future__ import annotations

import socket
from typing import Final

from envkit.services.spec import Address

__all__ = ["Connection", "Refused"]

# What is asked for here is answered in some kilobytes; more is none of Redis' answers.
_LONGEST_LINE: Final = 1 << 16
_LARGEST: Final = 1 << 24
_DEEPEST: Final = 8


class Refused(ConnectionError):
    """The server answered with an error; its words are this one's."""


class Connection:
    """One connection, not logged in yet."""

    def __init__(self, address: Address, limit: float) -> None:
        self._address = address
        self._socket = _socket(address, limit)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def wait(self, limit: float) -> None:
        """How many seconds each answer from now on may take."""
        self._socket.settimeout(limit)

    def log_in(self) -> None:
        """Give user and password, if there is a password.

        Raises:
            Refused: They are wrong, or the server has none.
        """
        if not self._address.password:
            return
        try:
            self.call("AUTH", self._address.user, self._address.password)
        except Refused as error:
            # Users came with Redis 6: https://redis.io/docs/latest/commands/auth/
            if self._address.user != "default" or "wrong number of arguments" not in str(error):
                raise
            self.call("AUTH", self._address.password)

    def call(self, *words: str) -> str:
        """One command; an array's items are joined by newlines, and nil is empty.

        Raises:
            Refused: The server's own error.
            ConnectionError: The connection is gone, or this is no Redis.
        """
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts += [f"${len(data)}\r\n".encode(), data, b"\r\n"]
        self._socket.sendall(b"".join(parts))
        return self._reply()

    def _reply(self, depth: int = 0) -> str:
        line = self._file.readline(_LONGEST_LINE)
        if not line:
            raise ConnectionResetError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode(errors="replace")
        if kind not in b"+-:$*" or not line.endswith(b"\r\n"):
            raise _unexpected(line)
        if rest == "-1" and kind in b"$*":
            return ""
        if kind in b"$*" and not (rest.isdecimal() and int(rest) <= _LARGEST):
            raise _unexpected(line)
        if kind == b"$":
            return self._file.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            if depth == _DEEPEST:
                raise _unexpected(line)
            return "\n".join(self._reply(depth + 1) for _ in range(int(rest)))
        if kind == b"-":
            raise Refused(rest)
        return rest


def _unexpected(line: bytes) -> ConnectionError:
    return ConnectionError(f"unexpected answer {line[:60]!r}: not a Redis server?")


def _socket(address: Address, limit: float) -> socket.socket:
    if address.host.startswith("/"):
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        plain.settimeout(limit)
        try:
            plain.connect(address.host)
        except BaseException:
            plain.close()
            raise
        return plain
    plain = socket.create_connection((address.host, address.port), timeout=limit)
    if not address.tls:
        return plain
    import ssl

    # With the names that redis-py gives to these choices.
    said = address.parameters
    context = ssl.create_default_context(cafile=said.get("ssl_ca_certs"))
    if said.get("ssl_certfile"):
        context.load_cert_chain(said["ssl_certfile"], said.get("ssl_keyfile"))
    if said.get("ssl_cert_reqs", "").lower() == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if said.get("ssl_check_hostname", "").lower() in ("0", "false", "no"):
        context.check_hostname = False
    return context.wrap_socket(plain, server_hostname=address.host)
