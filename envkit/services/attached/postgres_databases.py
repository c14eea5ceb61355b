"""Databases and roles on Postgres servers of somebody else, with whatever rights there are.

Admins come with all rights, with CREATEDB and CREATEROLE, or with CREATEDB alone; the last one's
leases belong to the admin's own role.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from envkit.errors import AttachUnsuitable, ExtensionMissing, TemplateFailed
from envkit.model import ServiceSettings
from envkit.services.postgres_copies import (
    PostgresSealed,
    check_extensions,
    copy_settings,
    inspected,
    make_extensions,
    make_roles,
)
from envkit.services.postgres_sessions import connected, identifier, literal, verifier
from envkit.services.postgres_untouched import check_touched, objects_in
from envkit.services.spec import Address, Groundwork, Namespace, Sealed, new_password

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "Rights",
    "begin",
    "create",
    "drop",
    "drop_both",
    "end_sessions",
    "rights",
    "seal",
    "session",
    "unseal",
    "unsuitable",
]

_OLDEST: Final = (
    10  # what psycopg supports: https://www.psycopg.org/psycopg3/docs/basic/install.html
)
_GONE_S: Final = 2.0


class Rights(Struct, frozen=True, kw_only=True):
    """What the server is and what its user may do there."""

    version: int
    superuser: bool
    createdb: bool
    createrole: bool
    inherit: bool
    replica: bool
    role: str

    @property
    def own_roles(self) -> bool:
        """Whether it can make roles that own databases."""
        return self.superuser or self.createrole

    @property
    def inherits(self) -> bool:
        """Whether it may do what the roles may that it makes, without becoming them."""
        # Since 16 that is a matter of each grant; before, of the role that gets it.
        return self.superuser or self.inherit or self.version >= 160000


def session(address: Address, purpose: str = "") -> psycopg.Connection[Any]:
    """A session that stands in nobody's way.

    In the database that is there for maintenance, because being connected to the one that the URL
    names would keep its owner from dropping it.

    Args:
        address: Of the server.
        purpose: Part of the application's name, by which sessions of one run are found.
    """
    name = f"envkit_{address.run}{purpose}"
    try:
        return connected(address, dbname="postgres", application_name=name)
    except Exception:
        if address.database in ("", "postgres"):
            raise
        return connected(address, application_name=name)


def rights(connection: psycopg.Connection[Any]) -> Rights:
    row = connection.execute(
        "SELECT current_setting('server_version_num')::int, rolsuper, rolcreatedb, rolcreaterole,"
        " rolinherit, pg_is_in_recovery(), rolname::text FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    version, superuser, createdb, createrole, inherit, replica, role = row
    return Rights(
        version=version,
        superuser=superuser,
        createdb=createdb,
        createrole=createrole,
        inherit=inherit,
        replica=replica,
        role=role,
    )


def unsuitable(found: Rights, where: str, *, superuser: bool) -> AttachUnsuitable | None:
    """What keeps leases from being made with these rights.

    Args:
        found: The rights.
        where: The server, in words.
        superuser: Whether leases are to be owned by a superuser.
    """
    role = found.role.replace('"', '""')
    if found.version < _OLDEST * 10000:
        return AttachUnsuitable(
            f"Postgres at {where} is of version {found.version // 10000}; "
            f"envkit needs {_OLDEST} or newer",
            hint="upgrade it, or --backend postgres=embedded",
        )
    if found.replica:
        return AttachUnsuitable(
            f"Postgres at {where} is a replica, which only reads",
            hint="name its primary server",
        )
    if superuser and not found.superuser:
        return AttachUnsuitable(
            f"superuser = true was asked for, and {found.role} at {where} is none",
            hint=f'as a superuser: ALTER ROLE "{role}" SUPERUSER; or leave superuser out',
        )
    if not (found.superuser or found.createdb):
        return AttachUnsuitable(
            f"{found.role} may not create databases on Postgres at {where}",
            hint=f'as a superuser: ALTER ROLE "{role}" CREATEDB CREATEROLE; '
            "(CREATEDB alone does, with leases that share this role)",
        )
    return None


def create(
    address: Address, name: str, settings: ServiceSettings, owner: str, sealed: Sealed | None
) -> Namespace:
    """A database, and where there may be one a role of the same name; see `Service.create`."""
    assert sealed is None or isinstance(sealed, PostgresSealed)
    password = new_password()
    with session(address) as connection:
        found = rights(connection)
        if found.own_roles:
            with connection.transaction():  # never a role without a word whose it is
                kind = "SUPERUSER" if getattr(settings, "superuser", False) else "NOSUPERUSER"
                secret = verifier(password)
                connection.execute(f"CREATE ROLE \"{name}\" {kind} LOGIN PASSWORD '{secret}'")
                connection.execute(f'COMMENT ON ROLE "{name}" IS {literal(owner)}')
                if not found.superuser:
                    # Needed to give a database away, and to drop it: since 16 a creator has only
                    # the right to grant (https://www.postgresql.org/docs/16/role-attributes.html).
                    how = "WITH INHERIT TRUE, SET TRUE" if found.version >= 160000 else ""
                    connection.execute(f'GRANT "{name}" TO CURRENT_USER {how}')
                if sealed is not None:
                    for role in (_owner_of(sealed), *sealed.roles):
                        connection.execute(f'GRANT {identifier(role)} TO "{name}"')
        try:
            of = name if found.own_roles else ""
            if sealed is not None:
                sealed.strategies.copy(connection, _database_of(sealed), name, owner=of)
            else:
                of = f'OWNER "{of}"' if of else ""
                connection.execute(
                    f'CREATE DATABASE "{name}" {of} TEMPLATE template0 {_locale(found.version)}'
                )
            with _acting_as(connection, name, found):
                connection.execute(f'COMMENT ON DATABASE "{name}" IS {literal(owner)}')
                connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
                # As the servers have it that envkit starts.
                connection.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'UTC'")
                for statement in copy_settings(sealed, name) if sealed is not None else ():
                    connection.execute(statement)
        except BaseException:
            with contextlib.suppress(Exception):
                drop_both(connection, name, found)
            raise
    if found.own_roles:
        return Namespace(user=name, password=password, database=name)
    return Namespace(user=address.user, password=address.password, database=name)


def _database_of(sealed: PostgresSealed) -> str:
    assert sealed.namespace is not None
    return sealed.namespace.database


def _owner_of(sealed: PostgresSealed) -> str:
    assert sealed.namespace is not None
    return sealed.namespace.user


def begin(
    address: Address, name: str, settings: ServiceSettings, owner: str, work: Groundwork
) -> Namespace:
    """See `Service.begin`.

    Raises:
        ExtensionMissing: The server has not all of them, or this user may not make them.
        AttachUnsuitable: This user may not make roles.
    """
    with session(address) as connection:
        check_extensions(connection, work.extensions)
        if work.roles and not rights(connection).own_roles:
            raise AttachUnsuitable(
                f"roles = {list(work.roles)} was asked for, and {address.user} at "
                f"{address.url_host} may make none",
                hint=f'as a superuser: ALTER ROLE "{address.user}" CREATEROLE',
            )
    namespace = create(address, name, settings, owner, None)
    try:
        with session(address) as connection:
            make_roles(connection, namespace.user, work.roles)
        with connected(address, dbname=name) as inside:
            make_extensions(inside, namespace.user, work.extensions)
            untouched = objects_in(inside) if work.migrated else -1
    except BaseException as error:
        drop(address, namespace)
        if getattr(error, "sqlstate", "") == "42501":
            raise ExtensionMissing(
                f"{address.user} at {address.url_host} may not make what the template needs: "
                f"{error}",
                hint="have a superuser make it in template1, or leave it out",
            ) from None
        raise
    return structs.replace(
        namespace, mark=json.dumps({"roles": work.roles, "untouched": untouched})
    )


def seal(address: Address, namespace: Namespace) -> PostgresSealed:
    """See `Service.seal`."""
    name = namespace.database
    before = json.loads(namespace.mark)
    with session(address) as connection:
        found = rights(connection)
        if not end_sessions(connection, "datname = %s", name):
            raise TemplateFailed(
                "a session of whoever prepared the template does not end",
                hint="look at what it is doing in pg_stat_activity",
            )
        sealed = inspected(connection, namespace, tuple(before["roles"]))
        with connected(address, dbname=name) as inside:
            check_touched(inside, before["untouched"])
        if found.own_roles and found.inherits:
            # Not its owner's any more: who has a copy has that one's rights.
            connection.execute(f'ALTER DATABASE "{name}" OWNER TO CURRENT_USER')
        with _acting_as(connection, name, found):
            if not found.inherits:
                # Or else only its owner may copy it, who may not be allowed to make databases.
                connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        if not end_sessions(connection, "datname = %s", name):
            raise TemplateFailed("somebody is connected to the template, and does not go away")
    return sealed


def unseal(address: Address, sealed: Sealed) -> None:
    """See `Service.unseal`."""
    assert sealed.namespace is not None
    with contextlib.suppress(Exception):  # its role goes with the last copy
        drop(address, sealed.namespace)


def _locale(version: int) -> str:
    """The same database everywhere; before 17 there is no locale that every machine has."""
    if version < 170000:
        return ""
    return "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"


def drop(address: Address, namespace: Namespace) -> None:
    with session(address) as connection:
        drop_both(connection, namespace.database, rights(connection))


def drop_both(connection: psycopg.Connection[Any], name: str, found: Rights) -> None:
    """Drop the database and the role of this name, whichever there are."""
    _roll_back_prepared(connection, name)
    with _acting_as(connection, name, found):
        template = "SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate"
        if connection.execute(template, [name]).fetchone():
            connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
        drop_database(connection, name, version=found.version)
    connection.execute(f'DROP ROLE IF EXISTS "{name}"')


def _roll_back_prepared(connection: psycopg.Connection[Any], name: str) -> None:
    """End what a test left prepared: it belongs to no session, and keeps its database."""
    left = "SELECT gid, owner::text FROM pg_prepared_xacts WHERE database = %s"
    if not (found := connection.execute(left, [name]).fetchall()):
        return
    import psycopg

    # Only from within the database.
    inside = psycopg.connect(
        connection.info.dsn, password=connection.info.password, dbname=name, autocommit=True
    )
    with contextlib.closing(inside):
        for gid, owner in found:
            # Only its owner may, or a superuser.
            with contextlib.suppress(psycopg.Error):
                inside.execute("SELECT set_config('role', %s, false)", [owner])
            inside.execute(f"ROLLBACK PREPARED {literal(gid)}")
            inside.execute("RESET ROLE")


@contextlib.contextmanager
def _acting_as(connection: psycopg.Connection[Any], name: str, found: Rights) -> Iterator[None]:
    """Be the role of this name, if there is one and that is what it takes to do what it may."""
    known = "SELECT 1 FROM pg_roles WHERE rolname = %s"
    if found.inherits or connection.execute(known, [name]).fetchone() is None:
        yield
        return
    connection.execute(f'SET ROLE "{name}"')
    try:
        yield
    finally:
        connection.execute("RESET ROLE")


def drop_database(connection: psycopg.Connection[Any], name: str, *, version: int) -> None:
    """Drop a database and whoever is connected to it."""
    if version >= 130000:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        return
    row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if row is None:
        return
    connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
    end_sessions(connection, "datname = %s", name)
    connection.execute(f'DROP DATABASE IF EXISTS "{name}"')


def end_sessions(connection: psycopg.Connection[Any], which: str, value: str) -> bool:
    """End sessions, and wait a moment until they are gone; False if they do not go."""
    limit = time.monotonic() + _GONE_S
    while time.monotonic() < limit:
        found = connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # noqa: S608 - our own text
            f" WHERE {which} AND pid <> pg_backend_pid()",
            [value],
        ).fetchall()
        if not found:
            return True
        time.sleep(0.01)
    return False
