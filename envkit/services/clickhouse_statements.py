"""Files of many statements: ClickHouse's HTTP interface takes one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from envkit.errors import TemplateFailed, TemplateShared
from envkit.model import Endpoint
from envkit.services.clickhouse_http import Connection, Rejected
from envkit.services.spec import Address, address_of

__all__ = ["apply", "run", "statements"]

_LIMIT_S: Final = 600
_SHORT: Final = 80
_CHANGES: Final = frozenset({"CREATE", "ALTER", "DROP", "ATTACH", "DETACH", "RENAME", "UNDROP"})
_FILLERS: Final = frozenset({"OR", "REPLACE", "IF", "NOT", "EXISTS"})
_SHARED: Final = frozenset(
    {
        *("DATABASE", "FUNCTION", "NAMED", "USER", "ROLE", "ROW", "POLICY", "MASKING", "QUOTA"),
        *("SETTINGS", "PROFILE", "WORKLOAD", "RESOURCE"),
    }
)


def statements(text: str) -> Iterator[str]:
    """Cut a file into its statements, without what ends them and without comments before them.

    A statement ends with a semicolon that is not inside quotes, comments or ``$$``. The rows of an
    INSERT with FORMAT belong to it: those of Values and the JSON formats end with a semicolon
    likewise, those of other formats, in which a semicolon is data, with an empty line or the file.
    """
    return (statement for _, statement in _numbered(text))


def apply(endpoint: Endpoint, path: Path, shown: str) -> None:
    """Run a file of statements in somebody's database, as `Service.apply` says.

    Raises:
        TemplateShared, TemplateFailed: As `run`.
        OSError: There is no such file, or the server does not answer.
    """
    text = path.read_text(encoding="utf-8")
    run(address_of(endpoint), endpoint.database, text, shown)


def run(address: Address, database: str, text: str, shown: str) -> None:
    """Run statements one after another, as in one session: ``SET`` lasts.

    Args:
        address: The server.
        database: That names without one are looked for in.
        text: With the statements.
        shown: How to call it.

    Raises:
        TemplateShared: A statement changes what all databases of the server share; neither it nor
            those behind it were run.
        TemplateFailed: The server refused one.
        OSError: The server does not answer.
    """
    session = f"envkit-{os.urandom(8).hex()}"
    with Connection(address, _LIMIT_S) as connection:
        for line, statement in _numbered(text):
            _refuse_shared(f"{shown}, line {line}", statement)
            try:
                connection.query(statement, database=database, session_id=session)
            except Rejected as error:
                raise TemplateFailed(
                    f"{shown}, line {line}: ClickHouse refused {_short(statement)}",
                    detail=str(error),
                ) from None


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Each statement with the line, from 1, that it begins in."""
    from envkit.chdb_server.sqltext import tokens

    sql = text.encode()
    position, line, counted = 0, 1, 0
    while position < len(sql):
        start = -1
        end = following = len(sql)
        for kind, at, after in tokens(sql, position):
            if sql[at:after] == b";":
                end, following = at, after
                break
            if start < 0 and kind not in ("space", "comment"):
                start = at
        if start >= 0:
            end, following = _with_rows(sql, start, end, following)
            line += sql.count(b"\n", counted, start)
            counted = start
            yield line, sql[start:end].decode().rstrip()
        position = following


def _with_rows(sql: bytes, start: int, end: int, following: int) -> tuple[int, int]:
    """Where a statement ends and the next one may begin, if it is an INSERT with rows."""
    from envkit.chdb_server.sqltext import parse

    if sql[start : start + 6].upper() != b"INSERT":
        return end, following
    found = parse(sql[start:following])
    name = (found.format_name or "").upper()
    by_semicolon = name in ("", "VALUES") or name.startswith("JSON")
    if found.selects or found.data_at is None or by_semicolon:
        return end, following
    rows = start + found.data_at
    gap = min(
        (at for mark in (b"\n\n", b"\n\r\n") if (at := sql.find(mark, rows)) >= 0), default=len(sql)
    )
    return gap, gap


def _refuse_shared(place: str, statement: str) -> None:
    from envkit.chdb_server.sqltext import parse

    words = parse(statement.encode()).words
    what = next((word for word in words[1:] if word not in _FILLERS), "")
    verb = words[0] if words else ""
    if verb not in ("USE", "GRANT", "REVOKE") and not (verb in _CHANGES and what in _SHARED):
        return
    raise TemplateShared(
        f"{place} is about more than its own database: {_short(statement)}",
        hint="leave it out: the database is there, and names without one are looked for in it"
        if verb == "USE" or what == "DATABASE"
        else "leave it out of the template, or do it in the test that needs it",
    )


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
