"""Databases of ClickHouse: empty ones, and true copies of a template.

ClickHouse has nothing that copies a database and makes its views point into the copy, so the
statements that made it are run again with the names replaced. A template's name is long and
random, so every occurrence of it in a statement means the database, be it quoted or not, in the
source of a dictionary, behind TO or in an engine's arguments: text is replaced, not syntax. The
same goes for the UUID of a materialized view, after which its inner table is called.

Rows come right after their table, before anything exists that reads from it, so no materialized
view sees them a second time: partitions are attached, which links the files of the parts and
copies no data; engines without parts get theirs with INSERT.

The order of the statements needs no knowledge of how objects depend on each other: `seal` runs
them until each has succeeded and keeps the order in which they did.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from envkit.errors import TemplateFailed
from envkit.model import ServiceSettings
from envkit.services import clickhouse_objects as objects
from envkit.services.clickhouse_http import Connection, Rejected, quoted, quoted_name
from envkit.services.clickhouse_objects import Object
from envkit.services.clickhouse_pieces import Names, Piece, freeze, pieces
from envkit.services.spec import Address, Namespace, Sealed

__all__ = ["ClickHouseSealed", "create", "drop", "seal", "unseal"]

_LIMIT_S: Final = 60
_FILL_LIMIT_S: Final = 600
_PATIENCE_S: Final = 0.2
# Measured on two cores: a second connection halves the time, a fourth gains nothing.
_CONNECTIONS: Final = 3
_WORTH_CONNECTIONS: Final = 6


class ClickHouseSealed(Sealed, frozen=True, kw_only=True):
    """A template, and what has to be run for a copy of it.

    Attributes:
        pieces: In an order in which they can be made.
        parts: Of each table that has some: the hashes of their files, sorted.
    """

    pieces: tuple[Piece, ...]
    parts: dict[str, tuple[str, ...]]

    @property
    def database(self) -> str:
        assert self.namespace is not None
        return self.namespace.database


def create(
    address: Address, name: str, _: ServiceSettings, owner: str, sealed: Sealed | None = None
) -> Namespace:
    """Make a database, empty or a copy of a template; see `Service.create`."""
    assert sealed is None or isinstance(sealed, ClickHouseSealed)
    with Connection(address, _FILL_LIMIT_S if sealed else _LIMIT_S) as connection:
        namespace = _create_empty(address, connection, name, owner)
        if sealed is not None:
            with _or_dropped(address, namespace):
                _copy(address, connection, name, sealed)
    return namespace


def drop(address: Address, namespace: Namespace) -> None:
    """Remove a database, and end the queries that still hold one of its tables."""
    with _kills_queries(address, namespace.database), Connection(address, _LIMIT_S) as connection:
        connection.query(f"DROP DATABASE IF EXISTS {quoted_name(namespace.database)} SYNC")


def seal(address: Address, namespace: Namespace) -> ClickHouseSealed:
    """Make a template of a database: a copy of it under a name that nobody knows.

    So nobody who prepared it can change it any more, and that it can be copied is known and not
    assumed. The prepared database is dropped at the end.

    Raises:
        TemplateFailed: Something in it cannot be copied truly.
        TemplateShared: Something was made that is not in the database.
        OSError: The server does not answer.
    """
    prepared = namespace.database
    with Connection(address, _FILL_LIMIT_S) as connection:
        if not address.run:  # on somebody else's server there is much that is not ours
            objects.refuse_shared(connection, prepared)
        objects.settle(connection, prepared)
        found = objects.read(connection, prepared)
        planned = pieces(connection, prepared, found)
        owner = objects.comment(connection, prepared)
        hidden = f"{prepared}_{os.urandom(8).hex()}"
        names = Names(prepared, hidden, planned)
        template = _create_empty(address, connection, hidden, owner)
        with _or_dropped(address, template):
            ordered = _try_out(connection, planned, names)
            copied = objects.read(connection, hidden)
            _compare(found, copied, names)
            freeze(connection, hidden, copied.values())
            parts = objects.parts(connection, hidden)
    drop(address, namespace)
    return ClickHouseSealed(
        namespace=template, pieces=tuple(_moved(piece, names) for piece in ordered), parts=parts
    )


def unseal(address: Address, sealed: Sealed) -> None:
    """Remove a template."""
    if sealed.namespace is not None:
        drop(address, sealed.namespace)


def _create_empty(address: Address, connection: Connection, name: str, owner: str) -> Namespace:
    comment = f" COMMENT {quoted(owner)}" if owner else ""
    connection.query(f"CREATE DATABASE {quoted_name(name)}{comment}")
    return Namespace(user=address.user, password=address.password, database=name, mark=owner)


@contextlib.contextmanager
def _kills_queries(address: Address, database: str) -> Iterator[None]:
    """End queries that use a database if the block takes long, as DROP does until they end.

    Only then, because asking for it takes longer than most databases take to drop.
    """
    done = threading.Event()

    def kill() -> None:
        while not done.wait(_PATIENCE_S):
            # Somebody else's server may not let us; there DROP waits. SYNC was seen to hang.
            with contextlib.suppress(OSError), Connection(address, _LIMIT_S) as connection:
                connection.query(f"KILL QUERY WHERE {objects.uses(database)} ASYNC")

    threading.Thread(target=kill, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextlib.contextmanager
def _or_dropped(address: Address, namespace: Namespace) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            drop(address, namespace)
        raise


def _copy(address: Address, connection: Connection, name: str, sealed: ClickHouseSealed) -> None:
    names = Names(sealed.database, name, sealed.pieces)

    def make(own: Connection, piece: Piece) -> None:
        own.query(names.replaced(piece.statement))
        if fill := piece.fill(names):
            own.query(fill)

    alone = [piece for piece in sealed.pieces if piece.alone]
    if len(alone) < _WORTH_CONNECTIONS:
        for piece in alone:
            make(connection, piece)
    else:
        _share_out(address, alone, make)
    for piece in sealed.pieces:
        if not piece.alone:
            make(connection, piece)


def _share_out(
    address: Address, pieces: Sequence[Piece], make: Callable[[Connection, Piece], None]
) -> None:
    waiting = iter(pieces)
    guard = threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Connection(address, _FILL_LIMIT_S) as connection:
                while not failures:
                    with guard:
                        piece = next(waiting, None)
                    if piece is None:
                        return
                    make(connection, piece)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _try_out(connection: Connection, planned: Sequence[Piece], names: Names) -> list[Piece]:
    """Make the pieces, those that were refused once more after the others, until none is left.

    Returns:
        The pieces in the order in which they succeeded.
    """
    made: list[Piece] = []
    waiting = list(planned)
    while waiting:
        # Materialized views last: nothing is to be filled any more when they begin to listen.
        quiet = [piece for piece in waiting if piece.engine != "MaterializedView"]
        succeeded, refusals = _try_each(connection, quiet, names)
        if not succeeded:
            succeeded, refusals = _try_each(connection, waiting, names)
        if not succeeded:
            raise _not_true(waiting[0], "it", refusals[0], names)
        made += succeeded
        waiting = [piece for piece in waiting if piece not in succeeded]
    return made


def _try_each(
    connection: Connection, planned: Sequence[Piece], names: Names
) -> tuple[list[Piece], list[Rejected]]:
    succeeded, refusals = [], []
    for piece in planned:
        try:
            connection.query(names.replaced(piece.statement))
        except Rejected as error:
            refusals.append(error)
            continue
        if fill := piece.fill(names):
            try:
                connection.query(fill)
            except Rejected as error:
                raise _not_true(piece, "its rows", error, names) from None
        succeeded.append(piece)
    return succeeded, refusals


def _not_true(piece: Piece, what: str, error: Rejected, names: Names) -> TemplateFailed:
    return TemplateFailed(
        f"{piece.name} ({piece.engine}) cannot be copied: ClickHouse refused {what} in a copy",
        detail=names.restored(str(error)),
    )


def _compare(found: Mapping[str, Object], copied: Mapping[str, Object], names: Names) -> None:
    again = {names.restored(name): thing for name, thing in copied.items()}
    for name, thing in found.items():
        copy = again.get(name)
        statement = names.restored(copy.statement) if copy else "nothing"
        if statement != thing.statement:
            raise TemplateFailed(
                f"the copy of {name} ({thing.engine}) is not what the template has",
                detail=f"in the template: {thing.statement}\nin the copy: {statement}",
                hint="make it in one statement, not by later changes to it",
            )
        if copy and thing.engine in objects.HOLDS_ROWS and copy.rows != thing.rows:
            raise TemplateFailed(
                f"the copy of {name} ({thing.engine}) has {copy.rows} rows, not {thing.rows}",
                hint="let nothing write to it any more when its preparation has ended",
            )


def _moved(piece: Piece, names: Names) -> Piece:
    """As it is in the copy that became the template."""
    return Piece(
        name=piece.name,
        engine=piece.engine,
        statement=names.replaced(piece.statement),
        rows=names.replaced(piece.rows),
        partitions=piece.partitions,
        columns=piece.columns,
        inner=names.replaced(piece.inner),
        alone=piece.alone,
    )
