"""Redis and Valkey: states in which they refuse work."""

from __future__ import annotations

from envkit.doctor.commands import place, redis_cli
from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

_AOF = r"MISCONF Errors writing to the AOF file|configured to persist data to AOF"


@rule(
    "redis.state.loading",
    source="redis",
    codes=["LOADING"],
    texts=[
        r"\bLOADING \S+ is loading the dataset in memory",
        r"BusyLoadingError: \S+ is loading the dataset in memory",
    ],
    layer="server",
)
def loading(seen: Seen) -> Finding:
    """Redis still reads its data from disk and answers nothing else.

    Why: It was started just now, and a large dump or append-only file lies in its volume.

    Fix: Wait for PONG before the tests; for tests start it with an empty volume.
    """
    return seen.finding(
        title=f"Redis{f' at {at}' if (at := place(seen)) else ''} is still loading its data",
        cause="it was started just now with a large dump or append-only file in its volume",
        fix='wait until PING says PONG; for tests drop the volume and use --save ""',
    )


@rule(
    "redis.persist.misconf",
    source="redis",
    codes=["MISCONF"],
    texts=[
        r"MISCONF \S+ is configured to save RDB snapshots",
        r"is configured to save RDB snapshots, but",
        r"Failed opening the (?:temp )?RDB file [^\n]*(?:Permission denied|Read-only|No space)",
        r"Write error saving DB on disk|Write error while saving DB to the disk",
        r"Error moving temp DB file",
        r"Can't save in background: fork: (?P<fork>.+)",
        r"^\S+ [^\n]*# Background saving error$",
    ],
    layer="server",
    explains=["redis.kernel.overcommit"],
)
def snapshots_fail(seen: Seen) -> Finding | None:
    """Redis takes no writes, because it cannot save snapshots of its data.

    Why: The directory is not writable or the disk is full, or the kernel gave no memory for the
    child process that saves (vm.overcommit_memory = 0).

    Fix: For tests turn snapshots off with --save ""; else mend what its log says about the RDB.
    """
    if "AOF" in seen.symptom.text:
        return None
    kernel = seen.get("fork") or seen.get("overcommit") == "0"
    return seen.finding(
        title="Redis takes no writes: it cannot save its data",
        cause="its directory is not writable, or the disk is full"
        + (", or the kernel gives no memory for a fork (vm.overcommit_memory is 0)" * bool(kernel)),
        fix='a server for tests saves nothing: start it with --save ""',
        command=redis_cli(seen, "CONFIG", "SET", "save", ""),
    )


@rule(
    "redis.aof.misconf",
    source="redis",
    codes=["MISCONF"],
    texts=[
        _AOF,
        r"Error writing to the AOF file",
        r"Can't open (?:or create )?(?:the )?append[- ]only (?:file|dir)",
        r"Asynchronous AOF fsync is taking too long",
    ],
    layer="server",
)
def append_only_fails(seen: Seen) -> Finding | None:
    """Redis takes no writes, because it cannot write its append-only file.

    Why: The disk is full or slow, or the file or directory is not writable.

    Fix: For tests turn it off with --appendonly no; else free the disk.
    """
    if seen.match is None and "AOF" not in seen.symptom.text:
        return None
    if "taking too long" in seen.symptom.text:
        return seen.finding(
            title="the disk is slow for Redis' append-only file",
            cause="each write waits for the disk",
            fix="a server for tests needs none: --appendonly no",
            command=redis_cli(seen, "CONFIG", "SET", "appendonly", "no"),
            severity="warning",
        )
    return seen.finding(
        title="Redis takes no writes: it cannot write its append-only file",
        cause="the disk is full, or the file is not writable",
        fix="a server for tests needs none: --appendonly no",
        command=redis_cli(seen, "CONFIG", "SET", "appendonly", "no"),
    )


@rule(
    "redis.mem.oom",
    source="redis",
    codes=["OOM"],
    texts=[
        r"command not allowed when used memory > 'maxmemory'",
        r"\bOOM command not allowed",
    ],
    layer="server",
)
def out_of_memory(seen: Seen) -> Finding:
    """Redis takes no writes, because it uses as much memory as it may.

    Why: maxmemory is reached, and maxmemory-policy is noeviction.

    Fix: Raise maxmemory, or let it evict keys; tests should also clear what they write.
    """
    return seen.finding(
        title="Redis takes no writes: maxmemory is reached",
        cause="maxmemory is reached and nothing may be evicted (noeviction)",
        fix="raise maxmemory, or set it to 0 on a server for tests",
        command=redis_cli(seen, "CONFIG", "SET", "maxmemory", "0"),
    )


@rule(
    "redis.role.readonly",
    source="redis",
    codes=["READONLY"],
    texts=[
        r"\bREADONLY You can't write against a read only (?:replica|slave)",
        r"You can't write against a read only (?:replica|slave)",
    ],
    layer="server",
)
def replica(seen: Seen) -> Finding:
    """Redis takes no writes, because it is a replica.

    Why: The URL names a replica instead of the primary. A server that nobody made one may have
    been made one from outside: open ports without a password are found within hours.

    Fix: Use the primary's address, or REPLICAOF NO ONE; close the port if nobody of yours did it.
    """
    master = seen.get("master")
    return seen.finding(
        title=f"Redis is a read-only replica{f' of {master}' if master else ''}",
        cause="the URL names a replica; if nobody of yours made it one, its open port was abused",
        fix="name the primary, or make this one a primary; close its port to others",
        command=redis_cli(seen, "REPLICAOF", "NO", "ONE"),
    )


@rule(
    "redis.masterdown",
    source="redis",
    codes=["MASTERDOWN"],
    texts=[r"Link with MASTER is down and (?:replica|slave)-serve-stale-data is set to 'no'"],
    layer="server",
    explains=["redis.role.readonly"],
)
def primary_lost(seen: Seen) -> Finding:
    """A replica refuses to answer, because it cannot reach its primary.

    Why: The primary is down, and replica-serve-stale-data is no.

    Fix: Start the primary, or make this server one with REPLICAOF NO ONE.
    """
    return seen.finding(
        title="Redis is a replica that has lost its primary",
        cause="the primary is down, and replica-serve-stale-data is no",
        fix="start the primary, or make this server one",
        command=redis_cli(seen, "REPLICAOF", "NO", "ONE"),
    )


@rule(
    "redis.replicas",
    source="redis",
    codes=["NOREPLICAS"],
    texts=[r"\bNOREPLICAS Not enough good (?:replicas|slaves) to write", r"Not enough good slaves"],
    layer="server",
)
def too_few_replicas(seen: Seen) -> Finding:
    """Redis takes no writes, because too few replicas follow it.

    Why: min-replicas-to-write is set, and fewer are connected.

    Fix: Set min-replicas-to-write to 0 on a server for tests.
    """
    return seen.finding(
        title="Redis takes no writes: too few replicas follow it",
        cause="min-replicas-to-write is set, and fewer are connected",
        fix="set min-replicas-to-write to 0 on a server for tests",
        command=redis_cli(seen, "CONFIG", "SET", "min-replicas-to-write", "0"),
    )


@rule(
    "redis.busy",
    source="redis",
    codes=["BUSY"],
    texts=[
        r"\bBUSY \S+ is busy running a (?:script|module command)",
        r"still running after \d+ milliseconds[^\n]*SCRIPT KILL",
        r"(?:Slow script detected|Lua slow script detected): still in execution",
    ],
    layer="server",
)
def busy(seen: Seen) -> Finding:
    """Redis answers nothing but SCRIPT KILL, because a script runs too long.

    Why: A Lua script or function loops, or works on far too much data.

    Fix: SCRIPT KILL (FUNCTION KILL for functions); if it has written already, restart the server.
    """
    words = ("FUNCTION", "KILL") if "FUNCTION KILL" in seen.symptom.text else ("SCRIPT", "KILL")
    return seen.finding(
        title="Redis is busy with a script that does not end",
        cause="a Lua script loops, or works on far too much data",
        fix=f"{' '.join(words)}; if it has written already, only a restart helps",
        command=redis_cli(seen, *words),
    )


@rule(
    "redis.kernel.overcommit",
    source="redis",
    texts=[
        r"WARNING Memory overcommit must be enabled",
        r"WARNING overcommit_memory is set to 0",
    ],
    severity="info",
    layer="server",
)
def overcommit(seen: Seen) -> Finding:
    """Redis warns at its start that the kernel may refuse memory to the child that saves data.

    Why: vm.overcommit_memory is 0. It matters only to servers that save to disk or have replicas.

    Fix: sysctl vm.overcommit_memory=1 on the host; a server for tests that saves nothing needs it
    not.
    """
    return seen.finding(
        title="Redis warns that the kernel may refuse it memory",
        cause="vm.overcommit_memory is 0; that matters only if it saves to disk or has replicas",
        fix="on the host of the server, if it saves anything",
        command="sysctl vm.overcommit_memory=1",
    )
