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
# redis-py takes the first word of these away: redis/_parsers/base.py, EXCEPTION_CLASSES
_REDIS: Final = {
    "AuthenticationError": "NOAUTH",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "NoPermissionError": "NOPERM",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "MovedError": "MOVED",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MaxConnectionsError": "",
}
_FIRST_WORD: Final = re.compile(r"-?([A-Z]{4,})\b")
# Of pgx and others; pg8000, which shows the fields of the message as a dict; node-postgres.
_SQLSTATE: Final = re.compile(
    r"\bSQLSTATE\W{1,3}([0-9A-Z]{5})\b|'C': '([0-9A-Z]{5})'|\bcode: '(?=\w*\d)([0-9A-Z]{5})'"
)
_CLASS: Final = re.compile(r"\b(?:psycopg2?\.errors\.|asyncpg\.exceptions\.(?:_base\.)?)(\w+)")
_CLICKHOUSE: Final = re.compile(r"\bCode: (\d+)[.,]|\(error ?code:? (\d+)\)|\berror code (\d+)\b")
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
    if module in ("redis", "valkey", "coredis") or name == "Refused":
        word = _FIRST_WORD.match(str(error))
        return "redis", word[1] if word else _REDIS.get(name, "")
    if module in ("clickhouse_connect", "clickhouse_driver", "asynch"):
        number = getattr(error, "code", None)
        found = _CLICKHOUSE.search(str(error))
        text = next((group for group in found.groups() if group), "") if found else ""
        return "clickhouse", str(number) if isinstance(number, int) and number > 0 else text
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


def codes_in(text: str) -> list[tuple[Source, str]]:
    """All codes that a text names."""
    found: list[tuple[Source, str]] = [
        ("postgres", next(filter(None, m.groups()))) for m in _SQLSTATE.finditer(text)
    ]
    for match in _CLASS.finditer(text):
        code = _POSTGRES.get(match[1]) or _POSTGRES.get(match[1].removesuffix("Error"))
        if code:
            found.append(("postgres", code))
    for match in _CLICKHOUSE.finditer(text):
        found.append(("clickhouse", next(group for group in match.groups() if group)))
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
