"""Just enough of RESP (https://valkey.io/topics/protocol/) for what the keeper asks of Redis.

redis-py takes 100 ms to import, and the keeper needs nothing else of it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias, Union

from envkit.services.spec import Address

__all__ = ["Answer", "Connection", "Refused", "packed", "refusals"]

# What `call` asks for is answered in some kilobytes; more is none of Redis' answers.
_LONGEST_LINE: Final = 1 << 16
_LARGEST: Final = 1 << 24
# A value may be as large as this (proto-max-bulk-len), and `answers` reads values.
_LARGEST_VALUE: Final = 1 << 29
_DEEPEST: Final = 8


class Refused(ConnectionError):
    """The server answered with an error; its words are this one's."""


#: As it came: nil is None, numbers are bytes as all else, errors are values.
Answer: TypeAlias = Union[bytes, Refused, list["Answer"], None]  # noqa: UP007 - names itself


def packed(words: Iterable[bytes | str]) -> bytes:
    """A command as it is sent."""
    parts = []
    for word in words:
        data = word.encode() if isinstance(word, str) else word
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def refusals(answer: Answer) -> Iterator[Refused]:
    """The errors in an answer, which EXEC gives among others."""
    if isinstance(answer, Refused):
        yield answer
    elif isinstance(answer, list):
        for one in answer:
            yield from refusals(one)


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
        self.send(packed(words))
        return _text(self._read(_LARGEST))

    def send(self, commands: bytes) -> None:
        """Commands that are `packed`, one after another; somebody must take their answers."""
        self._socket.sendall(commands)

    def answers(self, count: int) -> Iterator[Answer]:
        """To as many of the commands that were sent; errors are among them and not raised.

        Raises:
            ConnectionError: The connection is gone, or this is no Redis.
            TimeoutError: It takes too long.
        """
        for _ in range(count):
            yield self._read(_LARGEST_VALUE)

    def pipeline(self, *commands: Iterable[bytes | str]) -> list[Answer]:
        """Several commands in one go.

        Raises:
            ConnectionError: The connection is gone, or this is no Redis.
            TimeoutError: It takes too long.
        """
        self.send(b"".join(map(packed, commands)))
        return list(self.answers(len(commands)))

    def transaction(self, *commands: Iterable[bytes | str]) -> list[Answer]:
        """Several commands with nobody else's in between.

        Raises:
            Refused: One of them, or all.
            ConnectionError: The connection is gone, or this is no Redis.
            TimeoutError: It takes too long.
        """
        answers = self.pipeline(["MULTI"], *commands, ["EXEC"])
        for error in refusals(answers):
            raise error
        done = answers[-1]
        if not isinstance(done, list):
            raise ConnectionError("EXEC was not answered with what was done")
        return done

    def _read(self, largest: int, depth: int = 0) -> Answer:
        line = self._file.readline(_LONGEST_LINE)
        if not line:
            raise ConnectionResetError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind not in b"+-:$*" or not line.endswith(b"\r\n"):
            raise _unexpected(line)
        if kind in b"+:":
            return rest
        if kind == b"-":
            return Refused(rest.decode(errors="replace"))
        if rest == b"-1":
            return None
        if not rest.isdigit() or int(rest) > largest:
            raise _unexpected(line)
        if kind == b"$":
            data = self._file.read(int(rest) + 2)
            if len(data) != int(rest) + 2:
                raise ConnectionResetError("the server closed the connection")
            return data[:-2]
        if depth == _DEEPEST:
            raise _unexpected(line)
        return [self._read(largest, depth + 1) for _ in range(int(rest))]


def _text(answer: Answer) -> str:
    if isinstance(answer, Refused):
        raise answer
    if isinstance(answer, list):
        return "\n".join(map(_text, answer))
    return (answer or b"").decode(errors="replace")


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
