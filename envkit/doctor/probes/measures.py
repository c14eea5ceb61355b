"""Measuring the machine: room, memory, limits. Numbers only; nothing is judged here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

__all__ = ["Room", "available_memory", "free_processes", "mebibytes", "room_at"]


_MOUNTED: Final = Path("/sys/fs/cgroup")
#: Version 1 writes the largest number there is where there is no limit.
_UNLIMITED: Final = 1 << 60


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
    """What the narrowest control group's limit leaves."""
    found: list[int] = []
    for group in _groups("memory"):
        limit = _number(group, "memory.max", "memory.limit_in_bytes")
        used = _number(group, "memory.current", "memory.usage_in_bytes")
        if limit is None or used is None or limit >= _UNLIMITED:
            continue
        # The page cache is given back when it is needed.
        cache = sum(
            int(line.split()[1])
            for line in _lines(str(group / "memory.stat"))
            if line.startswith(("active_file ", "inactive_file "))
        )
        found.append(limit - used + cache)
    return min(found, default=None)


def free_processes() -> int | None:
    """How many more processes and threads may be started; None without a limit that matters."""
    found: list[int] = []
    for group in _groups("pids"):
        limit, used = _number(group, "pids.max"), _number(group, "pids.current")
        if limit is not None and used is not None:
            found.append(limit - used)
    return min(found, default=None)


def _groups(controller: str) -> list[Path]:
    """This process's control group and those above it.

    Of version 2 (Documentation/admin-guide/cgroup-v2.rst) or 1 (cgroup-v1/cgroups.rst).
    """
    for line in _lines("/proc/self/cgroup"):
        _, controllers, below = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _MOUNTED / controller if controllers else _MOUNTED
        path = root / below.strip().lstrip("/")
        found = [path, *(one for one in path.parents if one.is_relative_to(root))]
        if controllers or any((one / f"{controller}.current").exists() for one in found):
            return found
    return []


def _number(group: Path, *names: str) -> int | None:
    for name in names:
        try:
            return int((group / name).read_text())
        except (OSError, ValueError):  # the latter: "max"
            continue
    return None


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
