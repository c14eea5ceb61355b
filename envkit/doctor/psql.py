"""Commands of Postgres' own programs, for one who reads a finding and wants to type them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from envkit.doctor.engine import Seen

__all__ = ["Place", "command", "identifier", "literal", "place_of", "sql"]

# libpq: fe-connect.c, emitHostIdentityInfo(); the address in parentheses only if it is not the name
_AT: Final = re.compile(
    r"connection to server (?:at \"(?P<host>[^\"]+)\"(?: \([^)]*\))?, port (?P<port>\d+)"
    r"|on socket \"(?P<directory>[^\"]*)/\.s\.PGSQL\.(?P<number>\d+)\")"
)


class Place(Struct, frozen=True, kw_only=True):
    """Where a symptom comes from; empty and 0 as far as nobody says."""

    host: str
    port: int
    user: str
    database: str

    @property
    def words(self) -> str:
        """``host:port`` for a title; empty if there is none."""
        if self.host.startswith("/"):
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if host and self.port else host


def place_of(seen: Seen) -> Place:
    """Where the server is: by its message, else by the probe, else by what is configured."""
    data, target = seen.symptom.data, seen.target
    user = data.get("user") or target.user
    database = data.get("database") or target.database
    if found := _AT.search(seen.symptom.text):
        host = found["host"] or found["directory"]
        port = int(found["port"] or found["number"])
    else:
        host = data.get("host") or target.host
        port = int(data.get("port") or target.port or 0)
    return Place(host=host, port=port, user=user, database=database)


def command(place: Place, program: str, *arguments: str, user: str = "") -> str:
    """A command for a shell; empty if nobody knows where the server is.

    Args:
        place: Where the server is.
        program: Such as ``createdb``.
        arguments: Further ones, not quoted yet.
        user: Instead of the one who had the trouble.
    """
    if not (place.host and place.port):
        return ""
    who = user or place.user
    words = [program, "-h", place.host, "-p", str(place.port), *(["-U", who] if who else [])]
    return shlex.join([*words, *arguments])


def sql(place: Place, *statements: str, database: str = "postgres", user: str = "") -> str:
    """The same for SQL statements, each a transaction of its own."""
    arguments = [part for one in statements for part in ("-c", one)]
    return command(place, "psql", "-d", database, *arguments, user=user)


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
