"""Processes by pid and start time, and how to end them without leftovers; standard library only.

The watchdog imports this from an isolated interpreter, so it stays light.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time

TYPE_CHECKING = False  # what `typing` says at run time, without its 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "descendants",
    "end_processes",
    "free_shared_memory",
    "remove_directory",
    "remove_file",
    "start_time",
]

_GRACE_S = 0.4


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if it is gone or a zombie.

    Field 22 of /proc/PID/stat (proc(5)); with the pid it names a process for good. Where there is
    no /proc the pid alone has to do.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return 0
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def descendants(pids: Iterable[int]) -> set[int]:
    """The processes below these, and those in the sessions they lead, at this moment.

    The session finds the children of one that has died already: they belong to init now.
    """
    children: dict[int, list[int]] = {}
    try:
        everybody = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return set()
    for pid in everybody:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        parent, session = int(fields[1]), int(fields[3])
        children.setdefault(parent, []).append(pid)
        if session != pid:
            children.setdefault(session, []).append(pid)
    found: set[int] = set()
    todo = list(pids)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def free_shared_memory(path: str) -> None:
    """Remove the System V segments of dead servers whose data lies in this directory.

    Postgres takes the inode number of its data directory as the key (PGSharedMemoryCreate in
    src/backend/port/sysv_shmem.c). A segment goes only if nobody is attached to it and its creator
    is dead, so that an equal inode number of another file system does no harm.
    """
    try:
        with open("/proc/sysvipc/shm") as file:
            rows = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return
    abandoned = {
        int(key) & 0xFFFFFFFF: int(segment)
        for key, segment, _, _, creator, _, attached, *_ in rows
        if attached == "0" and start_time(int(creator)) is None
    }
    if not abandoned:
        return
    import ctypes

    libc = ctypes.CDLL(None)
    for directory in _directories(path, depth=2):
        with contextlib.suppress(OSError):
            segment = abandoned.get(os.stat(directory).st_ino & 0xFFFFFFFF)
            if segment is not None:
                libc.shmctl(segment, 0, None)  # 0 is IPC_RMID


def _directories(path: str, depth: int) -> list[str]:
    found = [path]
    if depth:
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            for one in entries:
                if one.is_dir(follow_symlinks=False):
                    found += _directories(one.path, depth - 1)
    return found


def signal_process(pid: int, started: int, number: int) -> None:
    if start_time(pid) == started:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_processes(processes: Mapping[int, tuple[int, int]]) -> None:
    """End these, first the way each wants it, then them and all below them by force.

    Args:
        processes: Pid to (start time, signal).
    """
    for pid, (started, number) in processes.items():
        signal_process(pid, started, number)
    grace = time.monotonic() + _GRACE_S
    # Looked at again each time: a shell may have been forking when its parent was ended.
    while everybody := _family(processes):
        now = time.monotonic()
        if now > grace:
            for pid, started in everybody.items():
                signal_process(pid, started, signal.SIGKILL)
        if now > grace + 1:
            return
        time.sleep(0.005)


def _family(processes: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Those of the processes that live, and all below them: pid to start time."""
    found: dict[int, int] = {}
    roots: list[int] = []
    for pid, (started, _) in processes.items():
        now = start_time(pid)
        if now == started:
            found[pid] = started
        if now in (started, None):  # else the number belongs to somebody else by now
            roots.append(pid)
    for pid in descendants(roots):
        if (started_below := start_time(pid)) is not None:
            found[pid] = started_below
    return found


def remove_directory(path: str) -> None:
    """Remove a directory of dead servers, and what they left elsewhere on account of it."""
    free_shared_memory(path)
    for _ in range(20):  # a process that is just ending may still make files
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
        time.sleep(0.02)


def remove_file(path: str) -> None:
    """Remove a file of ours and, if it was the last one in it, its directory."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))
