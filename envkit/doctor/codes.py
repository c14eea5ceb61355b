"""Structured codes: as attributes of exceptions, and as text has them."""

from __future__ import annotations

import errno
import re
import socket
from typing import Final

from envkit.doctor.model import Source

__all__ = ["code_of", "codes_in", "routine_of"]

# Names of psycopg's classes (https://www.psycopg.org/psycopg3/docs/api/errors.html) and asyncpg's
# (asyncpg/exceptions/__init__.py), without the "Error" that asyncpg puts at the end of most.
_POSTGRES: Final = {
    "InvalidPassword": "28P01",
    "InvalidAuthorizationSpecification": "28000",
    "InvalidCatalogName": "3D000",
    "DuplicateDatabase": "42P04",
    "TooManyConnections": "53300",
    "CannotConnectNow": "57P03",
    "AdminShutdown": "57P01",
    "CrashShutdown": "57P02",
    "DiskFull": "53100",
    "OutOfMemory": "53200",
    "InsufficientPrivilege": "42501",
    "ObjectInUse": "55006",
    "InvalidSchemaName": "3F000",
    "FeatureNotSupported": "0A000",
    "LockNotAvailable": "55P03",
    "UndefinedTable": "42P01",
    "UndefinedColumn": "42703",
    "UndefinedFile": "58P01",
    "DataCorrupted": "XX001",
    "IndexCorrupted": "XX002",
    "ConfigFileError": "F0000",
    "LockFileExists": "F0001",
    "ReadOnlySqlTransaction": "25006",
    "ReadOnlySQLTransaction": "25006",
}
# First words of Redis' errors that mean one thing each; ERR means anything.
_WORDS: Final = (
    *("ASK", "BUSY", "CLUSTERDOWN", "CROSSSLOT", "DENIED", "LOADING", "MASTERDOWN", "MISCONF"),
    *("MOVED", "NOAUTH", "NOPERM", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "WRONGPASS"),
)
# redis-py takes the first word of these away: redis/_parsers/base.py, EXCEPTION_CLASSES. Newer
# ones keep it as `status_code`. AuthenticationError stands for four words: the text tells which.
_REDIS: Final = {
    "NoPermissionError": "NOPERM",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "AskError": "ASK",
    "MovedError": "MOVED",
    "TryAgainError": "TRYAGAIN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    # Not the server's: the client's own pool.
    "MaxConnectionsError": "POOL",
}
_FIRST_WORD: Final = re.compile(rf"-?({'|'.join(_WORDS)})\b")
# redis-cli, ioredis, redis-py and our own client; a word alone is no evidence.
_REDIS_SAID: Final = re.compile(
    rf"(?:\(error\)|\bReplyError:|\bResponseError:|\bRefused:) ({'|'.join(_WORDS)}) \w"
    r"|\b(?:redis|valkey)\.exceptions\.(\w+)"
)
# Of pgx and others; pg8000, which shows the fields of the message as a dict; node-postgres.
_SQLSTATE: Final = re.compile(
    r"\bSQLSTATE\W{1,3}([0-9A-Z]{5})\b|'C': '([0-9A-Z]{5})'|\bcode: '(?=\w*\d)([0-9A-Z]{5})'"
)
_CLASS: Final = re.compile(r"\b(?:psycopg2?\.errors\.|asyncpg\.exceptions\.(?:_base\.)?)(\w+)")
# As the server and its own client say it, clickhouse-driver (whose own errors have no DB::),
# clickhouse-connect, clickhouse-go, and the header of an HTTP answer.
_CLICKHOUSE: Final = re.compile(
    r"(?<![A-Za-z] )\bCode: (\d+)[.,] ?(?:e\.displayText\(\) = )?DB::"
    r"|\b(?:clickhouse_driver|asynch)\.errors\.\w+: Code: (\d+)\."
    r"|\bClickHouse exception, code: (\d+)\b|\bClickHouse error code:? (\d+)\b"
    r"|(?i:\bX-ClickHouse-Exception-Code)\W{1,4}(\d+)\b"
    r"|\bcode: (\d+), message: "
)
# In an exception of a driver's there is no doubt whose code it is.
_CLICKHOUSE_CODE: Final = re.compile(r"\bCode: (\d+)\b")
_ERRNO: Final = re.compile(r"\[Errno (-?\d+)\]|\bWinError (\d+)|\[Errno (\w+)\]")
# https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2
_WINDOWS: Final = {
    "1225": "ECONNREFUSED",
    "10048": "EADDRINUSE",
    "10060": "ETIMEDOUT",
    "10061": "ECONNREFUSED",
    "11001": "EAI_NONAME",
}
_GAI: Final = {str(getattr(socket, name)): name for name in dir(socket) if name.startswith("EAI_")}


def code_of(error: BaseException) -> tuple[Source, str]:
    """Whose error this is, and its code; no driver is imported for that."""
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if module in ("psycopg", "psycopg2", "asyncpg", "pg8000"):
        return "postgres", str(sqlstate or _fields_of(error).get("C") or "")
    if module in ("redis", "valkey", "coredis", "aioredis") or name == "Refused":
        word = _FIRST_WORD.match(f"{getattr(error, 'status_code', '')} {error}".lstrip())
        word = word or _FIRST_WORD.match(str(error))
        return "redis", word[1] if word else _REDIS.get(name, "")
    if module in ("clickhouse_connect", "clickhouse_driver", "asynch", "aiochclient"):
        return "clickhouse", _clickhouse(error)
    if module == "ssl" and not isinstance(error, TimeoutError):
        return "socket", str(getattr(error, "reason", None) or "SSL")
    if module in ("docker", "testcontainers"):
        return "docker", ""
    if isinstance(error, TimeoutError):
        return "socket", "TIMEOUT"
    if isinstance(error, socket.gaierror):
        return "socket", _GAI.get(str(error.errno), "EAI_FAIL")
    if isinstance(error, OSError) and error.errno is not None:
        return "socket", errno.errorcode.get(error.errno, "")
    return "python", name


def routine_of(error: BaseException) -> str:
    """Which function of the Postgres server reported it, as far as the driver tells.

    It tells causes apart that have one SQLSTATE, whatever language the message is in.
    """
    diagnostics = getattr(error, "diag", None)  # psycopg, psycopg2
    found = (
        getattr(diagnostics, "source_function", None)
        or getattr(error, "server_source_function", None)  # asyncpg
        or _fields_of(error).get("R")
    )
    return str(found or "")


def _fields_of(error: BaseException) -> dict[str, str]:
    """What pg8000 hands on: the fields of the message by their letters.

    https://www.postgresql.org/docs/current/protocol-error-fields.html
    """
    fields = error.args[0] if error.args else None
    return fields if isinstance(fields, dict) else {}


def _clickhouse(error: BaseException) -> str:
    """The innermost code: of what was passed on, not of who passed it on."""
    numbers = _CLICKHOUSE_CODE.findall(str(error))
    number = getattr(error, "code", None)
    if numbers:
        return str(numbers[-1])
    return str(number) if isinstance(number, int) and number > 0 else ""


def codes_in(text: str) -> list[tuple[Source, str]]:
    """All codes that a text names."""
    found: list[tuple[Source, str]] = [
        ("postgres", next(filter(None, m.groups()))) for m in _SQLSTATE.finditer(text)
    ]
    for match in _CLASS.finditer(text):
        code = _POSTGRES.get(match[1]) or _POSTGRES.get(match[1].removesuffix("Error"))
        if code:
            found.append(("postgres", code))
    numbers = [next(filter(None, match.groups())) for match in _CLICKHOUSE.finditer(text)]
    # Each layer that passes an error on puts its own code before it: the last one is the cause.
    found += [("clickhouse", number) for number in numbers[-1:]]
    for match in _REDIS_SAID.finditer(text):
        word = match[1] or _REDIS.get(match[2], "")
        if word:
            found.append(("redis", word))
    for match in _ERRNO.finditer(text):
        number, windows, name = match.groups()
        code = name or _WINDOWS.get(windows or "") or _named(number)
        if code:
            found.append(("socket", code))
    return list(dict.fromkeys(found))


def _named(number: str | None) -> str:
    if not number:
        return ""
    if number.startswith("-"):
        return _GAI.get(number, "")
    # BSD and macOS number these differently; the words beside the number are looked at, too.
    return errno.errorcode.get(int(number), "")
