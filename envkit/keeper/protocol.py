"""What client and keeper say to each other: JSON, one message a line, over a Unix socket.

A request carries an id; zero or more events and then one reply carry the same id. Version
`VERSION` goes into the first message; a keeper that does not speak it says so and hangs up.
"""

from __future__ import annotations

import socket
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from envkit.model import ServiceName, Settings, Want
from envkit.services.spec import Groundwork

__all__ = [
    "VERSION",
    "Bye",
    "Commit",
    "Down",
    "Export",
    "GiveUp",
    "Hello",
    "Keep",
    "Lines",
    "Logs",
    "Message",
    "Pin",
    "Prepare",
    "Release",
    "Reply",
    "Request",
    "Start",
    "Status",
    "Take",
    "Warm",
    "encode",
]

VERSION = 2
_LONGEST_LINE = 16 << 20


class Message(Struct, frozen=True, kw_only=True, tag_field="op", tag=str.lower):
    """Any request's content."""


class Hello(Message, frozen=True, kw_only=True):
    """The first message.

    Attributes:
        hold: Whether the keeper lives at least as long as this client.
        settings: From the client that starts the keeper; others leave them out.
        root: The project's, likewise.
    """

    version: int = VERSION
    hold: bool
    settings: Settings | None = None
    root: str = ""


class Start(Message, frozen=True, kw_only=True):
    """Bring services up; events tell of the progress."""

    wants: tuple[Want, ...]


class Take(Message, frozen=True, kw_only=True):
    """A lease, which ends with this client at the latest."""

    wants: tuple[Want, ...]


class Prepare(Message, frozen=True, kw_only=True):
    """A template, waited for if somebody builds it; else the answer is where this client is to.

    Attributes:
        want: Of which service, and under which key.
        name: That it has in the configuration.
        run: Of the client: what has failed for another run is tried again.
        work: For the keeper, before the client begins.
    """

    want: Want
    name: str
    run: str
    work: Groundwork


class Commit(Message, frozen=True, kw_only=True):
    """What this client was to prepare is a template from now on."""

    want: Want
    run: str


class GiveUp(Message, frozen=True, kw_only=True):
    """What this client was to prepare came to nothing, and why."""

    want: Want
    run: str
    error: dict[str, str]


class Warm(Message, frozen=True, kw_only=True):
    """Leases like these will be taken, so many at most: have some ready."""

    wants: tuple[Want, ...]
    count: int


class Release(Message, frozen=True, kw_only=True):
    lease: str


class Keep(Message, frozen=True, kw_only=True):
    """Hand a lease over to the keeper, which from now on lives until `Down`."""

    lease: str


class Export(Message, frozen=True, kw_only=True):
    """The long-lived lease on what is up; made at the first call.

    Attributes:
        lease: Another one's id, to look at what a test is doing.
    """

    wants: tuple[Want, ...]
    lease: str = ""


class Pin(Message, frozen=True, kw_only=True):
    """Stay up until `Down`."""


class Status(Message, frozen=True, kw_only=True):
    pass


class Logs(Message, frozen=True, kw_only=True):
    service: ServiceName


class Down(Message, frozen=True, kw_only=True):
    """Stop everything now, whoever uses it; answered when all is gone."""


class Bye(Message, frozen=True, kw_only=True):
    """This client needs nothing more; answered when all is gone, if it was the last."""


Request = (
    Hello
    | Start
    | Prepare
    | Commit
    | GiveUp
    | Warm
    | Take
    | Release
    | Keep
    | Export
    | Pin
    | Status
    | Logs
    | Down
    | Bye
)


class Envelope(Struct, frozen=True, kw_only=True):
    id: int
    body: Request


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer, or with ``event`` something on the way to it."""

    id: int
    result: Any = None
    event: dict[str, Any] | None = None
    error: dict[str, str] | None = None


_encoder = msgspec.json.Encoder()
_M = TypeVar("_M", Envelope, Reply)


def encode(message: Envelope | Reply) -> bytes:
    return _encoder.encode(message) + b"\n"


class Lines:
    """Messages of one type, one a line, out of a socket's stream of bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()

    def feed(self) -> bool:
        """Receive once; False at the end of the stream.

        Raises:
            msgspec.DecodeError: More than 16 MiB without the end of a line.
        """
        if len(self._buffer) > _LONGEST_LINE:
            raise msgspec.DecodeError("a message of more than 16 MiB")
        data = self._socket.recv(1 << 16)
        self._buffer += data
        return bool(data)

    def take(self, kind: type[_M]) -> _M | None:
        """The next message, if all of it has been received.

        Raises:
            msgspec.MsgspecError: It is not of that kind.
        """
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return msgspec.json.decode(line, type=kind)

    def read(self, kind: type[_M]) -> _M | None:
        """The next message, waited for; None at the end of the stream.

        Raises:
            msgspec.MsgspecError: See `feed` and `take`.
        """
        while (message := self.take(kind)) is None:
            if not self.feed():
                return None
        return message
