"""Whose something is that outlives processes, and whether that owner is provably dead.

Containers and namespaces on attached servers carry this, because nothing else tells a leftover from
what another run is using right now.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from envkit.processes import start_time

__all__ = ["Owner"]


class Owner(Struct, frozen=True, kw_only=True):
    """One keeper.

    Attributes:
        run: 8 hex digits of its own.
        machine: Hash of machine id and host name.
        boot: The kernel's boot id.
        pids: The pid namespace, whose numbers mean nothing outside.
        started: Of the process, in clock ticks since boot.
        born: Seconds since 1970.
    """

    run: str
    machine: str
    boot: str
    pids: str
    pid: int
    started: int
    born: int

    @classmethod
    def this_process(cls) -> Owner:
        return cls(
            run=os.urandom(4).hex(),
            machine=_machine(),
            boot=_boot(),
            pids=_pid_namespace(),
            pid=os.getpid(),
            started=start_time(os.getpid()) or 0,
            born=int(time.time()),
        )

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """What `text` wrote; None if it is nothing of the kind."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError:
            return None

    @property
    def text(self) -> str:
        return msgspec.json.encode(self).decode()

    @property
    def is_near(self) -> bool:
        """Whether its pid means something here: the same boot of the same kernel, and its pids.

        Machine id and host name alone do not tell clones of one image apart.
        """
        return bool(self.boot) and self.boot == _boot() and self.pids == _pid_namespace()

    @property
    def is_dead(self) -> bool | None:
        """True or False where it can be proved from here; None where it cannot."""
        if self.boot != _boot():
            # The same machine after a reboot, or another machine that uses the same engine.
            return True if self.machine == _machine() and self.boot else None
        if self.pids != _pid_namespace():
            return None  # a neighbour in a container on this kernel
        return start_time(self.pid) != self.started


def _machine() -> str:
    parts = [socket.gethostname()]
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            parts.append(Path(path).read_text().strip())
            break
        except OSError:
            continue
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
