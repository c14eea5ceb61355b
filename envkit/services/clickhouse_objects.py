"""What ClickHouse tells of a database."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from typing import Any, Final

from msgspec import Struct

from envkit.errors import TemplateFailed, TemplateShared
from envkit.services.clickhouse_http import Connection, Rejected, quoted, quoted_name

__all__ = [
    "HOLDS_NOTHING",
    "HOLDS_ROWS",
    "READABLE",
    "Object",
    "comment",
    "has_parts",
    "parts",
    "read",
    "refuse_shared",
    "rows_of",
    "settle",
    "uses",
]

_SETTLE_S: Final = 60
_PARTS: Final = re.compile(
    r"(Replacing|Summing|Aggregating|Collapsing|VersionedCollapsing|Graphite|Coalescing)?MergeTree"
)
# https://clickhouse.com/docs/interfaces/http#cli-queries-with-parameters
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})
# Without parts; what they hold can be read and written again.
READABLE: Final = frozenset({"Memory", "Log", "TinyLog", "StripeLog", "Join"})
# `Set` gives its rows to nobody, so it can be copied only while it is empty.
HOLDS_ROWS: Final = READABLE | {"Set", "Null"}
# Hold nothing themselves; all they read is named in their statement.
HOLDS_NOTHING: Final = frozenset(
    {"Buffer", "Dictionary", "GenerateRandom", "MaterializedView", "Merge", "View"}
)


class Object(Struct, frozen=True, kw_only=True):
    """A table, view or dictionary as the server tells of it.

    Attributes:
        rows: How many it says it has; None if it does not know.
    """

    name: str
    engine: str
    uuid: str
    statement: str
    rows: int | None


def has_parts(engine: str) -> bool:
    """Whether it is one of the MergeTree family that keeps its parts to itself."""
    return _PARTS.fullmatch(engine) is not None


def rows_of(connection: Connection, select: str, **parameters: str) -> list[list[Any]]:
    """The rows of a SELECT, whose ``{name:Type}`` are given by name."""
    bound = {f"param_{name}": value.translate(_ESCAPES) for name, value in parameters.items()}
    said = connection.query(f"{select} FORMAT JSONCompactEachRow", **bound)
    return [json.loads(line) for line in said.split("\n") if line]


def read(connection: Connection, database: str) -> dict[str, Object]:
    """All objects of a database by name."""
    found = rows_of(
        connection,
        "SELECT name, engine, toString(uuid), create_table_query, total_rows FROM system.tables"
        " WHERE database = {database:String} ORDER BY name",
        database=database,
    )
    return {
        name: Object(
            name=name,
            engine=engine,
            uuid=uuid,
            statement=statement,
            rows=None if rows is None else int(rows),
        )
        for name, engine, uuid, statement, rows in found
    }


def parts(connection: Connection, database: str) -> dict[str, tuple[str, ...]]:
    """The hashes of the files of all parts that have rows, by table."""
    found = rows_of(
        connection,
        "SELECT table, arraySort(groupArray(hash_of_all_files)) FROM system.parts"
        " WHERE database = {database:String} AND active AND rows > 0 GROUP BY table",
        database=database,
    )
    return {table: tuple(hashes) for table, hashes in found}


def comment(connection: Connection, database: str) -> str:
    """What a database has as its comment: whose it is."""
    found = rows_of(
        connection,
        "SELECT comment FROM system.databases WHERE name = {database:String}",
        database=database,
    )
    return str(found[0][0]) if found else ""


def refuse_shared(connection: Connection, database: str) -> None:
    """See that nothing was made outside of the database, on a server where all is ours.

    The server does not tell since when its things are there (and listing its functions takes
    20 ms, too long for each new database to begin with), so what a test left behind counts, too.

    Raises:
        TemplateShared: There is something, by name.
    """
    from envkit.owner import Owner

    shared = [
        f"{kind} {name}"
        for kind, name, text in rows_of(
            connection,
            "SELECT 'function' AS kind, name, '' AS text FROM system.functions"
            " WHERE origin = 'SQLUserDefined'"
            " UNION ALL SELECT 'named collection', name, '' FROM system.named_collections"
            " UNION ALL SELECT 'user', name, '' FROM system.users WHERE storage != 'users_xml'"
            " UNION ALL SELECT 'role', name, '' FROM system.roles"
            " UNION ALL SELECT 'row policy', name, '' FROM system.row_policies"
            " UNION ALL SELECT 'settings profile', name, '' FROM system.settings_profiles"
            " WHERE storage != 'users_xml'"
            " UNION ALL SELECT 'quota', name, '' FROM system.quotas WHERE storage != 'users_xml'"
            " UNION ALL SELECT 'table', concat('default.', name), '' FROM system.tables"
            " WHERE database = 'default'"
            " UNION ALL SELECT 'database', name, comment FROM system.databases"
            " WHERE name NOT IN ('default', 'system', 'INFORMATION_SCHEMA', 'information_schema',"
            " {database:String})",
            database=database,
        )
        if kind != "database" or Owner.read(text) is None
    ]
    if shared:
        raise TemplateShared(
            f"all databases of the server would share {', '.join(sorted(shared))}",
            hint="make only what lies in the template's own database; what a test made on the "
            "server goes with it: envkit down",
        )


def settle(connection: Connection, database: str) -> None:
    """Wait for what ClickHouse still does in the background with what it was told.

    Raises:
        TemplateFailed: A mutation does not come to its end.
    """
    from envkit.wait import NotAnswering, until_answer

    with contextlib.suppress(Rejected):  # a server that has none yet, or does not know it
        connection.query("SYSTEM FLUSH ASYNC INSERT QUEUE")
    for thing in read(connection, database).values():
        table = f"{quoted_name(database)}.{quoted_name(thing.name)}"
        if thing.engine == "Buffer":
            connection.query(f"OPTIMIZE TABLE {table}")
        elif thing.engine == "MaterializedView" and " REFRESH " in thing.statement:
            with contextlib.suppress(Rejected):  # its last refresh failed: it has what it has
                connection.query(f"SYSTEM WAIT VIEW {table}")
            with contextlib.suppress(Rejected):  # the word was the name of something
                connection.query(f"SYSTEM STOP VIEW {table}")

    def done(_: float) -> None:
        waiting = rows_of(
            connection,
            "SELECT table, command, latest_fail_reason FROM system.mutations"
            " WHERE database = {database:String} AND NOT is_done LIMIT 1",
            database=database,
        )
        for table, command, reason in waiting:
            if reason:
                raise TemplateFailed(f"a mutation of {table} fails: {command}", detail=reason)
            raise TimeoutError(f"{table}: {command}")

    never = threading.Event()
    try:
        until_answer(done, ended=never, cancelled=never, limit=_SETTLE_S)
    except NotAnswering as error:
        raise TemplateFailed(
            f"a mutation has not ended after {_SETTLE_S} s: {error.last}",
            hint="run it with SETTINGS mutations_sync = 1 to see what it does",
        ) from None


def uses(database: str) -> str:
    """The condition on system.processes for queries that may use a database."""
    name = quoted(rf"\b{re.escape(database)}\b")
    return (
        f"current_database = {quoted(database)}"
        f" OR (match(query, {name}) AND NOT match(query, '^(KILL QUERY|DROP DATABASE) '))"
    )
