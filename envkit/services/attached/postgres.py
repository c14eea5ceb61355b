"""Postgres servers of somebody else: databases and roles with a prefix, a lock as proof of life.

Admins come with all rights, with CREATEDB and CREATEROLE, or with CREATEDB alone; the last one's
leases belong to the admin's own role.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from envkit.dsn import Dsn
from envkit.errors import AttachUnsuitable
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.attached.spec import Attachment, Presence, Trace
from envkit.services.postgres import connected, literal, set_password
from envkit.services.spec import Address, Greeting, Namespace, new_password
from envkit.wait import Trouble

if TYPE_CHECKING:
    import psycopg

__all__ = ["ATTACHMENT", "LOCK"]

#: The first number of the advisory lock (its second one is the run): "envk" in ASCII.
LOCK: Final = 0x656E766B
_OLDEST: Final = (
    10  # what psycopg supports: https://www.psycopg.org/psycopg3/docs/basic/install.html
)
_NAME: Final = re.compile(r"envkit_([0-9a-f]{8})_")
_PATTERN: Final = "^envkit_[0-9a-f]{8}_"
_LOOK_S: Final = 5.0
_GONE_S: Final = 2.0
# After a restart of the server, keepers need a moment to show themselves again.
_SETTLED_S: Final = 60


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


def _address(dsn: Dsn, run: str) -> Address:
    parameters = dict(dsn.parameters)
    return Address(
        host=dsn.host,
        port=dsn.port,
        user=dsn.user or _system_user(),  # as libpq does it
        password=dsn.password,
        database=dsn.database,
        parameters=parameters,
        run=run,
    )


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return "postgres"


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


def _trouble(address: Address, error: Exception) -> Trouble:
    words = str(error)
    if re.search(r"\bSSL\b|certificate|TLS", words):
        return Trouble(kind="denied", hint="say what to do about TLS with ?sslmode=… in the URL")
    from psycopg import ProgrammingError, pq
    from psycopg.conninfo import make_conninfo

    if isinstance(error, ProgrammingError):  # before anything was sent
        return Trouble(kind="denied", hint="correct what stands behind '?' in the URL")

    # libpq gives no SQLSTATE for a failed connection, and the server's words may be in any
    # language; this tells one that refuses us from one that is starting, by 57P03.
    where: dict[str, Any] = {"host": address.host, "port": address.port, "user": address.user}
    where |= {"dbname": address.database or "postgres", "connect_timeout": 2}
    info = make_conninfo(**(address.parameters | where))
    answer = pq.PGconn.ping(info.encode())
    if answer == pq.Ping.REJECT:
        return Trouble(kind="starting", hint="wait until it has started")
    if answer != pq.Ping.OK:
        return Trouble(kind="absent", hint="is it running, and are host and port right?")
    if "password" in words:
        return Trouble(kind="denied", hint="correct user and password in the URL")
    if re.search(r'database ".*" does not exist', words):
        return Trouble(
            kind="denied",
            hint=f"createdb -h {address.host} -p {address.port} {address.database or 'postgres'}, "
            "or name one that is there",
        )
    return Trouble(kind="denied", hint="see what the server says above")


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


def _examine(address: Address, _: Greeting, settings: ServiceSettings) -> None:
    with session(address) as connection:
        wrong = unsuitable(
            rights(connection),
            address.url_host,
            superuser=getattr(settings, "superuser", False),
        )
    if wrong is not None:
        raise wrong


def _create(address: Address, name: str, settings: ServiceSettings, owner: str) -> Namespace:
    password = new_password()
    with session(address) as connection:
        found = rights(connection)
        if found.own_roles:
            with connection.transaction():  # never a role without a word whose it is
                kind = "SUPERUSER" if getattr(settings, "superuser", False) else "NOSUPERUSER"
                set_password(connection, f'CREATE ROLE "{name}" {kind}', name, password)
                connection.execute(f'COMMENT ON ROLE "{name}" IS {literal(owner)}')
                if not found.superuser:
                    # Needed to give a database away, and to drop it: since 16 a creator has only
                    # the right to grant (https://www.postgresql.org/docs/16/role-attributes.html).
                    how = "WITH INHERIT TRUE, SET TRUE" if found.version >= 160000 else ""
                    connection.execute(f'GRANT "{name}" TO CURRENT_USER {how}')
        try:
            of = f'OWNER "{name}"' if found.own_roles else ""
            connection.execute(
                f'CREATE DATABASE "{name}" {of} TEMPLATE template0 {_locale(found.version)}'
            )
            with _acting_as(connection, name, found):
                connection.execute(f'COMMENT ON DATABASE "{name}" IS {literal(owner)}')
                connection.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
                # As the servers have it that envkit starts.
                connection.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'UTC'")
        except BaseException:
            with contextlib.suppress(Exception):
                _drop_both(connection, name, found)
            raise
    if found.own_roles:
        return Namespace(user=name, password=password, database=name)
    return Namespace(user=address.user, password=address.password, database=name)


def _locale(version: int) -> str:
    """The same database everywhere; before 17 there is no locale that every machine has."""
    if version < 170000:
        return ""
    return "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"


def _drop(address: Address, namespace: Namespace) -> None:
    with session(address) as connection:
        _drop_both(connection, namespace.database, rights(connection))


def _drop_both(connection: psycopg.Connection[Any], name: str, found: Rights) -> None:
    """Drop the database and the role of this name, whichever there are."""
    _roll_back_prepared(connection, name)
    with _acting_as(connection, name, found):
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
    _end_sessions(connection, "datname = %s", name)
    connection.execute(f'DROP DATABASE IF EXISTS "{name}"')


def _end_sessions(connection: psycopg.Connection[Any], which: str, value: str) -> None:
    """End sessions, and wait a moment until they are gone."""
    limit = time.monotonic() + _GONE_S
    while time.monotonic() < limit:
        found = connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # noqa: S608 - our own text
            f" WHERE {which} AND pid <> pg_backend_pid()",
            [value],
        ).fetchall()
        if not found:
            return
        time.sleep(0.01)


class _Lock(Presence):
    """A session that holds the run's advisory lock, and is made again if it is lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._connection = self._held()
        threading.Thread(target=self._mind, daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        with self._guard, contextlib.suppress(Exception):
            self._connection.close()

    def _held(self) -> psycopg.Connection[Any]:
        connection = session(self._address, "_alive")
        try:
            if connection.info.server_version >= 140000:
                connection.execute("SET idle_session_timeout = 0")
            # Never waits: only a session of our own, that the server has not missed yet, has it.
            connection.execute("SELECT pg_try_advisory_lock(%s, %s)", lock_of(self._address.run))
        except BaseException:
            connection.close()
            raise
        return connection

    def _mind(self) -> None:
        while not self._stop.wait(_LOOK_S):
            with self._guard, contextlib.suppress(Exception):
                if self._stop.is_set():
                    return
                try:
                    held = self._connection.execute(
                        "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"
                        " AND pid = pg_backend_pid()"
                    ).fetchone()
                    if held:
                        continue
                except Exception:
                    self._connection.close()
                else:
                    self._connection.close()
                self._connection = self._held()


def lock_of(run: str) -> tuple[int, int]:
    """The two numbers of a run's advisory lock; the second one as a signed integer."""
    number = int(run, 16)
    return LOCK, number - 2**32 if number >= 2**31 else number


def _announce(address: Address, _: str) -> Presence:
    return _Lock(address)


def _traces(address: Address) -> list[Trace]:
    with session(address) as connection:
        rows = connection.execute(
            "SELECT datname::text, shobj_description(oid, 'pg_database'), 'database'"
            " FROM pg_database WHERE datname ~ %s UNION ALL"
            " SELECT rolname::text, shobj_description(oid, 'pg_authid'), 'role'"
            " FROM pg_roles WHERE rolname ~ %s ORDER BY 1, 3",
            [_PATTERN, _PATTERN],
        ).fetchall()
        # Of all databases of the server; the numbers are unsigned here.
        locks = connection.execute(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND classid::bigint = %s AND objsubid = 2",
            [LOCK],
        ).fetchall()
        used = connection.execute(
            "SELECT DISTINCT datname::text FROM pg_stat_activity WHERE datname ~ %s", [_PATTERN]
        ).fetchall()
        settled = connection.execute(
            "SELECT now() - pg_postmaster_start_time() > make_interval(secs => %s)", [_SETTLED_S]
        ).fetchone()
    held = {f"{number:08x}" for (number,) in locks}
    busy = {_run(name) for (name,) in used}
    lost: bool | None = False if settled and settled[0] else None
    found: dict[str, list[tuple[str, str | None, str]]] = {}
    for name, comment, kind in rows:
        found.setdefault(_run(name), []).append((name, comment, kind))
    return [
        Trace(
            run=run,
            owner=next((o for _, text, _ in parts if text and (o := Owner.read(text))), None),
            alive=run in held or lost,
            used=run in busy,
            names=tuple(dict.fromkeys(name for name, _, _ in parts)),
        )
        for run, parts in found.items()
    ]


def _run(name: str) -> str:
    found = _NAME.match(name)
    return found[1] if found else ""


def _clear(address: Address, run: str) -> list[str]:
    removed: list[str] = []
    pattern = f"^envkit_{run}_"
    with session(address) as connection:
        found = rights(connection)
        # A keeper that died may have left the server at work on something of its own.
        with contextlib.suppress(Exception):
            _end_sessions(connection, "application_name = %s", f"envkit_{run}")
        for last in (False, False, True):
            rows = connection.execute(
                "SELECT datname::text FROM pg_database WHERE datname ~ %s"
                " UNION SELECT rolname::text FROM pg_roles WHERE rolname ~ %s",
                [pattern, pattern],
            ).fetchall()
            for (name,) in rows:
                # Somebody else may be dropping the same ones at this moment: then again.
                with contextlib.nullcontext() if last else contextlib.suppress(Exception):
                    _drop_both(connection, name, found)
                    removed.append(name)
    return list(dict.fromkeys(removed))


ATTACHMENT = Attachment(
    address=_address,
    trouble=_trouble,
    examine=_examine,
    announce=_announce,
    create=_create,
    drop=_drop,
    traces=_traces,
    clear=_clear,
)
