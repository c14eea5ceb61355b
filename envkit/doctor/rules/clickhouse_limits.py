"""ClickHouse: limits that it runs into.

Codes are those of src/Common/ErrorCodes.cpp in https://github.com/ClickHouse/ClickHouse.
"""

from __future__ import annotations

import re

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule(
    "ch.timeout.query",
    source="clickhouse",
    codes=["159"],
    texts=[
        r"Timeout exceeded: elapsed (?P<elapsed>[\d.]+ \w+), maximum: (?P<limit>[\d.]+ ?\w*)",
        r"\(TIMEOUT_EXCEEDED\)",
    ],
    layer="server",
)
def query_timeout(seen: Seen) -> Finding:
    """A query took longer than it may.

    Why: max_execution_time of the user's profile or of the connection is short, or the query reads
    far too much.

    Fix: Raise max_execution_time, or mend the query.
    """
    limit = seen.get("limit").strip()
    return seen.finding(
        title=f"a ClickHouse query took longer than {limit}"
        if limit
        else "a ClickHouse query took longer than it may",
        cause="max_execution_time is short, or the query reads far too much",
        fix="raise max_execution_time, or mend the query",
    )


@rule(
    "ch.queries.too-many",
    source="clickhouse",
    codes=["202"],
    texts=[
        r"Too many simultaneous queries(?: for user \S+)?\. ",
        r"\(TOO_MANY_SIMULTANEOUS_QUERIES\)",
    ],
    layer="server",
)
def too_many_queries(seen: Seen) -> Finding:
    """ClickHouse runs as many queries at once as it may.

    Why: Too many tests run in parallel for max_concurrent_queries.

    Fix: Fewer workers (pytest -n), or a higher max_concurrent_queries.
    """
    return seen.finding(
        title="ClickHouse runs as many queries at once as it may",
        cause="too many tests run in parallel for max_concurrent_queries",
        fix="run fewer workers (pytest -n), or raise max_concurrent_queries",
    )


@rule(
    "ch.memory.limit",
    source="clickhouse",
    codes=["241"],
    texts=[
        r"memory limit exceeded: would use (?P<use>[\d.]+ \w+)",
        r"Memory limit \((?:total|for query|for user)\) exceeded",
        r"\(MEMORY_LIMIT_EXCEEDED\)",
    ],
    layer="server",
)
def memory_limit(seen: Seen) -> Finding:
    """A query, or the whole server, wanted more memory than it may have.

    Why: max_memory_usage of the query, or the server's limit, which follows from the container's
    memory; caches sized for production take part of it.

    Fix: Give the container more memory, shrink the caches (mark_cache_size), or raise the limit.
    """
    total = re.search(r"\(total\)|limit \(total\)|^\(total", seen.symptom.text)
    return seen.finding(
        title="the ClickHouse server is out of memory"
        if total
        else "a ClickHouse query wanted more memory than it may have",
        cause="the server's limit follows from the container's memory, and caches take part of it"
        if total
        else "max_memory_usage is reached",
        fix="give the container more memory, or shrink the caches (mark_cache_size)"
        if total
        else "raise max_memory_usage, or mend the query",
    )


@rule(
    "ch.oom-killed",
    source=("clickhouse", "docker", "process"),
    codes=["OOMKilled", "137"],
    texts=[
        r"Out of memory: Killed process \d+ \(clickhouse",
        r"oom-kill:[^\n]*task=clickhouse",
        r"clickhouse[^\n]* exited with code 137",
        r"clickhouse[^\n]*Exited \(137\)",
        r"Child process was terminated by signal 9 \(KILL\)[^\n]*OOM Killer",
    ],
    confidence="likely",
    layer="engine",
    explains=["docker.container.", "net.refused", "net.timeout", "ch.refused", "ch.timeout."],
)
def oom_killed(seen: Seen) -> Finding | None:
    """The ClickHouse server was killed, most probably for its use of memory.

    Why: It sizes its caches by the memory of the host, not by what the container or CI job has.

    Fix: Give it more, or limit it with max_server_memory_usage and smaller caches.
    """
    if seen.match is None and seen.symptom.service != "clickhouse":
        return None
    sure = seen.symptom.code == "OOMKilled" or (
        seen.match is not None and seen.match[0].lower().startswith(("out of memory", "oom-kill"))
    )
    return seen.finding(
        title="the ClickHouse server was killed"
        + (" for its use of memory" if sure else ", most probably for its use of memory"),
        cause="its caches are sized by the memory of the host, not of its container",
        fix="give it more memory, or set max_server_memory_usage and smaller caches",
        confidence="certain" if sure else None,
    )


@rule(
    "ch.parts.too-many",
    source="clickhouse",
    codes=["252"],
    texts=[r"Too many parts \((?P<parts>\d+)", r"\(TOO_MANY_PARTS\)"],
    layer="server",
)
def too_many_parts(seen: Seen) -> Finding:
    """A table has more parts than ClickHouse can merge.

    Why: Rows are inserted one by one: each INSERT makes a part.

    Fix: Insert in batches, or use async_insert=1.
    """
    parts = seen.get("parts")
    return seen.finding(
        title=f"a ClickHouse table has too many parts{f' ({parts})' if parts else ''}",
        cause="rows are inserted one by one, and each INSERT makes a part",
        fix="insert in batches, or with async_insert=1",
    )


@rule(
    "ch.disk.full",
    source=("clickhouse", "host"),
    codes=["243", "CH_DISK_LOW"],
    texts=[
        r"Cannot reserve [\d.]+ \w+, not enough space",
        r"\(NOT_ENOUGH_SPACE\)",
        r"DB::(?:Errno)?Exception: [^\n]*No space left on device",
    ],
    layer="server",
)
def disk_full(seen: Seen) -> Finding:
    """ClickHouse's disk is full.

    Why: Data of earlier runs, logs in system tables, or whatever else is on that disk.

    Fix: Free it: docker system df, then docker volume prune; system tables can be truncated.
    """
    nearly = seen.symptom.source == "host"
    free = seen.get("free")
    return seen.finding(
        title=f"ClickHouse's disk is nearly full: {free} left"
        if nearly
        else "ClickHouse's disk is full",
        cause="data of earlier runs, or whatever else is on that disk",
        fix="free it: docker system df shows what images and volumes take",
        severity="warning" if nearly else None,
    )


@rule(
    "ch.table.readonly",
    source="clickhouse",
    codes=["242"],
    texts=[r"Table is in readonly mode", r"\(TABLE_IS_READ_ONLY\)"],
    layer="server",
)
def table_readonly(seen: Seen) -> Finding:
    """A replicated table takes no writes.

    Why: It has lost its session with ClickHouse Keeper or ZooKeeper, or never had one.

    Fix: See that Keeper runs and is reached; tests hardly ever need replicated tables.
    """
    return seen.finding(
        title="a replicated ClickHouse table takes no writes",
        cause="its session with Keeper is lost, or there is no Keeper",
        fix="see that Keeper runs: SELECT * FROM system.zookeeper_connection; tests can use "
        "MergeTree",
    )
