"""Postgres: what the server lacks on its machine, and what became of its data directory."""

from __future__ import annotations

import re

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.psql import identifier, place_of, sql

__all__: list[str] = []

_FULL = r"(?:No space left on device|Disk quota exceeded)"


def _is_shared_memory(seen: Seen) -> bool:
    text, routine = seen.symptom.text, seen.get("routine")
    return bool(re.search(r"shared memory segment", text)) or routine.startswith("dsm_impl")


@rule(
    "pg.disk.full",
    source="postgres",
    codes=["53100"],
    texts=[
        # Two blanks after the severity: a server's log, or libpq
        rf"(?:ERROR|FATAL|PANIC|LOG):  could not [^\n]*: {_FULL}",
        rf"could not extend file \"[^\"]*\"[^\n]*: {_FULL}",
        rf"could not write to file \"(?:base|pg_wal|pg_logical|global)/[^\"]*\": {_FULL}",
        r"could not extend file \"[^\"]*\": wrote only \d+ of \d+ bytes",
        rf"(?:initdb|pg_ctl|pg_basebackup|pg_restore): error: [^\n]*{_FULL}",
    ],
    layer="server",
    explains=["pg.state.starting", "pg.state.killed", "host.disk.full", "docker.container."],
)
def disk_full(seen: Seen) -> Finding | None:
    """The file system of the server's data is full.

    Why: Volumes and images of former runs fill the disk, or the virtual machine's disk of Docker
    Desktop; or the data directory is a small tmpfs.

    Fix: See what takes the room, and remove it.
    """
    if _is_shared_memory(seen):
        return None
    file = re.search(r'file "(?P<file>[^"]*)"', seen.symptom.text)
    return seen.finding(
        title="the disk of the Postgres server is full",
        cause=f"there was no room left to write {file['file']}"
        if file
        else "there is no room left on the file system that its data directory is on",
        fix="free some: 'df -h' on its machine; with Docker 'docker system df' and 'docker volume "
        "prune'; a tmpfs of its own may simply be too small",
    )


@rule(
    "pg.shm.small",
    source="postgres",
    codes=["53100"],
    texts=[
        r"could not (?:resize|write to|create|open) shared memory segment \"?[^\n]*"
        r"No space left on device",
    ],
    layer="server",
)
def shm_small(seen: Seen) -> Finding | None:
    """Shared memory is used up; the disk is not full, although it says so.

    Why: Parallel queries use /dev/shm, and Docker gives containers 64 MB of it.

    Fix: Start the container with --shm-size=1g, or the server with
    dynamic_shared_memory_type=mmap.
    """
    if not _is_shared_memory(seen):
        return None
    size = re.search(r"to (\d+) bytes", seen.symptom.text)
    much = f" for {max(1, round(int(size[1]) / 2**20))} MB" if size else ""
    return seen.finding(
        title=f"shared memory (/dev/shm) of the Postgres server is too small{much}",
        cause="a parallel query needs shared memory, and Docker gives a container 64 MB unless it "
        "is told otherwise; this is not the disk",
        fix="docker run --shm-size=1g (compose: shm_size: 1g), or start the server with "
        "-c dynamic_shared_memory_type=mmap",
    )


@rule(
    "pg.mem",
    source="postgres",
    codes=["53200"],
    texts=[
        r"(?:ERROR|FATAL|PANIC|LOG):  out of (?P<shared>shared )?memory",
        r"could not map anonymous shared memory: Cannot allocate memory",
        r"could not fork [^\n]*: Cannot allocate memory",
        r"Failed on request of size \d+ in memory context",
    ],
    layer="server",
)
def memory(seen: Seen) -> Finding:
    """The server got no memory.

    Why: Its container or machine has too little for its settings; or so many objects are locked at
    once that its lock table, which has a fixed size, is full.

    Fix: Raise the limit, or lower shared_buffers and work_mem; for "shared memory" raise
    max_locks_per_transaction.
    """
    text = seen.symptom.text
    if "out of shared memory" in text or "max_locks_per_transaction" in text:
        return seen.finding(
            title="the lock table of the Postgres server is full",
            cause="a transaction locks more tables than max_locks_per_transaction allows for, such "
            "as one that drops or creates a whole schema",
            fix="do it in several transactions, or start the server with "
            "-c max_locks_per_transaction=256",
        )
    return seen.finding(
        title="the Postgres server got no memory",
        cause="its machine or container has less than its settings want",
        fix="raise the container's memory limit, or lower shared_buffers, work_mem and the number "
        "of connections",
    )


@rule(
    "pg.collation.mismatch",
    source="host",
    codes=["PG_COLLATION"],
    texts=[
        r"(?P<what>template database|database|collation) \"(?P<name>[^\"]*)\" has (?:a )?"
        r"(?:collation )?version mismatch",
        r"(?P<what2>database|template database) \"(?P<name2>[^\"]*)\" has (?:"
        r"a collation version, but no actual collation version|no actual collation version, but)",
    ],
    severity="warning",
    layer="server",
)
def collation(seen: Seen) -> Finding:
    """Text was sorted by other rules when the database was made.

    Why: The server's operating system or image changed under its volume (Debian to Alpine, or a
    newer glibc or ICU). Indexes on text may be wrong.

    Fix: REINDEX, then REFRESH COLLATION VERSION; or start with an empty volume.
    """
    name = seen.get("name") or seen.get("name2")
    what = seen.get("what") or seen.get("what2") or "database"
    place = place_of(seen)
    kind = "DATABASE" if "database" in what else "COLLATION"
    shown = identifier(name)
    statements = [f"ALTER {kind} {shown} REFRESH COLLATION VERSION"]
    if kind == "DATABASE":
        statements.insert(0, f"REINDEX DATABASE {shown}")
    database = name if kind == "DATABASE" else place.database
    return seen.finding(
        title=f"{what} {name} was sorted by another version of its collation",
        cause="the image or operating system under the server's volume has changed; indexes on "
        "text may be wrong",
        fix="rebuild the indexes and note the new version, or start with an empty volume",
        command=sql(place, *statements, database=database) if database else "",
    )


@rule(
    "pg.datadir.version",
    source="postgres",
    texts=[
        r"database files are incompatible with server",
        r"data directory was initialized by PostgreSQL version (?P<old>[\d.]+)[^\n]* this version "
        r"(?P<new>[\d.]+)",
        # The image of 18 and later: docker-entrypoint.sh
        r"there appears to be PostgreSQL data in:",
        r"in 18\+, these Docker images are configured to store database data in",
    ],
    layer="server",
    explains=["docker.container.exited"],
)
def version(seen: Seen) -> Finding:
    """The data directory belongs to another major version of Postgres.

    Why: The tag of an image without a version, or with a newer one, met a volume of an older one.

    Fix: Name the major version that wrote it, or drop the volume.
    """
    found = re.search(
        r"by PostgreSQL version (?P<old>[\d.]+).*this version (?P<new>[\d.]+)", seen.symptom.text
    )
    which = f"Postgres {found['old']}, not of {found['new']}" if found else "another Postgres"
    return seen.finding(
        title=f"the data directory is one of {which}",
        cause="the image's tag is not pinned to a major version, or was raised, and the volume is "
        "still the old one",
        fix=f"use postgres:{found['old'] if found else 'OLD'}, or drop the volume: "
        "'docker compose down -v' deletes its data",
    )


@rule(
    "pg.data.corrupt",
    source="postgres",
    codes=["XX001", "XX002", "58P01"],
    texts=[
        r"invalid page in block \d+ of relation",
        r"could not read block \d+ in file [^\n]*: read only \d+ of \d+ bytes",
        r"could not open file \"(?:base|global|pg_xact|pg_wal|pg_multixact)/[^\"]*\": No such file",
        r"(?:PANIC|FATAL):  could not locate a valid checkpoint record",
        r"postgres: could not find the database system",
        r"index \"[^\"]*\" contains unexpected zero page",
        r"missing chunk number \d+ for toast value",
    ],
    layer="server",
)
def corrupt(seen: Seen) -> Finding | None:
    """Files of the data directory are damaged or gone.

    Why: Somebody removed or copied it while the server ran, a disk or a machine failed, or it ran
    with fsync = off and was cut off.

    Fix: Data of tests: make the server anew. Otherwise REINDEX, or the backup.
    """
    if seen.symptom.code == "58P01" and seen.match is None:
        return None  # files of an extension, mostly
    return seen.finding(
        title="data of the Postgres server is damaged or missing",
        cause="its data directory was removed, or copied while it ran, or it lost power with "
        "fsync = off",
        fix="start it with an empty data directory; if only an index is named, REINDEX mends it",
    )


@rule(
    "pg.lockfile",
    source="postgres",
    codes=["F0001"],
    texts=[
        r"FATAL:  lock file \"(?P<file>[^\"]*)\" (?:already exists|is empty)",
        r"FATAL:  bogus data in lock file \"(?P<file2>[^\"]*)\"",
        r"pre-existing shared memory block \([^)]*\) is still in use",
        r"pg_ctl: another server might be running",
    ],
    layer="server",
)
def lockfile(seen: Seen) -> Finding:
    """A server holds the data directory or the socket already, or seems to.

    Why: Two servers were given one data directory (a volume that two containers share), or a
    server was killed and its process number is now another process's.

    Fix: See whether the process is a Postgres; only if not, remove the file.
    """
    text = seen.symptom.text
    pid = re.search(r"\(PID (\d+)\)", text)
    place = re.search(r'(?:data directory|socket file) "([^"]*)"', text)
    whose = f" (process {pid[1]})" if pid else ""
    return seen.finding(
        title=f"another Postgres{whose} has {place[1] if place else 'this data directory'}",
        cause="it is still running, or was killed and left its lock file; two containers may share "
        "a volume",
        fix=(f"look at 'ps -p {pid[1]}': stop it if it is a Postgres" if pid else "stop the other")
        + "; remove the lock file only if there is none",
    )
