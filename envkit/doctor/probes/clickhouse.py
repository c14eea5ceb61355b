"""A look at a ClickHouse that somebody else runs: would tests work there?"""

from __future__ import annotations

import re
import time
from typing import Final

from envkit.doctor.probes.look import Looked
from envkit.doctor.probes.seen import Notes
from envkit.doctor.probes.who import who_answers
from envkit.services.clickhouse import Rejected, query
from envkit.services.spec import Address

__all__ = ["look"]

_CODE: Final = re.compile(r"\bCode: (\d+)\b")
_VERSION: Final = re.compile(r"\d+\.\d+\.[\w.-]+")
#: Bytes; below that a test that writes something will not get far.
_LITTLE: Final = 256 * 1024 * 1024


class _Visit(Notes):
    """Questions to one server."""

    def ask(self, statement: str) -> str:
        """One statement that only reads.

        Raises:
            Rejected: The server's own error.
            OSError: No answer, or none of HTTP.
        """
        return query(self.address, self.left, statement)

    def told(self, error: Rejected) -> None:
        """Keep what the server said."""
        numbers = _CODE.findall(str(error))
        self.saw("clickhouse", numbers[-1] if numbers else "", str(error))


def look(address: Address, *, limit: float, check: str, leases: bool) -> Looked:
    """Ask over HTTP for the server's state, and change nothing.

    Args:
        address: Of the server; it has been reached over TCP.
        limit: Seconds for all of it; silence is a symptom.
        check: Name of the check, for the symptoms.
        leases: Whether tests are to get databases there.
    """
    visit = _Visit("clickhouse", address, limit, check)
    begun = time.monotonic()
    try:
        # A plain server may say nothing to a TLS hello: then there must be time to ask it plainly.
        version = query(address, limit / 2 if address.tls else limit, "SELECT version()")
        ms = (time.monotonic() - begun) * 1000
        if not _VERSION.fullmatch(version):
            visit.saw("host", "CH_FOREIGN", version[:200], answers="an HTTP server")
            return visit.looked(visit.where)
        visit.version = version
        _examine(visit, leases=leases)
    except Rejected as error:
        return _rejected(visit, error)
    except OSError as error:
        return _unreached(visit, error)
    return visit.looked(f"ClickHouse {version} at {visit.where}, {ms:.0f} ms")


def _examine(visit: _Visit, *, leases: bool) -> None:
    name = visit.address.database
    if name:
        quoted = name.replace("\\", "\\\\").replace("'", "\\'")
        there = visit.ask(
            f"SELECT count() FROM system.databases WHERE name = '{quoted}'"  # noqa: S608 - quoted
        )
        if there == "0":
            visit.saw("clickhouse", "81", f"this user sees no database named {name}", database=name)
    _readonly(visit)
    _disk(visit)
    if leases and not visit.symptoms:
        _rights(visit)


def _readonly(visit: _Visit) -> None:
    value = visit.ask("SELECT value FROM system.settings WHERE name = 'readonly'")
    if value not in ("0", ""):
        visit.saw("host", "CH_READONLY", f"readonly = {value}")


def _disk(visit: _Visit) -> None:
    try:
        said = visit.ask("SELECT min(free_space) FROM system.disks WHERE total_space > 0")
    except Rejected:  # older than 19.15, or not for this user
        return
    if said.isdecimal() and 0 < (free := int(said)) < _LITTLE:
        megabytes = f"{free / 1e6:.0f} MB"
        visit.saw("host", "CH_DISK_LOW", f"free_space {free}", free=megabytes)


def _rights(visit: _Visit) -> None:
    """Whether databases may be created, without creating one.

    https://clickhouse.com/docs/sql-reference/statements/check-grant
    """
    try:
        said = visit.ask("CHECK GRANT CREATE DATABASE, DROP DATABASE ON `envkit_probe`.*")
    except Rejected:  # older than 24.8: the first lease will tell
        return
    if said == "0":
        needed = "ALL ON `envkit_*`.*"
        text = "CHECK GRANT CREATE DATABASE, DROP DATABASE ON `envkit_probe`.*: 0"
        visit.saw("clickhouse", "497", text, needed=needed)


def _rejected(visit: _Visit, error: Rejected) -> Looked:
    text = str(error)
    if error.native or _CODE.search(text) or "clickhouse-client program" in text:
        visit.told(error)
        return visit.looked(visit.where)
    visit.saw("host", "CH_FOREIGN", text[:400], answers=f"an HTTP server (HTTP {error.status})")
    return visit.looked(visit.where)


def _unreached(visit: _Visit, error: OSError) -> Looked:
    """Silence, another protocol, or a connection that broke."""
    import ssl

    address = visit.address
    silent = isinstance(error, TimeoutError)
    if address.tls or not silent:
        found = who_answers(address.host, address.port, visit.left)
        plain = found.speaks in ("clickhouse", "clickhouse-native", "http")
        if address.tls and plain and not isinstance(error, ssl.SSLCertVerificationError):
            visit.saw("host", "CH_TLS", str(error), wanted="http")
        elif not address.tls and found.speaks == "tls":
            visit.saw("host", "CH_TLS", str(error), wanted="https")
        elif found.speaks not in ("", "tls", "clickhouse"):
            visit.saw("host", "CH_FOREIGN", str(error), answers=found.title)
        if visit.symptoms:
            return visit.looked(visit.where)
    return visit.broke_off(error)
