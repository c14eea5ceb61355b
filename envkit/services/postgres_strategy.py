"""Which way of copying a database is the fastest here: found by using each, and timing it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

__all__ = ["Strategies"]

# One run of each may have met a busy machine.
_TRIES: Final = 2


class Strategies:
    """The ways there are for one template, and how long each has taken.

    https://www.postgresql.org/docs/18/sql-createdatabase.html and ``file_copy_method`` of
    https://www.postgresql.org/docs/18/runtime-config-resource.html: copying files needs two
    checkpoints, which are cheap without fsync; ``clone`` shares blocks where the file system can;
    writing through the log needs no checkpoint, which may pay on a server with fsync.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._took: dict[str, list[float]] | None = None

    @property
    def chosen(self) -> str:
        """The fastest so far; empty before the first copy, and where there is only one way."""
        with self._guard:
            took = {way: min(times) for way, times in (self._took or {}).items() if times}
        return min(took, key=took.__getitem__) if took else ""

    def copy(
        self, connection: psycopg.Connection[Any], template: str, name: str, *, owner: str
    ) -> None:
        """Make a database as a copy of another.

        Args:
            connection: Neither to the one nor to the other.
            template: Nobody may be connected to it.
            name: Of the new one.
            owner: Its role; empty takes the session's.

        Raises:
            psycopg.Error: No way worked.
        """
        import psycopg

        of = f'OWNER "{owner}"' if owner else ""
        statement = f'CREATE DATABASE "{name}" {of} TEMPLATE "{template}"'
        while True:
            way = self._next(connection)
            begun = time.perf_counter()
            try:
                if way.startswith("file_copy "):
                    connection.execute(f"SET file_copy_method = {way.split()[1]}")
                connection.execute(f"{statement} STRATEGY {way.split()[0]}" if way else statement)
            except psycopg.Error:
                if not self._give_up(way):
                    raise
                continue
            self._note(way, time.perf_counter() - begun)
            return

    def _next(self, connection: psycopg.Connection[Any]) -> str:
        with self._guard:
            if self._took is None:
                self._took = {way: [] for way in _ways(connection)}
            for way, times in self._took.items():
                if len(times) < _TRIES:
                    return way
            return min(self._took, key=lambda way: min(self._took[way] if self._took else [0]))

    def _note(self, way: str, seconds: float) -> None:
        with self._guard:
            if self._took is not None and len(self._took.get(way, ())) < _TRIES:
                self._took[way].append(seconds)

    def _give_up(self, way: str) -> bool:
        """Do without a way; False if it was the last."""
        with self._guard:
            if self._took is None or way not in self._took or len(self._took) == 1:
                return False
            del self._took[way]
            return True


def _ways(connection: psycopg.Connection[Any]) -> list[str]:
    version = connection.info.server_version
    if version < 150000:
        return [""]
    ways = ["file_copy copy", "file_copy clone"] if version >= 180000 else ["file_copy"]
    row = connection.execute("SHOW fsync").fetchone()
    if row and row[0] == "on":
        ways.append("wal_log")
    return ways
