"""Notices clients that go away while their query runs."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Short queries end before the first look and cost nothing but a dictionary entry.
_INTERVAL = 0.1


class Watch:
    """Calls ``lost(token)`` for every watched socket whose peer has closed it."""

    def __init__(self, lost: Callable[[str], None]) -> None:
        self._lost = lost
        self._active: dict[str, socket.socket] = {}
        self._busy = threading.Event()
        threading.Thread(target=self._look, name="watch", daemon=True).start()

    @contextmanager
    def over(self, sock: socket.socket, token: str) -> Iterator[None]:
        """Watch ``sock`` while the block runs."""
        self._active[token] = sock
        self._busy.set()
        try:
            yield
        finally:
            self._active.pop(token, None)

    def _look(self) -> None:
        pause = threading.Event()
        while True:
            self._busy.wait()
            pause.wait(_INTERVAL)
            if not self._active:
                self._busy.clear()
                # A request may have come between the look and the clearing.
                if self._active:
                    self._busy.set()
                continue
            for token, sock in list(self._active.items()):
                if token in self._active and _gone(sock):
                    self._lost(token)


def _gone(sock: socket.socket) -> bool:
    try:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        for _, event in poll.poll(0):
            if event & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                return True
            # Data are a pipelined request or the rest of a body; only the end reads as b"".
            if event & select.POLLIN and not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return True
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return True
    return False
