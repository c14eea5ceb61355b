"""Making a used copy of a template like new, where that is provable and cheaper than a new one."""

from __future__ import annotations

import contextlib
from typing import Final

from msgspec import structs

from envkit.services import clickhouse_objects as objects
from envkit.services.clickhouse_copies import ClickHouseSealed, drop
from envkit.services.clickhouse_http import Connection, query, quoted_name
from envkit.services.clickhouse_objects import Object
from envkit.services.clickhouse_pieces import Names, Piece
from envkit.services.spec import Address, Namespace, Sealed

__all__ = ["renew"]

_LIMIT_S: Final = 60
# Measured: fewer tables are made anew in the time that this takes, and so are these if more than
# a third of them has to be filled again.
_WORTH_TABLES: Final = 30
_WORTH_CHANGES: Final = 1 / 3


def renew(
    address: Address, namespace: Namespace, new_name: str, sealed: Sealed | None
) -> Namespace | None:
    """Make a used copy like new; None, and the database is gone or to be dropped, if not.

    Only for copies of templates that consist of tables that name nothing but themselves: views
    and dictionaries keep the old name of a database that is renamed. The proof:

    * RENAME DATABASE takes the name away from all who know it: whoever has it in a URL, a session
      or a queue of asynchronous inserts gets an error from now on.
    * DETACH DATABASE is refused while any query holds one of the tables, so none that began before
      that can still write. DETACH and ATTACH also forget what the server knows of a table besides
      its files: merges that were stopped, caches, rows in memory.
    * What remains is on disk and is compared with the template: the statement of each table, the
      hashes of the files of its parts, and that there are no mutations, no detached parts or
      tables, no views of other databases that read from here. Tables with other rows are truncated
      and filled again, tables that were added are dropped, and all is compared once more.
    * Tables that remember blocks they have seen (a deduplication window) are not for this.

    What a user did outside of the database is not undone; neither would dropping it do that.
    """
    if not isinstance(sealed, ClickHouseSealed) or not _is_suitable(sealed):
        return None
    renewed = structs.replace(namespace, database=new_name)
    try:
        with Connection(address, _LIMIT_S) as connection:
            connection.query(
                f"RENAME DATABASE {quoted_name(namespace.database)} TO {quoted_name(new_name)}"
            )
            connection.query(f"DETACH DATABASE {quoted_name(new_name)}")
            connection.query(f"ATTACH DATABASE {quoted_name(new_name)}")
            if _restore(connection, renewed, sealed):
                return renewed
    except (OSError, ValueError):
        pass  # whatever it is, a new one is the answer
    with contextlib.suppress(OSError):
        # What is refused to be detached is detached in part, and DROP waits for nobody then.
        query(address, _LIMIT_S, f"KILL QUERY WHERE {objects.uses(namespace.database)} ASYNC")
    with contextlib.suppress(OSError):
        drop(address, renewed)
    return None


def _is_suitable(sealed: ClickHouseSealed) -> bool:
    return len(sealed.pieces) >= _WORTH_TABLES and all(
        piece.alone and not piece.columns and "deduplication_window" not in piece.statement
        for piece in sealed.pieces
    )


def _restore(connection: Connection, namespace: Namespace, sealed: ClickHouseSealed) -> bool:
    """Undo what can be undone; whether all is then as in the template."""
    database = namespace.database
    names = Names(sealed.database, database, ())
    if not _is_untouched_beyond_tables(connection, namespace):
        return False
    found = objects.read(connection, database)
    added = found.keys() - {piece.name for piece in sealed.pieces}
    if not all(_is_plain(found[name]) for name in added):
        return False
    if not all(_is_defined(piece, found, names) for piece in sealed.pieces):
        return False
    changed = _changed(connection, database, found, sealed)
    if len(changed) + len(added) > _WORTH_CHANGES * len(sealed.pieces):
        return False
    for name in added:
        connection.query(f"DROP TABLE {quoted_name(database)}.{quoted_name(name)} SYNC")
    for piece in changed:
        connection.query(f"TRUNCATE TABLE {names.replaced(piece.rows)}")
        if fill := piece.fill(names):
            connection.query(fill)
    if not changed and not added:
        return True
    found = objects.read(connection, database)
    return (
        len(found) == len(sealed.pieces)
        and all(_is_defined(piece, found, names) for piece in sealed.pieces)
        and not _changed(connection, database, found, sealed)
    )


def _is_untouched_beyond_tables(connection: Connection, namespace: Namespace) -> bool:
    counts = objects.rows_of(
        connection,
        "SELECT (SELECT count() FROM system.mutations WHERE database = {name:String}),"
        " (SELECT count() FROM system.detached_parts WHERE database = {name:String}),"
        " (SELECT count() FROM system.detached_tables WHERE database = {name:String}),"
        " (SELECT count() FROM system.tables"
        " WHERE database = {name:String} AND notEmpty(dependencies_table)),"
        " (SELECT count() FROM system.databases WHERE name = {name:String}"
        " AND engine = 'Atomic' AND comment = {comment:String})",
        name=namespace.database,
        comment=namespace.mark,
    )
    return [int(count) for count in counts[0]] == [0, 0, 0, 0, 1]


def _is_plain(thing: Object) -> bool:
    """Whether dropping it leaves nothing behind."""
    return thing.engine in objects.HOLDS_ROWS or objects.has_parts(thing.engine)


def _is_defined(piece: Piece, found: dict[str, Object], names: Names) -> bool:
    thing = found.get(piece.name)
    return thing is not None and thing.statement == names.replaced(piece.statement)


def _changed(
    connection: Connection, database: str, found: dict[str, Object], sealed: ClickHouseSealed
) -> list[Piece]:
    """Tables whose rows are not those of the template; suitable ones without parts have none."""
    parts = objects.parts(connection, database)
    return [
        piece
        for piece in sealed.pieces
        if parts.get(piece.name, ()) != sealed.parts.get(piece.name, ())
        or (not objects.has_parts(piece.engine) and found[piece.name].rows != 0)
    ]
