"""How clients and keepers find each other: one locked file for each living keeper.

The file lies in the state directory, named by the keeper's key, and says who and where the keeper
is. The lock is held by the keeper and its watchdog, through one open file: while it is held,
something of the keeper's may still exist; once it is free, nobody is left to clean up. So the lock
is also the proof of death that `prune` needs. A client that is killed in the millisecond between
making the file and starting the keeper leaves it empty, which the next start and `prune` mend.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from envkit.errors import RunDirUnsafe
from envkit.model import Settings
from envkit.paths import state_dir
from envkit.version import __version__

__all__ = [
    "Record",
    "above_standard",
    "all_records",
    "key_of",
    "lock",
    "log_prefix",
    "name_of",
    "path_of",
    "read",
]


class Record(Struct, frozen=True, kw_only=True):
    """One keeper.

    Attributes:
        started: In clock ticks since boot; with the pid it names a process for good.
        data: The directory that holds all of its servers' files.
    """

    key: str
    version: str
    root: str
    pid: int
    started: int
    boot: str
    socket: str
    data: str


def key_of(root: Path, settings: Settings) -> str:
    """12 hex digits for (uid, project, settings, envkit version, state directory)."""
    # Different state directories cannot see each other's locks, so they must not share a socket.
    parts = [os.geteuid(), name_of(root), settings.for_servers(), __version__, name_of(state_dir())]
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=6).hexdigest()


def log_prefix(root: str, key: str = "*") -> str:
    """How the names of a project's saved logs begin; without a key a pattern for all of them."""
    project = hashlib.blake2b(root.encode(), digest_size=6).hexdigest()
    return f"{project}-{key}"


def path_of(key: str) -> Path:
    return state_dir() / f"{key}.keeper"


def lock(key: str) -> int | None:
    """Take a key's lock; the open file's descriptor, or None while somebody else has it.

    Raises:
        RunDirUnsafe: The file cannot be opened.
    """
    import fcntl

    while True:
        path = path_of(key)
        try:
            descriptor = above_standard(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except FileNotFoundError:
            continue  # the last keeper to end has just removed the empty directory
        except OSError as error:
            raise RunDirUnsafe(
                f"{path} cannot be opened: {error.strerror}",
                hint=f"rm {path}, or set XDG_STATE_HOME to a directory you can write to",
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        # A keeper that ended between our open and our lock has removed the file we locked.
        try:
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def above_standard(descriptor: int) -> int:
    """The same open file under a number that a child's stdin, stdout and stderr do not take.

    In a process whose standard streams are closed, the next files get 0, 1 and 2.
    """
    if descriptor > 2:
        return descriptor
    import fcntl

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def name_of(root: Path) -> str:
    """A project's path as text that JSON can carry, whatever bytes it has."""
    return os.fsencode(root).decode("utf-8", "backslashreplace")


def read(key: str) -> Record | None:
    """What the keeper says of itself; None if it has not said it yet."""
    try:
        return msgspec.json.decode(path_of(key).read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None


def all_records(root: Path | None = None) -> list[Record]:
    """Every keeper with a file here, living or not; of one project if ``root`` is given."""
    found = []
    for path in sorted(state_dir().glob("*.keeper")):
        record = read(path.stem)
        if record is not None and (root is None or record.root == name_of(root)):
            found.append(record)
    return found
