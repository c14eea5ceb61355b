"""Postgres servers of somebody else: databases and roles with a prefix, a lock as proof of life."""

from __future__ import annotations

import contextlib
import getpass
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from envkit.dsn import Dsn
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.attached.postgres_databases import (
    begin,
    create,
    drop,
    drop_both,
    end_sessions,
    rights,
    seal,
    session,
    unseal,
    unsuitable,
)
from envkit.services.attached.spec import Attachment, Presence, Trace
from envkit.services.spec import Address, Greeting
from envkit.wait import Trouble

if TYPE_CHECKING:
    import psycopg

__all__ = ["ATTACHMENT", "LOCK"]

#: The first number of the advisory lock (its second one is the run): "envk" in ASCII.
LOCK: Final = 0x656E766B
_NAME: Final = re.compile(r"envkit_([0-9a-f]{8})_")
_PATTERN: Final = "^envkit_[0-9a-f]{8}_"
_LOOK_S: Final = 5.0
# After a restart of the server, keepers need a moment to show themselves again.
_SETTLED_S: Final = 60


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


def _examine(address: Address, _: Greeting, settings: ServiceSettings) -> None:
    with session(address) as connection:
        wrong = unsuitable(
            rights(connection),
            address.url_host,
            superuser=getattr(settings, "superuser", False),
        )
    if wrong is not None:
        raise wrong


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
            end_sessions(connection, "application_name = %s", f"envkit_{run}")
        for last in (False, False, True):
            rows = connection.execute(
                "SELECT datname::text FROM pg_database WHERE datname ~ %s"
                " UNION SELECT rolname::text FROM pg_roles WHERE rolname ~ %s",
                [pattern, pattern],
            ).fetchall()
            for (name,) in rows:
                # Somebody else may be dropping the same ones at this moment: then again.
                with contextlib.nullcontext() if last else contextlib.suppress(Exception):
                    drop_both(connection, name, found)
                    removed.append(name)
    return list(dict.fromkeys(removed))


ATTACHMENT = Attachment(
    address=_address,
    trouble=_trouble,
    examine=_examine,
    announce=_announce,
    create=create,
    drop=drop,
    begin=begin,
    seal=seal,
    unseal=unseal,
    traces=_traces,
    clear=_clear,
)
