"""One Postgres: whether it lets us in, what it is, and what its user may do there.

With libpq's own calls that do not wait, because its limit for a connection is two seconds or more,
and it has none for an answer.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any, Final

from envkit.doctor.model import Symptom
from envkit.doctor.probes.look import Looked
from envkit.services.handle import driver

if TYPE_CHECKING:
    from psycopg import pq

    from envkit.services.spec import Address

__all__ = ["look"]

# Readable by everybody. Backends are counted as in pg_stat_activity, which shows all of them, too,
# but not of which kind they are.
_FACTS: Final = """\
SELECT split_part(current_setting('server_version'), ' ', 1),
    pg_is_in_recovery(),
    current_setting('transaction_read_only')::boolean,
    rolsuper,
    rolsuper OR rolcreatedb,
    (SELECT coalesce(sum(numbackends), 0) FROM pg_stat_database),
    current_setting('max_connections')::int - CASE WHEN rolsuper THEN 0 ELSE
        current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0) END,
    rolname
FROM pg_roles WHERE rolname = current_user
"""
# What leases are copied from is template0, which never has a version.
_COLLATIONS: Final = """\
SELECT datname, datcollversion, pg_database_collation_actual_version(oid)
FROM pg_database
WHERE datname IN (current_database(), 'template1')
    AND datcollversion <> pg_database_collation_actual_version(oid)
ORDER BY datname
"""


class _Silent(Exception):
    """There was no answer in time."""


class _Refused(Exception):
    """The server, or libpq, says no.

    Args:
        text: As it was said.
        code: SQLSTATE; libpq has none for connections.
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class _Session:
    """A connection of which every step ends in time.

    Args:
        address: Of the server.
        until: When the time is up, by `time.monotonic`.
        other: Instead of what the address says.

    Raises:
        _Silent: The time is up.
        _Refused: There is no getting in.
    """

    def __init__(self, address: Address, until: float, **other: str) -> None:
        driver("psycopg", "psycopg[binary]")
        from psycopg import ProgrammingError, pq
        from psycopg.conninfo import make_conninfo

        self._until = until
        how: dict[str, Any] = {"application_name": "envkit doctor"} | address.parameters
        how |= {
            "host": address.host,
            "port": address.port,
            "user": address.user,
            "password": address.password or None,  # none leaves it to the user's password file
            "dbname": address.database or "postgres",
        }
        try:
            info = make_conninfo(**(how | other))
        except ProgrammingError as error:
            raise _Refused(str(error)) from None
        self._connection: pq.abc.PGconn = pq.PGconn.connect_start(info.encode())
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        from psycopg import pq

        polled: int = pq.PollingStatus.WRITING
        while polled != pq.PollingStatus.OK:
            if polled == pq.PollingStatus.FAILED or self._connection.status == pq.ConnStatus.BAD:
                raise _Refused(self._connection.get_error_message())
            self._wait(write=polled == pq.PollingStatus.WRITING)
            polled = self._connection.connect_poll()
        self._connection.nonblocking = 1

    @property
    def version(self) -> int:
        return self._connection.server_version

    def ask(self, statement: str) -> list[tuple[str, ...]]:
        """All rows, as text.

        Raises:
            _Silent: The time is up.
            _Refused: The statement failed.
        """
        from psycopg import pq

        self._connection.send_query(statement.encode())
        while self._connection.flush():
            self._wait(write=True)
        rows: list[tuple[str, ...]] = []
        while True:
            while self._connection.is_busy():
                self._wait(write=False)
                self._connection.consume_input()
            result = self._connection.get_result()
            if result is None:
                return rows
            if result.status != pq.ExecStatus.TUPLES_OK:
                code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
                raise _Refused(result.get_error_message(), code.decode())
            rows += [
                tuple(
                    (result.get_value(row, column) or b"").decode()
                    for column in range(result.nfields)
                )
                for row in range(result.ntuples)
            ]

    def _wait(self, *, write: bool) -> None:
        left = self._until - time.monotonic()
        one = [self._connection.socket]
        if left <= 0 or not any(
            select.select([] if write else one, one if write else [], [], left)
        ):
            raise _Silent

    def close(self) -> None:
        self._connection.finish()


def look(address: Address, *, limit: float, check: str, leases: bool) -> Looked:
    """Look at one server; nothing is changed there.

    Args:
        address: Of the server.
        limit: Seconds for all of it.
        check: Name of the check, for the symptoms.
        leases: Whether databases are to be made there.

    Raises:
        DriverMissing: psycopg cannot be imported.
    """
    until = time.monotonic() + limit
    about = {
        "host": address.host,
        "port": str(address.port),
        "user": address.user,
        "database": address.database or "postgres",
    }

    def symptom(text: str, code: str, **data: str) -> Symptom:
        return Symptom(
            source="host" if code.startswith("PG_") else "postgres",
            code=code,
            text=text,
            service="postgres",
            check=check,
            data=about | data,
        )

    where = address.host if address.host.startswith("/") else address.url_host
    try:
        session = _Session(address, until)
        try:
            facts = session.ask(_FACTS)[0]
            mismatches = session.ask(_COLLATIONS) if session.version >= 150000 else []
        finally:
            session.close()
    except _Silent:
        silence = Symptom(
            source="socket",
            code="TIMEOUT",
            text=f"{where} accepts connections and does not answer within {limit:g} s",
            service="postgres",
            check=check,
            data=about,
        )
        return Looked(status="not-checked", detail=f"{where} does not answer", symptoms=(silence,))
    except _Refused as error:
        text = str(error).strip()
        told = symptom(text, error.code, **_tls(address, text, until))
        return Looked(detail=where, symptoms=(told,))
    version, recovery, readonly, _, creates, used, usable, role = facts
    symptoms: list[Symptom] = []
    if leases and recovery == "t":
        symptoms.append(symptom("pg_is_in_recovery() is true", "PG_IN_RECOVERY"))
    elif leases and readonly == "t":
        symptoms.append(symptom("default_transaction_read_only is on", "PG_READ_ONLY"))
    if leases and creates == "f":
        text = f"role {role} has neither CREATEDB nor SUPERUSER"
        symptoms.append(symptom(text, "PG_NO_CREATEDB", user=role))
    if int(usable) - int(used) < max(2, int(usable) // 10):
        text = f"{used} of {usable} connections are in use"
        symptoms.append(symptom(text, "PG_SLOTS_LOW", used=used, limit=usable))
    for name, then, now in mismatches:
        text = (
            f'database "{name}" has a collation version mismatch\n'
            f"it was made with version {then}, and the server has version {now}"
        )
        symptoms.append(symptom(text, "PG_COLLATION", database=name))
    return Looked(
        detail=f"PostgreSQL {version} at {where}", symptoms=tuple(symptoms), version=str(version)
    )


def _tls(address: Address, text: str, until: float) -> dict[str, str]:
    """Whether TLS is what lacks, if pg_hba.conf has no line for a connection without it."""
    if "pg_hba.conf" not in text or "SSL encryption" in text or address.host.startswith("/"):
        return {}
    try:
        _Session(address, until, sslmode="require").close()
    except _Silent:
        return {}
    except _Refused as error:
        if "pg_hba.conf" in str(error):
            return {"tls": "refused"}
        return {"tls": "none" if "does not support SSL" in str(error) else "accepted"}
    return {"tls": "accepted"}
