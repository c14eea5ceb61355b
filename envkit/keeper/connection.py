"""One client, as the keeper sees it: its socket and its process."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator

import msgspec

from envkit.keeper import protocol

__all__ = ["Connection"]


class Connection:
    """One client, as the keeper sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.lines = protocol.Lines(sock)
        self.pid, self.uid = _peer(sock)
        self._sending = threading.Lock()

    def send(self, reply: protocol.Reply) -> None:
        with self._sending, contextlib.suppress(OSError):  # its reader notices that it is gone
            self.socket.sendall(protocol.encode(reply))

    def requests(self) -> Iterator[protocol.Envelope]:
        """What the client asks, until it hangs up or its process is gone.

        A forked child of the client keeps the socket open after the client was killed; the
        process itself does not survive that, so both are watched.
        """
        watched = select.poll()
        watched.register(self.socket, select.POLLIN)
        pidfd = _pidfd(self.pid)
        if pidfd is not None:
            watched.register(pidfd, select.POLLIN)
        try:
            while True:
                while (envelope := self.lines.take(protocol.Envelope)) is not None:
                    yield envelope
                ready = {descriptor for descriptor, _ in watched.poll()}
                if self.socket.fileno() not in ready or not self.lines.feed():
                    return
        except (OSError, msgspec.MsgspecError):
            return
        finally:
            if pidfd is not None:
                os.close(pidfd)


def _peer(sock: socket.socket) -> tuple[int, int]:
    """Pid and uid at the other end, as the kernel knows them; the pid is 0 if it cannot say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, os.geteuid()  # the socket's directory is closed to others anyway
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", data)
    return pid, uid


def _pidfd(pid: int) -> int | None:
    if pid and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None
