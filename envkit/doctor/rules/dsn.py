"""URLs that a driver takes apart otherwise than they were meant."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

# What a message repeats may be a part of a password.
_SHOWN: Final = re.compile(
    r"(?P<before>invalid percent-encoded token: |invalid (?:integer value|port number:?) "
    r"|cast to integer value as |in URI(?: query parameter| \([^)]*\))?: )(?P<quote>[\"'])[^\n]*?"
    r"(?P=quote)(?=$|[\s,;])",
    re.MULTILINE,
)
_BEFORE_AT: Final = re.compile(r"(?P<quote>[\"'])[^\n]*@(?=[^\"'\n@]*(?P=quote))")


@rule(
    "dsn.malformed",
    source="socket",
    codes=["EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EAI_SERVICE"],
    texts=[
        # psycopg, libpq: the rest of a password before the host
        r"(?:failed to resolve host '|could not translate host name \")[^'\"\n]*(?P<at>@)",
        r"failed to resolve host '[^']*': (?P<service>\[Errno -8\]|\[Errno 9\]|Servname)",
        # libpq: src/interfaces/libpq/fe-connect.c, conninfo_uri_parse() and others
        r"invalid percent-encoded token: ",
        r"forbidden value %00 in percent-encoded value",
        r"invalid integer value \"[^\n]*\" for connection option \"(?P<option>\w+)\"",
        r"invalid port number: \"",
        r"(?P<parameter>invalid (?:URI query parameter:|connection option) \"[^\"]*\")",
        r"missing \"=\" after \"[^\n]*\" in connection info string",
        r"(?:key/value separator \"=\" in URI query parameter|IPv6 host address[^\n]* in URI: \")",
        r"unexpected character \"[^\n]\" at position \d+ in URI",
        # urllib.parse: redis-py, asyncpg and whoever reads a URL's port
        r"Port could not be cast to integer value as",
        r"ValueError: Port out of range 0-65535",
        r"ValueError: Invalid IPv6 URL",
        # SQLAlchemy, asyncpg, redis-py, dj-database-url
        r"Could not parse (?:SQLAlchemy|rfc1738) URL from",
        r"(?P<plugin>Can't load plugin: sqlalchemy\.dialects:postgres)\b",
        r"invalid DSN: scheme is expected to be either",
        r"Redis URL must specify one of the following schemes",
        r"This string is not a valid url, possibly because some of its parts is not properly",
    ],
    layer="driver",
)
def malformed(seen: Seen) -> Finding | None:
    """A URL cannot be taken apart, or falls apart in the wrong places.

    Why: A password with '@', ':', '/', '#' or '%' in it was not escaped, or the scheme is one that
    another library knows (postgresql+asyncpg://, postgres://).

    Fix: Percent-encode user and password: '@' is %40, ':' %3A, '/' %2F, '#' %23, '%' %25.
    """
    if seen.match is None:
        return None
    origin = seen.target.origin or "the URL"
    cause = "a character of the user or password is not escaped, so the URL ends up in wrong parts"
    fix = f"in {origin} write '@' as %40, ':' as %3A, '/' as %2F, '#' as %23 and '%' as %25"
    whole = seen.match[0]
    if seen.get("plugin"):
        cause = "SQLAlchemy does not know postgres:// since 1.4"
        fix = f"write postgresql:// in {origin}"
    elif "scheme" in whole or "connection info string" in whole:
        cause = "its scheme is one that this library does not know, such as SQLAlchemy's "
        cause += "postgresql+driver://"
        fix = f"give this library {origin} with the scheme that it knows, such as postgresql://"
    elif parameter := seen.get("parameter"):
        cause = f"the driver does not know what stands behind '?': {parameter}"
        fix = f"take it out of {origin}; it may be meant for another driver"
    elif seen.get("option") or seen.get("service") or "port" in whole.lower():
        cause = "what stands for its port is no number: it is one, or a password with ':' or '/' "
        cause += "in it is not escaped"
    found = seen.finding(title="a database URL cannot be read", cause=cause, fix=fix)
    return structs.replace(found, evidence=_masked(found.evidence))


def _masked(text: str) -> str:
    shown = _SHOWN.sub(r"\g<before>\g<quote>***\g<quote>", text)
    return _BEFORE_AT.sub(r"\g<quote>***@", shown)
