"""The machine: room where servers and tests write, memory, limits, clock, encoding.

Each threshold is far below what ordinary laptops and CI runners have: who is told of one is about
to fail.
"""

from __future__ import annotations

import codecs
import errno
import locale
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from envkit.doctor.model import Symptom
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.doctor.probes.measures import (
    Room,
    available_memory,
    free_processes,
    mebibytes,
    room_at,
)
from envkit.paths import data_parents, private_dir, run_path

__all__ = ["PROBES"]

_LIMIT_S: Final = 1.0
#: A fresh Postgres is about a thousand files, and each database made from a template 300 more.
_FILES_FOR_SERVERS: Final = 1500
#: Below this Postgres' parallel queries fail; containers get 64 MiB, of which little is used.
_SHM: Final = 8 << 20
#: A fresh Postgres and Redis take 80 MiB, ClickHouse 330; below this the kernel begins to kill.
_MEMORY: Final = 256 << 20
#: macOS gives 256, and that is enough; pytest and the keeper with three servers need some 60.
_OPEN_FILES: Final = 128
#: Postgres starts six processes and one for each connection; chdb and pytest-xdist some dozens.
_PROCESSES: Final = 50
#: Files may be newer than the clock by a day: time zones, file systems that keep local time.
_AHEAD_S: Final = 36 * 3600.0


class _Need(Struct, frozen=True, kw_only=True):
    """How much room a use needs.

    Attributes:
        least: Bytes below which it fails.
        some: Bytes below which it may fail soon.
        least_files: Number of files below which it fails.
        some_files: Number of files below which it may fail soon.
    """

    use: str
    least: int
    some: int
    least_files: int
    some_files: int


#: pytest's tmp_path and what drivers and compilers put there.
_TEMPORARY: Final = _Need(
    use="temporary files", least=4 << 20, some=32 << 20, least_files=20, some_files=500
)
#: A pristine data directory of each version is kept there; without it each start takes longer.
_CACHE: Final = _Need(use="envkit's cache", least=0, some=64 << 20, least_files=0, some_files=1500)
#: Locks, and the logs of runs that ended badly.
_STATE: Final = _Need(
    use="envkit's state", least=64 << 10, some=4 << 20, least_files=5, some_files=50
)


def _look_at_room(context: Context) -> Looked:
    wanted = context.config.settings.data_dir if context.config else ""
    symptoms = list(_for_servers(wanted))
    told = {one.data["place"] for one in symptoms}
    for place, need in (
        (_temporary(context.environ), _TEMPORARY),
        (_base(context.environ, "XDG_CACHE_HOME", ".cache"), _CACHE),
        (_base(context.environ, "XDG_STATE_HOME", ".local/state"), _STATE),
    ):
        there = _nearest(place)
        if there is None:
            continue
        for one in _compared(there, need):
            if one.data["place"] not in told:
                told.add(one.data["place"])
                symptoms.append(one)
    best = max((_free(parent) for parent, _ in data_parents(wanted)), default=0)
    return Looked(detail=f"{mebibytes(best)} free for the servers' data", symptoms=tuple(symptoms))


def _temporary(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("TMPDIR") or "/tmp")  # noqa: S108 - looked at only


def _base(environ: Mapping[str, str], variable: str, usual: str) -> Path:
    return Path(environ.get(variable) or Path(environ.get("HOME") or "/", usual))


def _nearest(place: Path) -> Path | None:
    """The place, or what it would be made in."""
    return next((one for one in (place, *place.parents) if one.is_dir()), None)


def _free(place: Path) -> int:
    try:
        return room_at(place).free
    except OSError:
        return 0


def _for_servers(wanted: str) -> Iterator[Symptom]:
    """Nothing if any of the places will do; else what is wrong with the last one."""
    found: list[Symptom] = []
    for parent, needed in data_parents(wanted):
        try:
            room = room_at(parent)
        except OSError:
            continue  # somebody else says that it is not there
        if not room.writable:
            continue
        if room.files is not None and room.files < _FILES_FOR_SERVERS:
            found.append(_short_of_files(parent, room, "the servers' data", "INODES_FULL"))
        elif room.free < needed:
            found.append(_short(parent, room, "the servers' data", "DISK_FULL", needed))
        else:
            return
    yield from found[-1:]


def _compared(place: Path, need: _Need) -> Iterator[Symptom]:
    try:
        room = room_at(place)
    except OSError:
        return
    if room.files is not None and room.files < need.some_files:
        code = "INODES_FULL" if room.files < need.least_files else "INODES_LOW"
        yield _short_of_files(place, room, need.use, code)
    elif room.free < need.some:
        code = "DISK_FULL" if room.free < need.least else "DISK_LOW"
        yield _short(place, room, need.use, code, need.some)


def _short(place: Path, room: Room, use: str, code: str, needed: int) -> Symptom:
    free = mebibytes(room.free)
    return _told(
        code,
        f"{place} has {free} free, of {mebibytes(needed)} that {use} need",
        "Disk",
        place=str(place),
        use=use,
        free=free,
    )


def _short_of_files(place: Path, room: Room, use: str, code: str) -> Symptom:
    text = f"{place} has {room.files} free inodes"
    return _told(code, text, "Disk", place=str(place), use=use, free=str(room.files))


def _told(code: str, text: str, check: str, **data: str) -> Symptom:
    return Symptom(source="host", code=code, text=text, check=check, data=data)


def _look_at_places(context: Context) -> Looked:
    """What is written to is writable, and what is private is private."""
    symptoms: list[Symptom] = []
    place = _temporary(context.environ)
    places = [(place, "TMPDIR" if context.environ.get("TMPDIR") else "")]
    if context.config and (wanted := context.config.settings.data_dir):
        places.append((Path(wanted), "data_dir in [tool.envkit]"))
    for place, origin in places:
        # access() also knows of file systems that are mounted read-only.
        if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            continue
        why = "cannot be written to" if place.is_dir() else "is not there"
        symptoms.append(
            _told(
                "TMP_READONLY",
                f"{place} {why}",
                "Directories",
                place=str(place),
                why=why,
                origin=origin,
            )
        )
    run = run_path()
    if run.exists():
        private_dir(run)  # what it raises is a symptom
    return Looked(
        detail=", ".join(str(one) for one in (*dict(places), run)), symptoms=tuple(symptoms)
    )


def _look_at_memory(context: Context) -> Looked:
    symptoms: list[Symptom] = []
    found = available_memory()
    if found is not None and found[0] < _MEMORY:
        free = mebibytes(found[0])
        text = f"{free} of memory can be had"
        symptoms.append(_told("MEMORY_LOW", text, "Memory", free=free, limit=found[1]))
    shm = Path("/dev/shm")  # noqa: S108 - looked at only
    services = context.config.settings.services if context.config else ()
    if "postgres" in services and shm.is_dir() and (left := _free(shm)) < _SHM:
        free = mebibytes(left)
        symptoms.append(_told("SHM_LOW", f"{shm} has {free} free", "Memory", free=free))
    detail = f"{mebibytes(found[0])} free" if found else "this system does not say"
    return Looked(detail=detail, symptoms=tuple(symptoms))


def _look_at_limits(_: Context) -> Looked:
    import resource  # of Unix alone

    symptoms: list[Symptom] = []
    files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < _OPEN_FILES:
        text = f"RLIMIT_NOFILE is {files}"
        symptoms.append(_told("FILES_LOW", text, "Limits", limit=str(files)))
    processes = free_processes()
    if processes is not None and processes < _PROCESSES:
        text = f"{processes} of pids.max are left"
        symptoms.append(_told("PROCESSES_LOW", text, "Limits", free=str(processes)))
    try:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
            raise
        text = f"bind to 127.0.0.1, port 0: {error.strerror}"
        symptoms.append(_told("NO_PORT", text, "Limits"))
    limit = "no limit" if files == resource.RLIM_INFINITY else str(files)
    return Looked(detail=f"open files: {limit}", symptoms=tuple(symptoms))


def _look_at_clock(context: Context) -> Looked:
    symptoms: list[Symptom] = []
    now = time.time()
    newest = max(
        (_changed(path) for path in (__file__, sys.executable, "/etc/passwd", context.root)),
        default=0.0,
    )
    if newest > now + _AHEAD_S:
        days = (newest - now) / 86400
        what = f"the clock is {days:.0f} days behind files of this machine"
        symptoms.append(_told("CLOCK", what, "Clock and encoding", what=what))
    name = codecs.lookup(locale.getpreferredencoding(False)).name
    if name != "utf-8" and os.name == "posix":
        what = f"Python's encoding here is {name}"
        symptoms.append(_told("ENCODING", what, "Clock and encoding", codec=name))
    stamp = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    return Looked(detail=f"{stamp}, {name}", symptoms=tuple(symptoms))


def _changed(path: str | Path) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0


PROBES: Final = tuple(
    Probe(name=name, group="Host", limit=_LIMIT_S, look=look)
    for name, look in (
        ("Disk", _look_at_room),
        ("Directories", _look_at_places),
        ("Memory", _look_at_memory),
        ("Limits", _look_at_limits),
        ("Clock and encoding", _look_at_clock),
    )
)
