"""Measuring the machine: room, memory, limits. Numbers only; nothing is judged here."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

__all__ = ["Room", "available_memory", "free_processes", "mebibytes", "room_at"]


class Room(Struct, frozen=True, kw_only=True):
    """What the file system of a place has left for this user.

    Attributes:
        device: Tells whether two places share it.
        free: Bytes.
        files: How many more files; None where the file system has no such limit.
        writable: Whether this user may write there.
    """

    device: int
    free: int
    files: int | None
    writable: bool


def room_at(place: Path) -> Room:
    """The room at a place that exists.

    Raises:
        OSError: It does not exist or may not be looked at.
    """
    seen = os.statvfs(place)
    return Room(
        device=place.stat().st_dev,
        free=seen.f_bavail * seen.f_frsize,
        files=seen.f_favail if seen.f_files else None,
        writable=os.access(place, os.W_OK | os.X_OK),
    )


def available_memory() -> tuple[int, str] | None:
    """Bytes that can be had without swapping, and what limits them; None where nobody says."""
    found: list[tuple[int, str]] = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            found.append((int(line.split()[1]) * 1024, "other programs"))
    limited = _within_group()
    if limited is not None:
        found.append((limited, "other programs in this container or job, and its limit,"))
    return min(found, default=None)


def _within_group() -> int | None:
    """What the control group's limit leaves; see Documentation/admin-guide/cgroup-v2.rst."""
    for group in _groups():
        try:
            limit = (group / "memory.max").read_text().strip()
            if limit == "max":
                continue
            used = int((group / "memory.current").read_text())
            # The page cache is given back when it is needed.
            cache = sum(
                int(line.split()[1])
                for line in _lines(str(group / "memory.stat"))
                if line.startswith(("active_file ", "inactive_file "))
            )
            return int(limit) - used + cache
        except (OSError, ValueError):
            continue
    return None


def free_processes() -> int | None:
    """How many more processes and threads may be started; None without a limit that matters."""
    for group in _groups():
        try:
            limit = (group / "pids.max").read_text().strip()
            if limit != "max":
                return int(limit) - int((group / "pids.current").read_text())
        except (OSError, ValueError):
            continue
    return None


def _groups() -> list[Path]:
    """This process's control group and those above it, the innermost first."""
    for line in _lines("/proc/self/cgroup"):
        if line.startswith("0::/"):
            below = Path(line[4:].strip())
            root = Path("/sys/fs/cgroup")
            return [root / one for one in (below, *below.parents)]
    return []


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def mebibytes(size: int) -> str:
    """For people."""
    if size >= 10 << 30:
        return f"{size >> 30} GiB"
    return f"{max(0, size) / (1 << 20):.{0 if size >= 10 << 20 else 1}f} MiB"
