"""The machine: room, memory, limits, clock. What a probe measured, and what says so for certain."""

from __future__ import annotations

import shlex

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule("host.disk.full", source="host", codes=["DISK_FULL", "DISK_LOW"], layer="host")
def disk_full(seen: Seen) -> Finding:
    """There is too little room where tests and servers write.

    Why: What earlier runs, package managers and containers left; on a tmpfs such as /dev/shm the
    room is memory.

    Fix: See what takes the room with du, and remove it; or set TMPDIR or data_dir to a place that
    has some.
    """
    low = seen.symptom.code == "DISK_LOW"
    place, use = seen.get("place"), seen.get("use")
    return seen.finding(
        title=f"{place} ({use}) has {seen.get('free')} left",
        cause=f"the file system that {place} lies on is {'nearly ' if low else ''}full",
        fix="remove what takes the room, or set TMPDIR (or data_dir in [tool.envkit]) elsewhere",
        command=f"du -xsh {shlex.quote(place)}/* | sort -h | tail",
        severity="warning" if low else None,
    )


@rule("host.inodes.full", source="host", codes=["INODES_FULL", "INODES_LOW"], layer="host")
def inodes_full(seen: Seen) -> Finding:
    """No more files can be made where tests and servers write, though there may be room.

    Why: A file system has a fixed number of inodes, and very many small files (caches, sessions,
    node_modules) use them up. It is reported as "No space left on device", too.

    Fix: Find the directory with the most files, and remove what nobody needs.
    """
    low = seen.symptom.code == "INODES_LOW"
    place, use = seen.get("place"), seen.get("use")
    return seen.finding(
        title=f"{place} ({use}) has room for {seen.get('free')} more files only",
        cause="the inodes of its file system are used up by very many small files",
        fix="find the directory with the most files, and remove what nobody needs",
        command=f"du -x --inodes {shlex.quote(place)} | sort -n | tail",
        severity="warning" if low else None,
    )


@rule(
    "host.tmp.readonly",
    source="host",
    codes=["TMP_READONLY"],
    texts=[
        r"No usable temporary directory found in \[",
        r"Read-only file system: '(?P<place>(?:/tmp|/var/tmp|/dev/shm)[^']*)'",
        r"Permission denied: '(?P<place2>(?:/tmp|/var/tmp|/dev/shm))'",
    ],
    layer="host",
)
def tmp_readonly(seen: Seen) -> Finding:
    """The directory for temporary files cannot be written to.

    Why: TMPDIR names a directory that does not exist or belongs to somebody else, or the file
    system is mounted read-only, as in hardened containers.

    Fix: Set TMPDIR to a directory that can be written to; in a container mount a tmpfs on /tmp.
    """
    place, origin = seen.get("place") or seen.get("place2"), seen.get("origin")
    return seen.finding(
        title=f"{place} {seen.get('why', 'cannot be written to')}"
        if place
        else "there is no temporary directory that can be written to",
        cause=f"{origin} names it, and this user cannot write there"
        if origin
        else "it is missing, read-only, or somebody else's",
        fix=f"make it, or set {origin or 'TMPDIR'} to a directory that you can write to",
        command="" if "data_dir" in origin else "export TMPDIR=$(mktemp -d -p /var/tmp)",
    )


@rule(
    "host.ports.exhausted",
    source="host",
    codes=["NO_PORT"],
    texts=[
        r"all ports are allocated",
        r"no (?:more )?(?:free|available) ports? (?:left|available|to|in|found|within)",
    ],
    layer="host",
)
def no_ports(seen: Seen) -> Finding:
    """The kernel has no free port to give.

    Why: Connections that were closed a moment ago hold theirs for a minute (TIME_WAIT), a leak
    holds very many open, or the range is set to be very small.

    Fix: See who holds them with ss -s and ss -tanp; widen net.ipv4.ip_local_port_range.
    """
    return seen.finding(
        title="there is no free port",
        cause="very many connections are open or were closed a moment ago, or the range is small",
        fix="see who holds them, and wait a minute or widen the range",
        command="ss -tan state time-wait | wc -l; sysctl net.ipv4.ip_local_port_range",
    )


@rule(
    "host.shm.small",
    source="host",
    codes=["SHM_LOW"],
    severity="warning",
    confidence="likely",
    layer="host",
)
def shm_small(seen: Seen) -> Finding:
    """The shared memory in /dev/shm has hardly any room.

    Why: Postgres keeps shared memory of parallel queries there. Containers get 64 MB unless told
    otherwise, and what a killed server left there stays.

    Fix: Give the container more (--shm-size=1g), or remove what is left there.
    """
    return seen.finding(
        title=f"{seen.get('free')} left in /dev/shm",
        cause="the container was given little, or killed servers left their segments there",
        fix="start the container with --shm-size=1g, or remove what nobody uses from /dev/shm",
        command="ls -la /dev/shm",
    )


@rule(
    "host.memory.low",
    source=("host", "socket"),
    codes=["MEMORY_LOW", "ENOMEM"],
    texts=[r"\[Errno 12\] Cannot allocate memory", r"fork.*: Cannot allocate memory"],
    severity="warning",
    confidence="likely",
    layer="host",
)
def memory_low(seen: Seen) -> Finding:
    """The machine or the container that the tests run in is short of memory.

    Why: Other programs take it, or the limit of the container or CI job is small. The kernel ends
    a server for it without a word.

    Fix: End what is not needed, run fewer tests at once (pytest -n), or raise the limit.
    """
    free = seen.get("free")
    return seen.finding(
        title=f"{free} of memory left" if free else "the kernel has no memory to give",
        cause=f"{seen.get('limit', 'other programs')} leave no more",
        fix="end what is not needed, run fewer tests at once, or raise the limit",
    )


@rule(
    "host.files.limit",
    source=("host", "socket"),
    codes=["FILES_LOW", "EMFILE", "ENFILE"],
    texts=[r"\[Errno (?:24|23)\] Too many open files", r"\bToo many open files\b"],
    layer="host",
)
def too_many_files(seen: Seen) -> Finding:
    """A process has as many files and connections open as it may.

    Why: Connections or files are not closed, or the limit is small (256 on macOS).

    Fix: Close what is not used; raise the limit with ulimit -n.
    """
    limit = seen.get("limit")
    return seen.finding(
        title=f"a process may open {limit} files only" if limit else "too many files are open",
        cause="the limit is small"
        if limit
        else "something does not close its files or connections, or the limit is small",
        fix="raise the limit; close what is not used",
        command="ulimit -n 4096",
        severity="warning" if limit else None,
        confidence="certain" if limit else "likely",
    )


@rule(
    "host.processes.limit",
    source="host",
    codes=["PROCESSES_LOW"],
    texts=[
        r"can't start new thread",
        r"fork: (?:retry: )?Resource temporarily unavailable",
        r"(?:fork/exec|pthread_create)[^\n]*Resource temporarily unavailable",
        r"could not fork (?:new process|autovacuum|worker)[^\n]*Resource temporarily unavailable",
    ],
    layer="host",
)
def too_many_processes(seen: Seen) -> Finding:
    """No more processes or threads may be started.

    Why: The user's limit (ulimit -u) or the container's (--pids-limit) is reached.

    Fix: End what is left from earlier runs, run fewer tests at once, or raise the limit.
    """
    free = seen.get("free")
    return seen.finding(
        title=f"{free} more processes may be started only"
        if free
        else "no more processes or threads may be started",
        cause="the limit of this user or container is reached",
        fix="end what is left from earlier runs, run fewer tests at once, or raise the limit",
        severity="warning" if free else None,
    )


@rule(
    "host.clock.wrong",
    source="host",
    codes=["CLOCK"],
    texts=[
        r"certificate (?:is|has expired or is) not yet valid",
        r"certificate verify failed: certificate is not yet valid",
    ],
    severity="warning",
    confidence="likely",
    layer="host",
)
def clock(seen: Seen) -> Finding | None:
    """The machine's clock is wrong.

    Why: A virtual machine that was suspended goes on with the old time. Tokens and certificates
    are then not valid yet, or not any more.

    Fix: Set it: restart the virtual machine's time service.
    """
    if "expired or" in seen.symptom.text and " is before " not in seen.symptom.text:
        return None  # of the two it is the other one: that is no matter of the clock
    return seen.finding(
        title=seen.get("what") or "a certificate is not valid yet",
        cause="this machine's clock is behind",
        fix="set the clock: sudo timedatectl set-ntp true",
        command="timedatectl status",
    )
