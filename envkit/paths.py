"""Where envkit keeps what: sockets, locks, caches, and the servers' data.

========== ====================================== ===========================================
place      holds                                  lives
========== ====================================== ===========================================
run        the keepers' sockets                   short, local, 0700: a socket path is at most
                                                  108 bytes and does not work on NFS
state      one locked file for each live keeper,  across reboots
           saved logs of runs that ended badly
cache      pristine data directories              until removed; rebuilt when missing
data       the servers' data, logs, temp files    as long as the keeper
========== ====================================== ===========================================
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

from envkit.errors import DiskFull, RunDirUnsafe, TmpReadonly

__all__ = [
    "cache_dir",
    "data_dir",
    "data_parents",
    "private_dir",
    "run_dir",
    "run_path",
    "state_dir",
    "world_readable_cache",
]

_SHM = Path("/dev/shm")  # noqa: S108 - mkdtemp makes an unguessable name there, with mode 0700
_ROOM_ON_TMPFS = 1 << 30  # three servers with a schema of 500 tables stay below 600 MB
_ROOM_ANYWHERE = 256 << 20  # a fresh Postgres, Redis and chdb take 60 MB; a test run needs some


def private_dir(path: Path) -> Path:
    """Make a directory that only this user may use, or check that it is one.

    Raises:
        RunDirUnsafe: It is a link, belongs to somebody else, or is open to others.
    """
    hint = f"remove {path}, or set XDG_RUNTIME_DIR to a directory of yours with mode 0700"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = path.lstat()
    except FileExistsError:
        raise RunDirUnsafe(f"{path} exists and is not a directory", hint=hint) from None
    except OSError as error:
        raise RunDirUnsafe(
            f"{path} cannot be made or read: {error.strerror}",
            hint="set XDG_RUNTIME_DIR (and XDG_STATE_HOME) to directories you can write to",
        ) from None
    if stat.S_ISLNK(seen.st_mode):
        raise RunDirUnsafe(f"{path} is a symbolic link", hint=hint)
    if seen.st_uid != os.geteuid():
        raise RunDirUnsafe(
            f"{path} belongs to uid {seen.st_uid}, you are uid {os.geteuid()}", hint=hint
        )
    if seen.st_mode & 0o077:
        raise RunDirUnsafe(
            f"{path} has mode {stat.S_IMODE(seen.st_mode):04o}, so others can reach your servers",
            hint=f"chmod 700 {path}",
        )
    return path


def run_dir() -> Path:
    """The directory for sockets, made if it is not there.

    Raises:
        RunDirUnsafe: See `private_dir`.
    """
    return private_dir(run_path())


def run_path() -> Path:
    """Where that is: in the session's own directory if there is one, else in /tmp."""
    uid = os.geteuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        # 60 bytes leave room for our part of a socket's path on every platform (macOS: 104)
        if base and Path(base).is_absolute() and len(os.fsencode(base)) <= 60:
            found = Path(base)
            with contextlib.suppress(OSError):
                if found.stat().st_uid == uid and os.access(found, os.W_OK | os.X_OK):
                    return found / "envkit"
    return Path("/tmp") / f"envkit-{uid}"  # noqa: S108 - owner and mode are checked


def state_dir() -> Path:
    """The directory for locks and saved logs; the run directory where HOME cannot be written."""
    from platformdirs import user_state_path

    try:
        path = user_state_path("envkit", appauthor=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if os.access(path, os.W_OK | os.X_OK):
            return private_dir(path)
    except (OSError, RuntimeError):  # the latter: nobody knows where this user's home is
        pass
    return run_dir()


def cache_dir() -> Path | None:
    """The directory for what is expensive to make; None where nothing can be kept."""
    from platformdirs import user_cache_path

    with contextlib.suppress(OSError, RuntimeError):  # the latter: no home
        path = user_cache_path("envkit", appauthor=False)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(path, os.W_OK | os.X_OK) and path.stat().st_uid == os.geteuid():
            return path
    return None


def world_readable_cache() -> Path:
    """A directory of root's that every user can read, for programs that run as somebody else.

    Raises:
        RunDirUnsafe: It cannot be made, or belongs to somebody else.
    """
    path = Path("/var/cache/envkit")
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink() and path.stat().st_uid == 0:
            path.chmod(0o755)  # whatever the umask made of it
        seen = path.lstat()
    except OSError as error:
        raise RunDirUnsafe(
            f"{path} cannot be made: {error.strerror}",
            hint="run as an ordinary user, or install envkit outside of /root",
        ) from None
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != 0:
        raise RunDirUnsafe(
            f"{path} does not belong to root alone",
            hint=f"rm -r {path}",
        )
    return path


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0


def data_parents(wanted: str = "") -> list[tuple[Path, int]]:
    """Where the servers' data may go, the best place first, each with the bytes it must have free.

    Args:
        wanted: The parent to use, from the configuration.
    """
    if wanted:
        return [(Path(wanted), _ROOM_ANYWHERE)]
    # gettempdir() is cached and raises without a writable place, so ask for each by name
    tmp = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - mkdtemp makes an unguessable name
    return [(_SHM, _ROOM_ON_TMPFS), (Path(tmp), _ROOM_ANYWHERE)]


def data_dir(key: str, wanted: str = "") -> Path:
    """Make the directory for one keeper's servers, on a tmpfs where one has room.

    Args:
        key: Becomes part of the name, so that leftovers tell whose they are.
        wanted: The parent to use, from the configuration.

    Raises:
        TmpReadonly: Nowhere to write.
        DiskFull: Nowhere with at least 256 MiB left.
    """
    full: list[str] = []
    denied: list[str] = []
    for parent, room in data_parents(wanted):
        free = _free(parent)
        try:
            made = Path(tempfile.mkdtemp(prefix=f"envkit-{key}-", dir=parent))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                full.append(f"{parent} is full")
            elif parent != _SHM:  # not every system has /dev/shm, and nobody would miss it
                denied.append(f"{parent}: {error.strerror}")
            continue
        if free >= room:
            return made
        made.rmdir()
        if parent != _SHM or free:
            full.append(f"{parent} has {free >> 20} MiB free of {room >> 20} MiB needed")
    hint = "free some room, or set TMPDIR (or data_dir in [tool.envkit]) to a place that has it"
    if wanted and not Path(wanted).is_dir():
        raise TmpReadonly(
            f"{wanted}, where the servers' data should go, is not a directory",
            hint=f"mkdir -p {wanted}, or change data_dir in [tool.envkit]",
        )
    if denied:
        raise TmpReadonly(
            f"the servers' data cannot be written ({'; '.join(denied + full)})",
            hint="set TMPDIR (or data_dir in [tool.envkit]) to a directory you can write to",
        )
    raise DiskFull(f"no room for the servers' data ({'; '.join(full)})", hint=hint)
