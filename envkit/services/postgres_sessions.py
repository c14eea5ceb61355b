"""Sessions of the keeper's own on a Postgres server, and the words that it says there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from envkit.services.handle import driver
from envkit.services.spec import Address

if TYPE_CHECKING:
    import psycopg

__all__ = [
    "admin",
    "connected",
    "drop_both",
    "drop_database",
    "end_sessions",
    "identifier",
    "literal",
    "verifier",
]

# As many as usually make or renew namespaces at a time: each worker of a test run may have to.
_IDLE: Final = 16
_LEFT_S: Final = 0.5


def connected(address: Address, limit: float = 10, **other: Any) -> psycopg.Connection[Any]:
    """A session of the keeper's own; statements are their own transactions.

    Args:
        address: Of the server.
        limit: Seconds for getting there, rounded to whole ones.
        other: Instead of what the address says.

    Raises:
        psycopg.OperationalError: There is no getting in.
    """
    module = driver("psycopg", "psycopg[binary]")
    how = address.parameters | {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password or None,  # none leaves it to the user's password file
        "dbname": address.database or "postgres",
        "connect_timeout": max(2, int(limit)),  # libpq takes 1 as 2
    }
    if address.socket_dir:  # there nobody asks for a password
        how |= {"host": address.socket_dir, "password": None}
    connection: psycopg.Connection[Any] = module.connect(**(how | other), autocommit=True)
    return connection


_idle: dict[tuple[str, int, str], list[psycopg.Connection[Any]]] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def admin(address: Address) -> Iterator[psycopg.Connection[Any]]:
    """A session on a server of our own, kept for whoever needs one next: a new one takes 2 ms."""
    key = (address.host, address.port, address.password)
    with _guard:
        if key not in _idle:
            # Perhaps another server died, and its sessions with it.
            for kept in _idle.values():
                kept[:] = [one for one in kept if _alive(one)]
        idle = _idle.setdefault(key, [])
        connection = None
        while idle and connection is None:
            connection = _alive(idle.pop())
    if connection is None:
        connection = connected(address)
    try:
        yield connection
    except BaseException:
        connection.close()  # nobody knows what state it is in
        raise
    with _guard:
        if len(idle) < _IDLE and not connection.closed:
            idle.append(connection)
            return
    connection.close()


def _alive(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any] | None:
    """The session, unless the server has ended it: an idle one has nothing to say but that."""
    if not connection.closed:
        heard = select.poll()
        heard.register(connection.fileno(), select.POLLIN)
        if not heard.poll(0):
            return connection
    connection.close()
    return None


def end_sessions(connection: psycopg.Connection[Any], database: str, limit: float) -> bool:
    """End whoever is connected to a database.

    Args:
        connection: To another one.
        database: Its name.
        limit: Seconds.

    Returns:
        Whether nobody is, any more. What a backend counted has reached the server's statistics
        before it disappears from the list (`pgstat_shutdown_hook` in PostgreSQL's pgstat.c runs
        before `pgstat_beshutdown_hook`).
    """
    until = time.monotonic() + limit
    pause = 0.0005
    others = "SELECT 1 FROM pg_stat_activity WHERE datname = %s"
    while connection.execute(others, [database]).fetchall():
        if time.monotonic() > until:
            return False
        # Not the first time: whoever has just closed its connection is leaving.
        if pause > 0.001:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [database],
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def drop_database(address: Address, connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a database with whoever is connected, whatever its owner did so that it cannot be.

    Args:
        address: Of the server.
        connection: To another one.
        name: Of the database.

    Raises:
        psycopg.Error: It cannot be dropped nevertheless.
    """
    import psycopg

    statement = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
    try:
        connection.execute(statement)
        return
    except psycopg.errors.WrongObjectType:
        connection.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
    except psycopg.errors.ObjectInUse:
        pass
    # Nobody ends them but a session in the same database.
    prepared = "SELECT gid FROM pg_prepared_xacts WHERE database = %s"
    if gids := connection.execute(prepared, [name]).fetchall():
        with connected(address, dbname=name) as inside:
            for (gid,) in gids:
                inside.execute(f"ROLLBACK PREPARED {literal(gid)}")
    connection.execute(statement)


def drop_both(address: Address, name: str) -> None:
    """Drop a lease's database and its role of the same name.

    Raises:
        psycopg.Error: One of them cannot be dropped.
    """
    with admin(address) as connection:
        # The server itself would look again after 100 ms whether a session that is ending is gone.
        end_sessions(connection, name, _LEFT_S)
        drop_database(address, connection, name)
        connection.execute(f'DROP ROLE IF EXISTS "{name}"')


def verifier(password: str, iterations: int = 1) -> str:
    """What a server stores of a password, so that it never sees the password itself.

    A statement that fails is written to the server's log, password and all. One iteration is
    enough for 32 random characters that live as long as the server, and each connection pays for
    all of them (https://www.rfc-editor.org/rfc/rfc5803).
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = (base64.b64encode(part).decode() for part in (salt, client, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *text)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
