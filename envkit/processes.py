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
    "free_shared_memory_of",
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
    """The processes below these, at this moment."""
    children: dict[int, list[int]] = {}
    try:
        everybody = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return set()
    for pid in everybody:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = list(pids)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def free_shared_memory_of(pids: set[int]) -> None:
    """Remove the System V segments that these processes, now dead, made and left."""
    remove_shared_memory(shared_memory_of(pids))


def shared_memory_of(pids: set[int]) -> list[int]:
    """Ids of the System V segments that these processes made."""
    try:
        with open("/proc/sysvipc/shm") as file:
            rows = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return []
    return [int(row[1]) for row in rows if int(row[4]) in pids]


def remove_shared_memory(ids: list[int]) -> None:
    if not ids:
        return
    import ctypes

    libc = ctypes.CDLL(None)
    for segment in ids:
        libc.shmctl(segment, 0, None)  # 0 is IPC_RMID; one that is gone already is no matter


def signal_process(pid: int, started: int, number: int) -> None:
    if start_time(pid) == started:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_processes(processes: Mapping[int, tuple[int, int]]) -> None:
    """End these and all below them: first the way each wants it, then by force.

    Args:
        processes: Pid to (start time, signal).
    """
    living = {pid: s for pid, s in processes.items() if start_time(pid) == s[0]}
    below = {p: s for p in descendants(living) if (s := start_time(p)) is not None}
    segments = shared_memory_of(set(living))
    for pid, (started, number) in living.items():
        signal_process(pid, started, number)
    everybody = {pid: started for pid, (started, _) in living.items()} | below
    limit = time.monotonic() + _GRACE_S
    while time.monotonic() < limit:
        everybody = {p: s for p, s in everybody.items() if start_time(p) == s}
        if not everybody:
            break
        time.sleep(0.005)
    for pid, started in everybody.items():
        signal_process(pid, started, signal.SIGKILL)
    while any(start_time(p) == s for p, s in everybody.items()) and time.monotonic() < limit + 1:
        time.sleep(0.005)
    remove_shared_memory(segments)


def remove_directory(path: str) -> None:
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
