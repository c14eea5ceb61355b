"""Whether the command that was to fill a template database has done anything to it.

One that ended well and left nothing has most likely filled another database, whose name is in its
settings or in a file that they load. Tests that have the same settings would go there as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envkit.errors import TemplateUntouched

if TYPE_CHECKING:
    import psycopg

__all__ = ["check_touched", "objects_in"]


def objects_in(inside: psycopg.Connection[Any]) -> int:
    """A number that grows with whatever is made in the database of this session.

    Each object of a user depends on a schema or an owner, or is a large object. What is set for the
    database, or for its role, counts as well.
    """
    row = inside.execute(
        "SELECT (SELECT count(*) FROM pg_depend) + (SELECT count(*) FROM pg_shdepend s"
        " JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database())"
        " + (SELECT count(*) FROM pg_largeobject_metadata)"
        " + (SELECT coalesce(sum(cardinality(s.setconfig)), 0) FROM pg_db_role_setting s"
        " LEFT JOIN pg_database d ON d.oid = s.setdatabase"
        " LEFT JOIN pg_roles r ON r.oid = s.setrole"
        " WHERE current_database() IN (d.datname, r.rolname))"
    ).fetchone()
    assert row is not None
    return int(row[0])


def check_touched(inside: psycopg.Connection[Any], untouched: int) -> None:
    """Make sure that a command that was to fill a template did not fill something else.

    Args:
        inside: A session in the template.
        untouched: What `objects_in` said of it before; -1 if there was no command.

    Raises:
        TemplateUntouched: There is nothing in it.
    """
    if untouched < 0 or untouched != objects_in(inside):
        return
    raise TemplateUntouched(
        "migrate of postgres ended without an error, and the database that it was to prepare is "
        "empty: it did nothing, or did it to another database",
        hint="see which database its settings name: they have to read DATABASE_URL, PGHOST or the "
        "names in env, and a .env file must not override these; if there is nothing to migrate "
        "yet, leave migrate out",
    )
