"""How each object of a prepared database is copied, and whether it can be copied truly."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from envkit.errors import TemplateFailed
from envkit.services.clickhouse_http import Connection, quoted, quoted_name
from envkit.services.clickhouse_objects import (
    HOLDS_NOTHING,
    HOLDS_ROWS,
    READABLE,
    Object,
    has_parts,
    rows_of,
)

__all__ = ["Names", "Piece", "freeze", "pieces"]

# Names with these look different in a statement.
_ESCAPED: Final = re.compile(r"[\\'`\"]")
_INNER: Final = ".inner_id."
# Tables before what reads from them: the fewer are refused at first.
_RANKS: Final = {"Dictionary": 2, "View": 3, "MaterializedView": 4}


class Names:
    """What the names of a template are in a copy."""

    def __init__(self, template: str, copy: str, pieces: Iterable[Piece]) -> None:
        self._new = {template: copy}
        self._new.update({piece.inner: _uuid() for piece in pieces if piece.inner})
        self._old = re.compile("|".join(map(re.escape, self._new)))

    def replaced(self, text: str) -> str:
        return self._old.sub(lambda match: self._new[match[0]], text)

    def restored(self, text: str) -> str:
        """The opposite of `replaced`."""
        for old, new in self._new.items():
            text = text.replace(new, old)
        return text


class Piece(Struct, frozen=True, kw_only=True):
    """One object of a template, and how it gets its rows.

    Attributes:
        name: Of the object.
        engine: Of the object.
        statement: That makes it, with the template's names.
        rows: Where its rows are, with database; the inner table of a materialized view.
        partitions: Ids of those that have rows.
        columns: That rows are copied by, quoted, if its engine has no parts.
        inner: The UUID that the name of its inner table ends with; empty if there is none.
        alone: Whether its statement names nothing else of the template.
    """

    name: str
    engine: str
    statement: str
    rows: str
    partitions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    inner: str = ""
    alone: bool = False

    def fill(self, names: Names) -> str:
        """The statement that brings the rows of the template into the copy; empty for none."""
        target = names.replaced(self.rows)
        if self.partitions:
            attached = ", ".join(
                f"ATTACH PARTITION ID {quoted(partition)} FROM {self.rows}"
                for partition in self.partitions
            )
            return f"ALTER TABLE {target} {attached}"
        if self.columns:
            columns = ", ".join(self.columns)
            # One thread, so that rows keep their order.
            settings = "max_threads = 1, insert_allow_materialized_columns = 1"
            select = f"SELECT {columns} FROM {self.rows}"  # noqa: S608 - all names are quoted
            return f"INSERT INTO {target} ({columns}) SETTINGS {settings} {select}"
        return ""


def _uuid() -> str:
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def freeze(connection: Connection, database: str, found: Iterable[Object]) -> None:
    """Stop merges and refreshes, so that each copy gets the same parts."""
    for thing in found:
        table = f"{quoted_name(database)}.{quoted_name(thing.name)}"
        if has_parts(thing.engine) and thing.rows:
            connection.query(f"SYSTEM STOP MERGES {table}")
        elif thing.engine == "MaterializedView" and _refreshes(_words(thing.statement)):
            connection.query(f"SYSTEM STOP VIEW {table}")


def pieces(connection: Connection, database: str, found: Mapping[str, Object]) -> list[Piece]:
    """How to copy each object, those first that others may need.

    Raises:
        TemplateFailed: One of them cannot be copied truly.
    """
    inner = {
        f"{_INNER}{thing.uuid}": thing
        for thing in found.values()
        if thing.engine == "MaterializedView" and f"{_INNER}{thing.uuid}" in found
    }
    partitions = _partitions(connection, database)
    columns = _columns(connection, database)
    made = []
    for thing in found.values():
        if thing.name in inner:
            continue
        _refuse_uncopyable(thing, "")
        table = thing
        if f"{_INNER}{thing.uuid}" in inner:
            table = found[f"{_INNER}{thing.uuid}"]
            _refuse_uncopyable(table, f" of the materialized view {thing.name}")
        made.append(
            Piece(
                name=thing.name,
                engine=thing.engine,
                statement=_statement(thing, has_inner=table is not thing),
                rows=f"{quoted_name(database)}.{quoted_name(table.name)}",
                partitions=partitions.get(table.name, ()),
                columns=columns[table.name] if table.engine in READABLE and table.rows != 0 else (),
                inner=thing.uuid if table is not thing else "",
                alone=_is_alone(thing, database, found),
            )
        )
    return sorted(made, key=_rank)


def _rank(piece: Piece) -> int:
    return 0 if piece.alone else _RANKS.get(piece.engine, 1)


def _partitions(connection: Connection, database: str) -> dict[str, tuple[str, ...]]:
    found = rows_of(
        connection,
        "SELECT table, arraySort(groupUniqArray(partition_id)) FROM system.parts"
        " WHERE database = {database:String} AND active AND rows > 0 GROUP BY table",
        database=database,
    )
    for table, ids in found:
        if any(partition.startswith("patch-") for partition in ids):
            raise TemplateFailed(
                f"the table {table} has lightweight updates that are not in its parts yet",
                hint=f"ALTER TABLE {table} APPLY PATCHES SETTINGS mutations_sync = 1",
            )
    return {table: tuple(ids) for table, ids in found}


def _columns(connection: Connection, database: str) -> dict[str, tuple[str, ...]]:
    found = rows_of(
        connection,
        "SELECT table, groupArray(name) FROM (SELECT table, name FROM system.columns"
        " WHERE database = {database:String} AND default_kind NOT IN ('ALIAS', 'EPHEMERAL')"
        " ORDER BY table, position) GROUP BY table",
        database=database,
    )
    return {table: tuple(map(quoted_name, names)) for table, names in found}


def _refuse_uncopyable(thing: Object, where: str) -> None:
    def refuse(why: str, hint: str) -> TemplateFailed:
        return TemplateFailed(
            f"{thing.name}{where} cannot be copied: {why} ({thing.engine})", hint=hint
        )

    if "[HIDDEN]" in thing.statement:
        raise refuse(
            "the server does not show the password in its statement",
            "keep passwords in the server's configuration, or make it in the test that needs it",
        )
    if thing.engine == "Set" and thing.rows:
        raise refuse(
            "the engine gives its rows to nobody", "fill it in the test, or use Join or Memory"
        )
    if thing.engine == "Merge" and "REGEXP(" in thing.statement:
        raise refuse(
            "databases that are found by a pattern may be those of other tests",
            "name the database, or currentDatabase()",
        )
    known = thing.engine in HOLDS_ROWS or thing.engine in HOLDS_NOTHING
    if not known and not has_parts(thing.engine):
        raise refuse(
            "its engine is none of those that keep all they have in the database",
            "make it in the test that needs it, or use an engine that keeps its rows in the table",
        )


def _statement(thing: Object, *, has_inner: bool) -> str:
    """The statement that makes it, with a UUID that its inner table will be named after."""
    if thing.engine != "MaterializedView":
        return thing.statement
    words = _words(thing.statement)
    # CREATE MATERIALIZED VIEW database.name
    at = words[5][1]
    text = thing.statement
    if _refreshes(words):
        # It would be refreshed at once, and at another moment than its rows were.
        end = next(
            start
            for (start, _, word), (_, _, following) in pairwise(words[6:])
            if word == "DEFINER"
            or (word == "SQL" and following == "SECURITY")
            or (word == "AS" and following in ("SELECT", "WITH", "("))
        )
        text = f"{text[:end]}EMPTY {text[end:]}"
    return f"{text[:at]} UUID {quoted(thing.uuid)}{text[at:]}" if has_inner else text


def _refreshes(words: Sequence[tuple[int, int, str]]) -> bool:
    return words[6][2] == "REFRESH"


def _words(statement: str) -> list[tuple[int, int, str]]:
    """Start, end and text of what stands outside of brackets, words in capitals."""
    from envkit.chdb_server.sqltext import tokens

    sql = statement.encode()
    found, depth = [], 0
    for kind, start, end in tokens(sql):
        text = sql[start:end].decode()
        if kind in ("space", "comment"):
            continue
        depth -= text == ")"
        if depth == 0 and text != ")":
            before = len(sql[:start].decode())
            word = text.upper() if kind == "word" else text
            found.append((before, before + len(text), word))
        depth += text == "("
    return found


def _is_alone(thing: Object, database: str, found: Mapping[str, Object]) -> bool:
    """Whether its statement names nothing else; a name too many costs time only."""
    from envkit.chdb_server.sqltext import tokens

    if thing.engine not in HOLDS_ROWS and not has_parts(thing.engine):
        return False
    if thing.statement.count(database) != 1:
        return False
    others = [name for name in found if name != thing.name]
    if any(_ESCAPED.search(name) for name in others):
        return False
    sql = thing.statement.encode()
    named = set[str]()
    for kind, start, end in tokens(sql):
        if kind in ("word", "quoted", "string"):
            name = sql[start:end].decode().strip("'`\"")
            named |= {name, name.rpartition(".")[2]}
    return named.isdisjoint(others)
