"""Databases of leases on Postgres servers of our own: empty ones, copies of templates, used ones.

A template's owner is a role that nobody logs in as; each lease has a role of its own which inherits
that one's rights, so nothing in a copy has to change hands, however many tables there are.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from msgspec import field

from envkit.errors import ExtensionMissing, TemplateFailed, TemplateShared
from envkit.model import PostgresSettings, ServiceSettings
from envkit.services import postgres_renewal as renewal
from envkit.services.postgres_sessions import (
    admin,
    connected,
    drop_both,
    drop_database,
    end_sessions,
    identifier,
    literal,
    verifier,
)
from envkit.services.postgres_strategy import Strategies
from envkit.services.postgres_untouched import check_touched, objects_in
from envkit.services.spec import Address, Groundwork, Namespace, Sealed, new_password

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "PostgresSealed",
    "begin",
    "check_extensions",
    "copy_settings",
    "create",
    "drop",
    "inspected",
    "make_extensions",
    "make_roles",
    "renew",
    "seal",
    "unseal",
]

_GONE_S: Final = 5.0


class PostgresSealed(Sealed, frozen=True, kw_only=True):
    """A template database.

    Attributes:
        settings: What ALTER DATABASE and ALTER ROLE set for it, which copies do not inherit.
        roles: That its owner is a member of.
        contents: What `renewal` compares a used copy with; None if copies are not renewed.
        strategies: Of copying, and how long they took.
    """

    settings: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    contents: renewal.Contents | None = None
    strategies: Strategies = field(default_factory=Strategies)


def create(
    address: Address, name: str, settings: ServiceSettings, _: str, sealed: Sealed | None
) -> Namespace:
    """A database with a role of the same name; see `Service.create`."""
    assert sealed is None or isinstance(sealed, PostgresSealed)
    password = new_password()
    superuser = isinstance(settings, PostgresSettings) and settings.superuser
    with admin(address) as connection:
        if sealed is None:
            _close_shared(connection)
        version = connection.info.server_version
        connection.execute(_role(name, password, superuser=superuser, of=sealed, version=version))
        try:
            if sealed is None:
                # template0 allows no connections, so nobody can be in the way of copying it.
                # Without fsync copying files takes half the time of writing them through the log.
                how = "STRATEGY file_copy" if version >= 150000 else ""
                connection.execute(
                    f'CREATE DATABASE "{name}" OWNER "{name}" TEMPLATE template0 {how}'
                )
            else:
                assert sealed.namespace is not None
                sealed.strategies.copy(connection, sealed.namespace.database, name, owner=name)
        except BaseException:
            if not connection.closed:
                connection.execute(f'DROP ROLE IF EXISTS "{name}"')
            raise
        after = [f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC']
        if sealed is not None:
            after += copy_settings(sealed, name)
        connection.execute("; ".join(after))
        mark = ""
        # Without a pool nothing is kept that could be renewed.
        if settings.pool and not superuser and sealed is not None and sealed.contents is not None:
            mark = renewal.mark_of(connection, name)
    return Namespace(user=name, password=password, database=name, mark=mark)


_closing: Final = threading.Lock()


def _close_shared(connection: psycopg.Connection[Any]) -> None:
    """Let nobody but superusers into the databases that every server has.

    Large objects would stay there, and locks and notifications would meet those of other leases.
    """
    with _closing:
        rows = connection.execute(
            "SELECT datname::text FROM pg_database WHERE datname IN ('postgres', 'template1')"
            " AND has_database_privilege('public', oid, 'CONNECT')"
        ).fetchall()
        for (name,) in rows:
            connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")


def _role(
    name: str, password: str, *, superuser: bool, of: PostgresSealed | None, version: int
) -> str:
    rights = "SUPERUSER" if superuser else "NOSUPERUSER"
    statements = [f"CREATE ROLE \"{name}\" {rights} LOGIN PASSWORD '{verifier(password)}'"]
    if of is not None and not superuser:
        assert of.namespace is not None
        # Without becoming it: what ALTER ROLE sets for the owner would be for all copies.
        how = " WITH INHERIT TRUE, SET FALSE" if version >= 160000 else ""
        statements.append(f'GRANT "{of.namespace.user}" TO "{name}"{how}')
        statements += [f'GRANT {identifier(role)} TO "{name}"' for role in of.roles]
    return "; ".join(statements)


def copy_settings(sealed: PostgresSealed, name: str) -> list[str]:
    """Statements that give a copy what was set for its template."""
    return [f'ALTER DATABASE "{name}" SET {setting}' for setting in sealed.settings]


def drop(address: Address, namespace: Namespace) -> None:
    """See `Service.drop`."""
    drop_both(address, namespace.database)


# -- templates ------------------------------------------------------------------------------------


def begin(
    address: Address, name: str, settings: ServiceSettings, owner: str, work: Groundwork
) -> Namespace:
    """See `Service.begin`.

    Raises:
        ExtensionMissing: The server has not all of them.
    """
    with admin(address) as connection:
        check_extensions(connection, work.extensions)
    namespace = create(address, name, settings, owner, None)
    try:
        with admin(address) as connection:
            make_roles(connection, name, work.roles)
            shared = _shared(connection)
        with connected(address, dbname=name) as inside:
            make_extensions(inside, name, work.extensions)
            untouched = objects_in(inside) if work.migrated else -1
    except BaseException:
        drop(address, namespace)
        raise
    return Namespace(
        user=namespace.user,
        password=namespace.password,
        database=name,
        mark=json.dumps({"shared": shared, "roles": work.roles, "untouched": untouched}),
    )


def check_extensions(connection: psycopg.Connection[Any], wanted: tuple[str, ...]) -> None:
    """Make sure that a server has extensions.

    Raises:
        ExtensionMissing: Some are not there.
    """
    if not wanted:
        return
    rows = connection.execute("SELECT name::text FROM pg_available_extensions").fetchall()
    there = sorted(name for (name,) in rows)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ExtensionMissing(
            f"this Postgres has no extension {', '.join(missing)}; it has {', '.join(there)}",
            hint="use a server or an image that has it (image in [tool.envkit.postgres]), or leave "
            "it out of extensions",
        )


def make_extensions(inside: psycopg.Connection[Any], owner: str, wanted: tuple[str, ...]) -> None:
    """Make extensions in the database of this session; those that allow it belong to its owner."""
    for extension in wanted:
        row = inside.execute(
            "SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = %s",
            [extension],
        ).fetchone()
        if row and row[0]:
            inside.execute(f"SET ROLE {identifier(owner)}")
        inside.execute(f"CREATE EXTENSION IF NOT EXISTS {identifier(extension)} CASCADE")
        inside.execute("RESET ROLE")


def make_roles(connection: psycopg.Connection[Any], owner: str, wanted: tuple[str, ...]) -> None:
    """Make the roles that all databases share, and let the builder grant to and from them."""
    for role in wanted:
        known = connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = %s", [role]
        ).fetchone()
        if known and known[0]:
            raise TemplateFailed(
                f"roles names {role!r}, who is a superuser: every lease could become one",
                hint=f"leave {role} out; of a dump, make it with pg_dump --no-owner",
            )
        if known is None:
            connection.execute(f"CREATE ROLE {identifier(role)} NOLOGIN")
        connection.execute(f"GRANT {identifier(role)} TO {identifier(owner)}")


def _shared(connection: psycopg.Connection[Any]) -> list[str]:
    """What there is beside databases, without our own."""
    rows = connection.execute(
        "SELECT 'the role ' || rolname FROM pg_roles"
        " WHERE rolname !~ '^(envkit_[0-9a-f]{8}_)?(lease|template|export)_'"
        " UNION ALL SELECT 'the tablespace ' || spcname FROM pg_tablespace ORDER BY 1"
    ).fetchall()
    return [what for (what,) in rows]


def seal(address: Address, namespace: Namespace) -> PostgresSealed:
    """See `Service.seal`."""
    name = namespace.database
    before = json.loads(namespace.mark)
    with admin(address) as connection:
        made = [what for what in _shared(connection) if what not in before["shared"]]
        if made:
            _undo(address, connection, namespace, made)
            raise TemplateShared(
                f"preparing the template made {', '.join(made)}, which all databases of the "
                "server would share",
                hint='name roles in roles = ["…"] of [tool.envkit.postgres], and have the '
                "migration make only those that are missing",
            )
        connection.execute(f'ALTER ROLE "{name}" NOLOGIN PASSWORD NULL')
        if not end_sessions(connection, name, _GONE_S):
            raise TemplateFailed(
                "a session of whoever prepared the template does not end",
                hint="look at what it is doing: envkit logs postgres",
            )
        sealed = inspected(connection, namespace, tuple(before["roles"]))
    with connected(address, dbname=name) as inside:
        # Being there once makes the file of cached catalogs, which copies inherit: their first
        # connection is as fast as any other.
        contents = renewal.contents_of(inside)
        check_touched(inside, before["untouched"])
    with admin(address) as connection:
        end_sessions(connection, name, _GONE_S)
        # Not its owner's any more: who has a copy has that one's rights.
        connection.execute(
            f'ALTER DATABASE "{name}" OWNER TO CURRENT_USER;'
            f' ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'
        )
    return PostgresSealed(
        namespace=namespace,
        settings=sealed.settings,
        roles=sealed.roles,
        contents=contents,
    )


def inspected(
    connection: psycopg.Connection[Any], namespace: Namespace, roles: tuple[str, ...]
) -> PostgresSealed:
    """What has to be known of a template from outside of it."""
    name = namespace.database
    rows = connection.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting s"
        " LEFT JOIN pg_database d ON d.oid = s.setdatabase"
        " LEFT JOIN pg_roles r ON r.oid = s.setrole"
        # What was set for the role alone, then for the database, then for both: the last one wins.
        " WHERE (r.rolname = %s AND d.oid IS NULL) OR (d.datname = %s AND (r.oid IS NULL OR"
        " r.rolname = %s)) ORDER BY d.oid IS NOT NULL, r.oid IS NOT NULL",
        [namespace.user, name, namespace.user],
    ).fetchall()
    prepared = connection.execute(
        "SELECT gid FROM pg_prepared_xacts WHERE database = %s", [name]
    ).fetchone()
    if prepared:
        raise TemplateFailed(
            f"the template has a prepared transaction ({prepared[0]!r}), which cannot be copied",
            hint="commit it or roll it back at the end of the migration",
        )
    return PostgresSealed(
        namespace=namespace, settings=tuple(_assignment(text) for (text,) in rows), roles=roles
    )


# Their values are lists, which ALTER … SET wants unquoted or item by item.
_LISTS: Final = frozenset(
    (
        "search_path",
        "datestyle",
        "temp_tablespaces",
        "session_preload_libraries",
        "local_preload_libraries",
        "unix_socket_directories",
    )
)


def _assignment(text: str) -> str:
    """``name=value`` of the catalog, as ALTER DATABASE … SET takes it."""
    name, _, value = text.partition("=")
    if name.lower() in _LISTS:
        return f"{name} TO {value or literal('')}"
    return f"{name} TO {literal(value)}"


def _undo(
    address: Address, connection: psycopg.Connection[Any], namespace: Namespace, made: list[str]
) -> None:
    """Drop the roles that a builder made, and before them the database that they own things in."""
    import psycopg

    drop_database(address, connection, namespace.database)
    for what in made:
        if match := re.fullmatch("the role (.*)", what, re.DOTALL):
            with contextlib.suppress(psycopg.Error):  # something else of the user's depends on it
                connection.execute(f"DROP ROLE {identifier(match[1])}")


def renew(
    address: Address, namespace: Namespace, name: str, sealed: Sealed | None
) -> Namespace | None:
    """See `Service.renew`."""
    if not isinstance(sealed, PostgresSealed) or sealed.contents is None:
        return None
    return renewal.renewed(address, namespace, name, sealed.contents)


def unseal(address: Address, sealed: Sealed) -> None:
    """See `Service.unseal`."""
    import psycopg

    assert sealed.namespace is not None
    with admin(address) as connection:
        database = sealed.namespace.database
        drop_database(address, connection, database)
        # What is in copies that are still there belongs to it, so one that cannot go now goes with
        # the next.
        rows = connection.execute(
            "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^template_' AND NOT rolcanlogin"
            " AND NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = rolname)"
        ).fetchall()
        for (name,) in rows:
            with contextlib.suppress(psycopg.Error):
                connection.execute(f'DROP ROLE IF EXISTS "{name}"')
