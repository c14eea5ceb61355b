"""Removing what keepers left that did not end well and whose watchdog was killed as well.

A keeper's lock is the proof: it is held as long as the keeper or its watchdog lives. Nothing is
touched whose lock is held or whose owner is not known.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from pathlib import Path

from msgspec import Struct

from envkit.engine.address import engine_address
from envkit.engine.facts import is_absent
from envkit.errors import DsnMalformed, EngineRefused, UnavailableError
from envkit.keeper import record
from envkit.keeper.target import target_of
from envkit.model import SERVICES, ServiceName, Settings
from envkit.owner import Owner
from envkit.paths import cache_dir, run_dir, state_dir
from envkit.processes import end_processes, remove_directory, start_time

__all__ = ["LOCK_FILE", "Pruned", "leftovers_of", "prune", "remove_data"]

#: In every data directory: locked as long as its keeper or watchdog lives, and says whose it is.
#: The keeper's own lock would prove nothing here: /dev/shm and /tmp may be shared with a container
#: that has another state directory.
LOCK_FILE = "lock"
_NAME = re.compile(r"envkit-([0-9a-f]{12})-")
_UNFINISHED_S = 3600.0
_BEING_MADE_S = 60.0  # a keeper locks its directory a millisecond after making it
_SAVED_LOGS_S = 7 * 24 * 3600.0


class Pruned(Struct, frozen=True, kw_only=True):
    """What was removed, and what was left alone and why."""

    removed: tuple[str, ...]
    left: tuple[str, ...]


def _data_parents(*more: str) -> list[Path]:
    tmp = os.environ.get("TMPDIR", "")
    parents = ["/dev/shm", tmp, "/tmp", *more]  # noqa: S108 - only read here
    return [Path(parent) for parent in dict.fromkeys(parents) if parent]


def leftovers_of(key: str, *more_parents: str) -> list[Path]:
    """Data directories of this key whose keeper is dead."""
    found: list[Path] = []
    for parent in _data_parents(*more_parents):
        with contextlib.suppress(OSError):
            found += [p for p in parent.glob(f"envkit-{key}-*") if _is_ours(p) and _is_dead(p)]
    return found


def remove_data(path: Path) -> None:
    """Remove a dead keeper's data directory, and before it the servers that still run in it."""
    _end_servers_in(path)
    remove_directory(str(path))


def prune(
    *,
    older_than: float | None = None,
    data_dir: str = "",
    settings: Settings | None = None,
    root: str = "",
) -> Pruned:
    """Remove what is provably dead.

    Args:
        older_than: Seconds; also remove what is of that age and whose owner is not known.
        data_dir: A further directory to look into.
        settings: Of a project: the servers it attaches to are looked at as well.
        root: The project's directory.
    """
    removed: list[str] = []
    left: list[str] = []
    for path in sorted(state_dir().glob("*.keeper")):
        lock = record.lock(path.stem)
        if lock is None:
            continue
        try:
            about = record.read(path.stem)
            for data in leftovers_of(path.stem, data_dir):
                remove_data(data)
                removed.append(str(data))
            if about is not None:
                removed += _unlink(Path(about.socket))
            removed += _unlink(path)
        finally:
            os.close(lock)
    for parent in _data_parents(data_dir):
        with contextlib.suppress(OSError):
            for data in sorted(parent.glob("envkit-*-*")):
                if _NAME.match(data.name) and _is_ours(data) and data.is_dir():
                    dead = _is_dead(data)
                    age = time.time() - data.stat().st_mtime
                    if dead or (dead is None and older_than is not None and age > older_than):
                        remove_data(data)
                        removed.append(str(data))
                    elif dead is None and age > _BEING_MADE_S:
                        hours = f"{age / 3600:.1f} h old"
                        left.append(f"{data} (nothing says whose it is; {hours})")
    for path in sorted(run_dir().glob("*.sock")):
        if not _answers(path):
            removed += _unlink(path)
    removed += _old_files()
    if settings is not None:
        for service in SERVICES:
            if settings.backend_of(service) in ("attach", "auto"):
                more = _on_attached(service, settings, root, older_than)
                removed += more.removed
                left += more.left
    gone, stay = _containers(older_than)
    return Pruned(removed=(*removed, *gone), left=(*left, *stay))


def _containers(older_than: float | None) -> tuple[list[str], list[str]]:
    address = engine_address()
    if is_absent(address):
        return [], []  # who never had an engine need not hear of it
    from envkit.keeper.prune_containers import prune_containers  # 110 ms of imports

    try:
        return prune_containers(address, older_than=older_than)
    except (UnavailableError, EngineRefused) as error:
        return [], [f"containers, if there are any: {error.observed}"]


def _on_attached(
    service: ServiceName, settings: Settings, root: str, older_than: float | None
) -> Pruned:
    """What dead runs left on the server that a project attaches to, if it does."""
    target = target_of(service, settings, root)
    if target is None:
        return Pruned(removed=(), left=())
    from envkit.dsn import read
    from envkit.guard import why_not
    from envkit.keeper.attached import remove_dead
    from envkit.services import attached

    kind = attached.load(service)
    try:
        where = read(service, target.url, target.origin)
    except DsnMalformed as error:
        return Pruned(removed=(), left=(f"{service} ({error.observed})",))
    if why_not(where, settings.attach.allow):
        return Pruned(removed=(), left=())  # nothing of ours can be there
    place = f"{service} at {where.where}"
    try:
        removed, left = remove_dead(
            kind, kind.address(where, Owner.this_process().run), older_than=older_than
        )
    except Exception as error:  # nobody there, or no way in
        return Pruned(removed=(), left=(f"{place} (cannot be looked at: {error})",))
    return Pruned(
        removed=tuple(f"{name} on {place}" for name in removed),
        left=tuple(f"{words} on {place}" for words in left),
    )


def _is_dead(data: Path) -> bool | None:
    """Whether nobody holds the lock of this directory any more; None if it has none."""
    import fcntl

    try:
        descriptor = os.open(data / LOCK_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_ours(path: Path) -> bool:
    return path.lstat().st_uid == os.geteuid() and not path.is_symlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True


def _end_servers_in(data: Path) -> None:
    """Servers work in their directory, which is how they are found without their keeper."""
    found: dict[int, tuple[int, int]] = {}
    with contextlib.suppress(OSError):
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                where = (process / "cwd").readlink()
                pid = int(process.name)
                started = start_time(pid)
                if where.is_relative_to(data) and started is not None:
                    found[pid] = (started, int(signal.SIGQUIT))
    if found:
        end_processes(found)


def _unlink(path: Path) -> list[str]:
    try:
        path.unlink()
    except OSError:
        return []
    return [str(path)]


def _old_files() -> list[str]:
    removed: list[str] = []
    now = time.time()
    with contextlib.suppress(OSError):
        for path in (state_dir() / "logs").iterdir():
            if now - path.stat().st_mtime > _SAVED_LOGS_S:
                removed += _unlink(path)
    cache = cache_dir()
    places = [cache / "pristine"] if cache else []
    if os.geteuid() == 0:
        places.append(Path("/var/cache/envkit"))
    for place in places:
        for pattern in (".building-*", ".forgotten-*"):
            with contextlib.suppress(OSError):
                for path in place.glob(pattern):
                    if now - path.stat().st_mtime > _UNFINISHED_S:
                        remove_directory(str(path))
                        removed.append(str(path))
    return removed
