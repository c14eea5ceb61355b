"""What has been done to a Redis server since somebody got it, in the server's own words.

The server counts every command that it carries out, those in transactions, scripts and functions
too (https://valkey.io/commands/info/, ``commandstats``, by subcommand since Redis 7). If only
commands were carried out that leave nothing but keys, scripts and functions, then emptying those
makes the server as it was.

CONFIG RESETSTAT destroys this evidence, so it must be seen itself. It leaves a count of one for
itself, with the microseconds that it took. Ours is followed by a command that nobody uses, whose
count another one would take away: both lines are the mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from msgspec import Struct

from envkit.services.resp import Answer, Connection

__all__ = ["Evidence", "lasting", "marked", "only_read", "take_over"]

_STATISTICS: Final = "cmdstat_"
_RESET: Final = "config|resetstat"
_TRACE: Final = "pubsub|help"

# Of these nothing is left once connections are gone, and scripts, functions, logs and statistics
# are emptied.
_CONNECTIONS_AND_LOGS: Final = """
    auth hello ping echo quit reset select multi exec discard watch unwatch time readonly readwrite
    wait waitaof monitor role lastsave info
    subscribe unsubscribe psubscribe punsubscribe ssubscribe sunsubscribe publish spublish
    pubsub|channels pubsub|numpat pubsub|numsub pubsub|shardchannels pubsub|shardnumsub
    acl|cat acl|dryrun acl|genpass acl|getuser acl|list acl|log acl|users acl|whoami
    client|caching client|capa client|getname client|getredir client|id client|info client|kill
    client|list client|no-evict client|no-touch client|reply client|setinfo client|setname
    client|tracking client|trackinginfo client|unblock
    command command|count command|docs command|getkeys command|getkeysandflags command|info
    command|list config|get
    commandlog|get commandlog|len commandlog|reset slowlog|get slowlog|len slowlog|reset
    latency|doctor latency|graph latency|histogram latency|history latency|latest latency|reset
    memory|doctor memory|malloc-stats memory|purge memory|stats module|list
"""
_SCRIPTS_AND_LIBRARIES: Final = """
    eval eval_ro evalsha evalsha_ro fcall fcall_ro
    script|exists script|flush script|kill script|load script|show
    function|delete function|dump function|flush function|kill function|list function|load
    function|restore function|stats
"""
_HARMLESS: Final = frozenset(_CONNECTIONS_AND_LOGS.split())
_SCRIPTS: Final = frozenset(_SCRIPTS_AND_LIBRARIES.split())
# They write keys, and something else: at another server, or in a file.
_MORE_THAN_KEYS: Final = frozenset({"migrate"})


class Evidence(Struct, frozen=True, kw_only=True):
    """What was done by others than us.

    Attributes:
        calls: Command to how often it was carried out; empty where the server does not tell
            subcommands apart.
        whole: Whether this is all there was.
        keys: How many there are now, in all databases.
        memory: Bytes in use now.
    """

    calls: dict[str, int]
    whole: bool
    keys: int
    memory: int


def take_over(connection: Connection, mark: str, password: str) -> Evidence:
    """Shut everybody else out of a server, at once, and see what they have done.

    Args:
        connection: Of the user ``default``, who alone is left.
        mark: What `marked` said before the server was handed out; empty if it was never called.
        password: Instead of the one that others may know.

    Raises:
        OSError: The server refuses or does not answer, or somebody is still there.
    """
    _, _, alone, commands, others = connection.transaction(
        ["CONFIG", "SET", "requirepass", password],
        ["CLIENT", "KILL", "SKIPME", "yes"],
        ["CLIENT", "LIST"],
        ["INFO", "commandstats"],
        ["INFO"],
    )
    if len(_lines(alone)) != 1:
        raise ConnectionError("somebody is still connected")
    lines = _statistics(commands)
    whole = _mark(lines) == mark if mark else _RESET not in lines
    # What was refused before it was carried out has done nothing.
    calls = {name: count for name, line in lines.items() if (count := _calls(line))}
    if calls.get("config|set") == 1:  # ours
        del calls["config|set"]
    if mark:
        calls.pop(_RESET, None)
    facts = dict(line.split(":", 1) for line in _lines(others) if ":" in line)
    told_apart = "client|list" in calls
    return Evidence(
        calls=calls if told_apart else {},
        whole=whole and told_apart,
        keys=sum(
            int(text.partition("keys=")[2].partition(",")[0])
            for name, text in facts.items()
            if name.startswith("db") and text.startswith("keys=")
        ),
        memory=int(facts["used_memory"]),
    )


def marked(connection: Connection) -> str:
    """Forget all statistics, and what to know them by from now on; nobody else is connected.

    Raises:
        OSError: The server refuses or does not answer.
    """
    *_, commands = connection.transaction(
        ["CONFIG", "RESETSTAT"], _TRACE.split("|"), ["INFO", "commandstats"]
    )
    return _mark(_statistics(commands))


def lasting(connection: Connection, calls: Mapping[str, int]) -> list[str]:
    """Those commands that may have left something else than keys, scripts and functions.

    Raises:
        OSError: The server refuses or does not answer.
    """
    asked = [name for name in _not_harmless(calls) if name not in _SCRIPTS]
    about_keys = _of_flags(connection, asked, {b"write", b"readonly"})
    return [name for name in asked if name not in about_keys or name in _MORE_THAN_KEYS]


def only_read(connection: Connection, calls: Mapping[str, int], restored: int) -> bool:
    """Whether all must be what it was, if `lasting` has found nothing.

    Args:
        connection: To the server.
        calls: Without ours, but for one kind:
        restored: How many of RESTORE are ours.

    Raises:
        OSError: The server refuses or does not answer.
    """
    calls = dict(calls)
    if calls.get("restore", 0) != restored or _SCRIPTS & set(calls):
        return False
    calls.pop("restore", None)
    asked = _not_harmless(calls)
    # PFCOUNT reads, and keeps its result with the value.
    return set(asked) == _of_flags(connection, asked, {b"readonly"}, {b"may_replicate"})


def _not_harmless(calls: Mapping[str, int]) -> list[str]:
    return sorted(name for name in calls if name not in _HARMLESS and not name.endswith("|help"))


def _of_flags(
    connection: Connection,
    names: list[str],
    wanted: Set[bytes],
    unwanted: Set[bytes] = frozenset(),
) -> set[str]:
    """Those commands of the server's own that have one of these flags, and are for everybody."""
    if not names:
        return set()
    (known,) = connection.pipeline(["COMMAND", "INFO", *names])
    assert isinstance(known, list)
    found = set()
    for name, about in zip(names, known, strict=True):
        if isinstance(about, list) and isinstance(about[2], list):
            flags = {flag for flag in about[2] if isinstance(flag, bytes)}
            if flags & wanted and not flags & {b"admin", b"module", *unwanted}:
                found.add(name)
    return found


def _lines(answer: Answer) -> list[str]:
    assert isinstance(answer, bytes)
    return answer.decode(errors="replace").splitlines()


def _statistics(answer: Answer) -> dict[str, str]:
    """Command to the server's line about it."""
    return dict(
        line.removeprefix(_STATISTICS).split(":", 1)
        for line in _lines(answer)
        if line.startswith(_STATISTICS)
    )


def _calls(line: str) -> int:
    return int(line.removeprefix("calls=").partition(",")[0])


def _mark(lines: Mapping[str, str]) -> str:
    return f"{lines.get(_RESET)}\n{lines.get(_TRACE)}"
