"""Making a used database as good as new, where it can be proved that nothing of its use stays.

What a session may change without superuser rights, and how each of it is seen:

- Rows of tables, catalogs and large objects, and with the catalogs all definitions, grants,
  comments and statistics: the server counts every tuple that is inserted, updated or deleted, also
  in transactions that are rolled back, and in temporary and unlogged tables. What a backend counted
  has been added up before it is gone from the list of sessions, and only superusers can switch the
  counting off or reset it. TRUNCATE, CREATE, ALTER and the like show as changes of catalogs.
- Sequences, which nothing counts: the server does count that their block was read, and the values
  of those are compared.
- What VACUUM and ANALYZE believe of a table, which they write into its row of pg_class in place and
  so without counting: they themselves are counted.
- What is outside of the database: its own row and its role's (name, password, settings, rights,
  membership, comments) is compared by the transaction that wrote it last.
- The counters themselves, by a crash of the server, which forgets them: then another checkpointer
  is at work than at the time of the hand-out.

If only tables were written that the template has empty, they are truncated; sequences get their
values back. Everything else means: not like new, and a new copy is made instead.

Nobody is connected meanwhile: ALTER DATABASE … RENAME refuses while anybody is, and whoever knows
the old name finds no database of that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from envkit.services.postgres_sessions import (
    admin,
    connected,
    drop_both,
    end_sessions,
    verifier,
)
from envkit.services.spec import Address, Namespace, new_password

if TYPE_CHECKING:
    import psycopg

__all__ = ["Contents", "contents_of", "mark_of", "renewed"]

_GONE_S: Final = 2.0
# Statistics are in shared memory, and so up to date, since 15.
_OLDEST: Final = 150000
_AT_ONCE: Final = 100
_OF_USERS: Final = "n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"

_ESTIMATED: Final = (
    "pg_stat_get_vacuum_count(oid) + pg_stat_get_autovacuum_count(oid)"
    " + pg_stat_get_analyze_count(oid) + pg_stat_get_autoanalyze_count(oid) > 0"
)


class Contents(Struct, frozen=True, kw_only=True):
    """What a template holds, by object id: a copy's objects have the same ones.

    Attributes:
        empty: Tables without rows that may be truncated: to their quoted name, and to those that
            have to be truncated with them because they refer to them.
        sequences: To their state: ``(last_value, is_called)``.
    """

    empty: dict[int, tuple[str, frozenset[int]]]
    sequences: dict[int, tuple[int, bool]]


def contents_of(inside: psycopg.Connection[Any]) -> Contents | None:
    """What is in the database of this session; None if copies of it are not to be renewed."""
    if inside.info.server_version < _OLDEST or not _counts(inside):
        return None
    if inside.execute(
        "SELECT 1 FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
        " WHERE c.relkind IN ('r', 'm') AND a.amname <> 'heap' LIMIT 1"
    ).fetchone():
        return None  # nobody knows what others count
    rows = inside.execute(
        "SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname) FROM pg_class c"  # noqa: S608
        f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {_OF_USERS}"
        # A trigger that fires although the session is a replica's.
        " AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid"
        " AND t.tgenabled IN ('A', 'R') AND t.tgtype::int & 32 <> 0)"
    ).fetchall()
    names = dict(rows)
    vacant = set(_vacant(inside, names))
    references: dict[int, set[int]] = {}
    for referred, referring in inside.execute(
        "SELECT confrelid::bigint, conrelid::bigint FROM pg_constraint WHERE contype = 'f'"
    ).fetchall():
        references.setdefault(referred, set()).add(referring)
    empty: dict[int, tuple[str, frozenset[int]]] = {}
    for table in vacant:
        also = _closure(table, references)
        if also <= vacant:
            empty[table] = (names[table], frozenset(also))
    return Contents(empty=empty, sequences=_states(inside, _sequences(inside)))


def _counts(inside: psycopg.Connection[Any]) -> bool:
    row = inside.execute("SHOW track_counts").fetchone()
    return bool(row and row[0] == "on")


def _closure(table: int, references: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    ahead = [table]
    while ahead:
        for other in references.get(ahead.pop(), ()):
            if other not in found:
                found.add(other)
                ahead.append(other)
    return found


def _vacant(inside: psycopg.Connection[Any], names: dict[int, str]) -> Iterable[int]:
    tables = list(names.items())
    for begin in range(0, len(tables), _AT_ONCE):
        parts = [
            f"SELECT {oid}::bigint WHERE NOT EXISTS (SELECT 1 FROM ONLY {name})"  # noqa: S608
            for oid, name in tables[begin : begin + _AT_ONCE]
        ]
        for (oid,) in inside.execute(" UNION ALL ".join(parts).encode()).fetchall():
            yield oid


def _sequences(inside: psycopg.Connection[Any]) -> dict[int, str]:
    return dict(
        inside.execute(
            "SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'"
        ).fetchall()
    )


def _states(inside: psycopg.Connection[Any], names: dict[int, str]) -> dict[int, tuple[int, bool]]:
    found: dict[int, tuple[int, bool]] = {}
    every = list(names.items())
    for begin in range(0, len(every), _AT_ONCE):
        parts = [
            f"SELECT {oid}::bigint, last_value, is_called FROM {name}"  # noqa: S608
            for oid, name in every[begin : begin + _AT_ONCE]
        ]
        for oid, value, called in inside.execute(" UNION ALL ".join(parts).encode()).fetchall():
            found[oid] = (value, called)
    return found


def mark_of(connection: psycopg.Connection[Any], name: str) -> str:
    """What is outside of a database and belongs to it, or to its role of the same name."""
    row = connection.execute(
        "SELECT d.oid::bigint, d.xmin::text, r.oid::bigint, r.xmin::text,"
        " (SELECT string_agg(pid || ' ' || backend_start, ',') FROM pg_stat_activity"
        "   WHERE backend_type = 'checkpointer'),"
        " (SELECT string_agg(m.roleid || ' ' || m.member || ' ' || m.xmin, ',' ORDER BY m.roleid,"
        "   m.member) FROM pg_auth_members m WHERE r.oid IN (m.roleid, m.member)),"
        " (SELECT string_agg(s.setdatabase || ' ' || s.setrole || ' ' || s.xmin, ','"
        "   ORDER BY s.setdatabase, s.setrole) FROM pg_db_role_setting s"
        "   WHERE s.setdatabase = d.oid OR s.setrole = r.oid),"
        " (SELECT count(*) FROM pg_shdescription s WHERE s.objoid IN (d.oid, r.oid)),"
        " (SELECT count(*) FROM pg_shseclabel s WHERE s.objoid IN (d.oid, r.oid)),"
        " (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = d.datname)"
        " FROM pg_database d JOIN pg_authid r ON r.rolname = d.datname WHERE d.datname = %s",
        [name],
    ).fetchone()
    return json.dumps(row) if row else ""


def renewed(
    address: Address, namespace: Namespace, name: str, contents: Contents
) -> Namespace | None:
    """A used copy of a template under a new name, as if it were new; None if that is not proved.

    Args:
        address: Of the server.
        namespace: That nobody has any more.
        name: The new one, of the database and of its role.
        contents: Of the template.

    Raises:
        psycopg.Error: Something unexpected; the namespace is to be dropped.
    """
    import psycopg

    old = namespace.database
    password = new_password()
    with admin(address) as connection:
        if not end_sessions(connection, old, _GONE_S):
            return None
        if not namespace.mark or mark_of(connection, old) != namespace.mark:
            return None
        # Refused while anybody is connected or connecting.
        try:
            with connection.transaction():
                connection.execute(
                    f'ALTER DATABASE "{old}" RENAME TO "{name}";'
                    f' ALTER ROLE "{old}" RENAME TO "{name}";'
                    f" ALTER ROLE \"{name}\" PASSWORD '{verifier(password)}'"
                )
        except psycopg.errors.ObjectInUse:
            return None
    try:
        with connected(address, dbname=name) as inside:
            proved = _reset(inside, contents)
        if proved:
            with admin(address) as connection:
                mark = mark_of(connection, name)
            return Namespace(user=name, password=password, database=name, mark=mark)
    except BaseException:
        drop_both(address, name)  # under its new name nobody else knows it
        raise
    drop_both(address, name)
    return None


def _reset(inside: psycopg.Connection[Any], contents: Contents) -> bool:
    if not _counts(inside):
        return False
    rows = inside.execute(
        f"SELECT oid::bigint, relkind::text, {_ESTIMATED}"  # noqa: S608
        " FROM pg_class WHERE NOT relisshared AND"
        # What goes into a table's TOAST goes with a tuple of the table itself.
        " ((relkind IN ('r', 'm') AND pg_stat_get_tuples_inserted(oid)"
        " + pg_stat_get_tuples_updated(oid) + pg_stat_get_tuples_deleted(oid) > 0)"
        " OR (relkind = 'S' AND pg_stat_get_blocks_fetched(oid) > 0)"
        f" OR {_ESTIMATED})"
    ).fetchall()
    if any(estimated for _, _, estimated in rows):
        return False
    written = {oid for oid, kind, _ in rows if kind != "S"}
    read = {oid for oid, kind, _ in rows if kind == "S"}
    if not written <= contents.empty.keys() or not read <= contents.sequences.keys():
        return False
    changed = {}
    if read:
        names = {oid: name for oid, name in _sequences(inside).items() if oid in read}
        now = _states(inside, names)
        changed = {
            oid: contents.sequences[oid] for oid in read if now[oid] != contents.sequences[oid]
        }
    statements = []
    if written:
        tables = written.union(*(contents.empty[oid][1] for oid in written))
        only = ", ".join(f"ONLY {contents.empty[oid][0]}" for oid in sorted(tables))
        # Of a replica, so that triggers of the user's do not fire.
        statements += ["SET session_replication_role = replica", f"TRUNCATE {only}"]
    for oid, (value, called) in sorted(changed.items()):
        statements.append(f"SELECT setval({oid}::regclass, {value}, {called})")
    if statements:
        # Added up when the statement has ended, so that it is not added after the reset.
        statements.append("SELECT pg_stat_force_next_flush()")
        inside.execute("; ".join(statements).encode())
    inside.execute("SELECT pg_stat_reset()")
    return True
