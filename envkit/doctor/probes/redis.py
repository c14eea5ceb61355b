"""A look at a Redis or Valkey that somebody else runs: would tests work there?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from envkit.doctor.model import Source
from envkit.doctor.probes.look import Looked
from envkit.doctor.probes.seen import Notes
from envkit.doctor.probes.who import who_answers
from envkit.services.resp import Connection, Refused
from envkit.services.spec import Address

__all__ = ["look"]

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_OVERCOMMIT: Final = Path("/proc/sys/vm/overcommit_memory")
_NEARLY: Final = 0.9
#: Part of the limit for the first answer.
_FIRST: Final = 0.6
# What a lease needs, with keys that are its own; asked of the server, not done.
_NEEDED: Final = (
    ("SELECT", "1"),
    ("SET", "envkit:probe", "1"),
    ("GET", "envkit:probe"),
    ("MGET", "envkit:probe"),
    ("EXISTS", "envkit:probe"),
    ("DEL", "envkit:probe"),
    ("SCAN", "0"),
    ("DBSIZE",),
    ("FLUSHDB",),
)


class _Visit(Notes):
    """One connection, and what is seen through it."""

    def told(self, error: Refused, **data: str) -> None:
        """Keep what the server said."""
        words = str(error)
        self.saw("redis", words.partition(" ")[0], words, **data)

    def ask(self, connection: Connection, *words: str) -> str | None:
        """What the server says; None if this is not for this user."""
        connection.wait(self.left)
        try:
            return connection.call(*words)
        except Refused as error:
            if not str(error).startswith(("NOPERM", "ERR")):
                self.told(error)
            return None


def look(address: Address, *, limit: float, check: str, leases: bool) -> Looked:
    """Log in, ask for the server's state, and change nothing.

    Args:
        address: Of the server; it has been reached over TCP.
        limit: Seconds for all of it; silence is a symptom.
        check: Name of the check, for the symptoms.
        leases: Whether tests are to get databases there.
    """
    visit = _Visit("redis", address, limit, check)
    begun = time.monotonic()
    try:
        # Who speaks another protocol may say nothing: then there must be time to ask otherwise.
        with Connection(address, limit * _FIRST) as connection:
            told = _examine(visit, connection, address, leases=leases)
    except Refused as error:
        visit.told(error)
        return visit.looked(visit.where)
    except OSError as error:
        return _unreached(visit, address, error)
    ms = (time.monotonic() - begun) * 1000
    return visit.looked(f"{told}, {ms:.0f} ms")


def _examine(visit: _Visit, connection: Connection, address: Address, *, leases: bool) -> str:
    connection.log_in()
    _ping(visit, connection)
    info = _info(visit.ask(connection, "INFO") or "")
    for source, code, text, data in _state(info):
        visit.saw(source, code, text, **data)
    _cluster(visit, connection, info)
    _replicas(visit, connection, info)
    if not visit.symptoms:
        _databases(visit, connection, address, leases=leases)
        if leases:
            _rights(visit, connection)
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "")
    visit.version = version
    return f"{product} {version}".strip() + f" at {visit.where}"


def _ping(visit: _Visit, connection: Connection) -> None:
    connection.wait(visit.left)
    try:
        connection.call("PING")
    except Refused as error:
        words = str(error)
        if words.startswith(("NOAUTH", "DENIED")) or "max number of clients" in words:
            raise
        if words.startswith("NOPERM"):  # whoever may not say PING may still do the rest
            return
        data = {}
        if words.startswith("MISCONF") and visit.where.rpartition(":")[0] in _LOOPBACK:
            data["overcommit"] = _overcommit()
        visit.told(error, **data)


def _overcommit() -> str:
    try:
        return _OVERCOMMIT.read_text().strip()
    except OSError:  # not on Linux
        return ""


def _info(text: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _state(info: dict[str, str]) -> Iterator[tuple[Source, str, str, dict[str, str]]]:
    """What INFO tells of states in which writes are refused: source, code, text, facts."""
    read_only = info.get("slave_read_only", info.get("replica_read_only", "1")) != "0"
    if info.get("role") == "slave" and read_only:
        master = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        text = f"role:slave\nmaster:{master}\nmaster_link_status:{info.get('master_link_status')}"
        yield "redis", "READONLY", text, {"master": master}
    used, most = _number(info.get("used_memory")), _number(info.get("maxmemory"))
    if 0 < most <= used and info.get("maxmemory_policy") == "noeviction":
        text = f"used_memory:{used}\nmaxmemory:{most}\nmaxmemory_policy:noeviction"
        yield "redis", "OOM", text, {}
    clients, allowed = _number(info.get("connected_clients")), _number(info.get("maxclients"))
    if allowed and clients >= allowed * _NEARLY:
        text = f"connected_clients:{clients}\nmaxclients:{allowed}"
        yield "host", "REDIS_CLIENTS", text, {}


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _cluster(visit: _Visit, connection: Connection, info: dict[str, str]) -> None:
    if info.get("cluster_enabled") != "1":
        return
    said = _info(visit.ask(connection, "CLUSTER", "INFO") or "")
    slots = said.get("cluster_slots_assigned", "")
    if said.get("cluster_state") == "fail":
        text = f"cluster_state:fail\ncluster_slots_assigned:{slots}"
        visit.saw("redis", "CLUSTERDOWN", text, slots=slots)
    elif _number(said.get("cluster_size")) > 1:
        visit.saw("host", "REDIS_CLUSTER", f"cluster_size:{said['cluster_size']}")


def _replicas(visit: _Visit, connection: Connection, info: dict[str, str]) -> None:
    good = info.get("min_slaves_good_slaves")  # only where some are demanded
    if good is None:
        return
    said = visit.ask(connection, "CONFIG", "GET", "min-replicas-to-write") or ""
    needed = _number(said.split("\n")[-1]) or 1
    if _number(good) < needed:
        text = f"min-replicas-to-write {needed}\nmin_slaves_good_slaves:{good}"
        visit.saw("redis", "NOREPLICAS", text)


def _databases(visit: _Visit, connection: Connection, address: Address, *, leases: bool) -> None:
    for number, code in ((address.database or "0", "REDIS_DB_MISSING"), ("1", "REDIS_DATABASES")):
        if code == "REDIS_DATABASES" and not leases:
            return
        connection.wait(visit.left)
        try:
            connection.call("SELECT", number)
        except Refused as error:
            words = str(error)
            if words.startswith("NOPERM"):
                visit.told(error)
            else:
                visit.saw("host", code, words, database=number)
            return


def _rights(visit: _Visit, connection: Connection) -> None:
    """Ask the server what this user might do; https://redis.io/docs/latest/commands/acl-dryrun/."""
    user = visit.ask(connection, "ACL", "WHOAMI")
    if not user:
        return
    for words in _NEEDED:
        said = visit.ask(connection, "ACL", "DRYRUN", user, *words)
        if said is None:  # older than 7, or not for this user: the first lease will tell
            return
        if said != "OK":
            visit.saw("redis", "NOPERM", said, command=words[0].lower())
            return


def _unreached(visit: _Visit, address: Address, error: OSError) -> Looked:
    """Silence, another protocol, or a connection that broke."""
    if not address.host.startswith("/"):
        found = who_answers(address.host, address.port, visit.left)
        if address.tls and found.speaks == "redis":
            visit.saw("host", "REDIS_TLS", f"no TLS there: {error}", wanted="redis")
        elif not address.tls and found.speaks == "tls":
            visit.saw("host", "REDIS_TLS", str(error), wanted="rediss")
        elif found.speaks not in ("", "redis", "tls"):
            visit.saw("host", "REDIS_FOREIGN", str(error), answers=found.title)
        if visit.symptoms:
            return visit.looked(visit.where)
    return visit.broke_off(error)
