"""What the keeper needs to know of a server, whatever it runs in."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from envkit.errors import EnvkitError
from envkit.wait import NotAnswering

__all__ = ["Server", "tail_of"]

_LOG_TAIL_LINES = 15


class Server(Protocol):
    """One server of one service.

    Attributes:
        log: What it prints.
        ended: Set as soon as it is gone.
        product: What it is known to be, beside what it says of itself; may be empty.
        pid: Of its process; 0 if it is none of ours.
        container: The container's short id; empty if it is none.
        socket_dir: Where its Unix socket is, if it has one.
    """

    log: Path
    ended: threading.Event

    @property
    def product(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def pid(self) -> int: ...

    @property
    def container(self) -> str: ...

    @property
    def socket_dir(self) -> str: ...

    def launch(self) -> None:
        """Start it; again after `wants_another_try`."""

    def wants_another_try(self) -> bool:
        """Whether it failed for a reason that another launch may not meet."""

    def wants_fresh_start(self) -> bool:
        """Whether it may have failed because of something cached, which is forgotten by this."""

    def failure(self, title: str, error: NotAnswering) -> EnvkitError:
        """Why it does not answer, to a person."""

    def log_tail(self) -> str:
        """The last lines of its log."""

    def stop(self) -> None:
        """End it and remove all that is left of it."""


def tail_of(log: Path, lines: int = _LOG_TAIL_LINES) -> str:
    """The last lines of a log; empty if it cannot be read."""
    try:
        text = log.read_bytes()[-64 * 1024 :].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])
