"""Whether a running service looks like one that tests may create and drop things in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from envkit.dsn import Dsn

__all__ = ["allowed", "suspicions", "why_not"]

_FOR_TESTS: Final = frozenset({"test", "tests", "testing", "ci"})
# Anywhere in a name; "product" and "reproduce" are what the first one must not find.
_ANYWHERE: Final = re.compile(r"production|staging|prod(?!uc)", re.I)
# Only as a word: "delivery" and "olive" are harmless.
_AS_WORD: Final = frozenset({"live", "prd", "stage"})
#: Domains under which providers give out databases that are paid for and kept.
MANAGED: Final = (
    "rds.amazonaws.com",
    "redshift.amazonaws.com",
    "cache.amazonaws.com",
    "memorydb.amazonaws.com",
    "database.azure.com",
    "postgres.cosmos.azure.com",
    "cache.windows.net",
    "database.windows.net",
    "redis.azure.net",
    "cloudsql",
    "clickhouse.cloud",
    "redislabs.com",
    "redis.cloud",
    "redis-cloud.com",
    "redns.redis-cloud.com",
    "upstash.io",
    "neon.tech",
    "neon.build",
    "supabase.co",
    "supabase.com",
    "supabase.in",
    "aivencloud.com",
    "render.com",
    "railway.app",
    "rlwy.net",
    "db.ondigitalocean.com",
    "elephantsql.com",
    "timescale.com",
    "tsdb.cloud",
    "cockroachlabs.cloud",
    "planetscale.com",
    "psdb.cloud",
    "crunchybridge.com",
    "scw.cloud",
    "yandexcloud.net",
    "altinity.cloud",
    "double.cloud",
    "firebasedatabase.app",
    "herokuapp.com",
    "compute-1.amazonaws.com",
)


def why_not(target: Dsn, allow: Sequence[str]) -> str:
    """Why tests may not use this; empty if they may.

    They may use what a pattern of ``allow`` names, and else what looks like a test's: on this
    machine, under a name of one label (of compose, or a CI's service container), below
    ``.localhost`` or ``.test``, or a database that has ``test``, ``tests``, ``testing`` or ``ci``
    as a word of its name. Never what looks like production, wherever it is, unless the pattern
    itself spells what makes it look so: ``*`` alone does not mean production.
    """
    found = suspicions(target)
    if any(_matches(target, pattern, found) for pattern in allow):
        return ""
    if found:
        return f"{' and '.join(repr(word) for word in found)} in its name says that it is no test's"
    if _is_near(target.host) or _FOR_TESTS & _words(_database(target)):
        return ""
    elsewhere = f"{target.host} is another machine"
    if target.service == "redis":
        return elsewhere
    if not target.database:
        return f"{elsewhere}, and no database is named"
    return f"{elsewhere}, and the database {target.database!r} has no word 'test' in its name"


def allowed(target: Dsn, allow: Iterable[str]) -> bool:
    """Whether a pattern of ``allow`` names it."""
    found = suspicions(target)
    return any(_matches(target, pattern, found) for pattern in allow)


def suspicions(target: Dsn) -> list[str]:
    """What in host or database looks like production, as it is written there."""
    found = []
    for name in (target.host, _database(target)):
        found += [match[0] for match in _ANYWHERE.finditer(name)]
        found += sorted(_AS_WORD & _words(name))
    host = "." + target.host.lower().rstrip(".")
    found += [domain for domain in MANAGED if domain in host]
    return list(dict.fromkeys(word.lower() for word in found))


def _database(target: Dsn) -> str:
    return "" if target.service == "redis" else target.database


def _words(name: str) -> set[str]:
    """``appTest_2`` has the words app and test."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return {word.lower() for word in re.findall(r"[^\W\d_]+", apart)}


def _is_near(host: str) -> bool:
    """Whether a host is this machine, or can only be found in a network made for the occasion."""
    if host.startswith("/"):
        return True
    import ipaddress

    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        if name == "localhost" or name.endswith((".localhost", ".test")):
            return True
        # A single label, but no number: the resolver takes 134744072 and 0x8080808 as addresses.
        return bool(re.fullmatch(r"(?!0x[0-9a-f]*$)[a-z_][a-z0-9_-]*", name))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def _matches(target: Dsn, pattern: str, spelled: Sequence[str]) -> bool:
    """Whether one pattern names the target, and spells all these words.

    ``host``, ``host:port``, either with ``/database``; ``*`` and ``?`` stand for anything.
    """
    if any(word not in pattern.lower() for word in spelled):
        return False
    if target.is_socket:
        return _like(target.host, pattern)
    place, slash, database = pattern.partition("/")
    found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:]*))(?::([^:]*))?", place)
    # An IPv6 address without brackets has no port: its colons are its own.
    host, port = ((found[1] or found[2] or ""), found[3]) if found else (place, None)
    if not _like(target.host.lower().rstrip("."), host.lower().rstrip(".")):
        return False
    if port is not None and not _like(str(target.port), port):
        return False
    return not slash or _like(target.database or _usual(target), database)


def _usual(target: Dsn) -> str:
    return "0" if target.service == "redis" else ""


def _like(text: str, pattern: str) -> bool:
    """Globs with ``*`` and ``?`` only: ``[`` belongs to IPv6 addresses."""
    parts = ("." if c == "?" else ".*" if c == "*" else re.escape(c) for c in pattern)
    return bool(re.fullmatch("".join(parts), text, re.DOTALL))
