"""What is wrong with a URL that a program is given, and whether it leads to production."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from envkit import guard
from envkit.dsn import FORMS, Dsn, flaw
from envkit.dsn import read as read_dsn
from envkit.errors import DsnMalformed
from envkit.model import SERVICES

if TYPE_CHECKING:
    from envkit.model import ServiceName

__all__ = ["passwords", "production", "wrong"]

_SECRET_KEY: Final = re.compile(r"(?i)pass|secret|token|key|pwd|sig")
# libpq's other form: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
_KEYWORDS: Final = re.compile(r"(?:\w+\s*=\s*(?:'(?:\\.|[^'\\])*'|[^\s']*)\s*)+")
#: Schemes of databases and alike that name a file and no host.
_FILES: Final = ("sqlite", "duckdb", "file")
# A deployment before production is just where one may want to point tests of a service at.
_BEFORE: Final = ("staging", "stage")


def wrong(value: str, *, dsn: bool) -> str:
    """What keeps programs from understanding it, without any part of it; empty if nothing does.

    Args:
        value: Without blanks around it.
        dsn: Whether it leads to a database or alike, and not to a service of HTTP.
    """
    if dsn and _is_keywords(value):
        return ""
    scheme, separator, rest = value.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return "it does not begin with a scheme, such as " + (
            "postgresql://" if dsn else "http:// or https://"
        )
    if re.search(r"[\s\x00-\x1f]", value):
        return "there is white space in it"
    if service := _service(scheme) if dsn else None:
        return flaw(service, value)
    return _generic(value, has_host=scheme.lower().partition("+")[0] not in _FILES and bool(rest))


def _generic(value: str, *, has_host: bool) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "its host or port cannot be read"
    if (has_host and not parts.hostname) or value.endswith("://"):
        return "it names no host"
    if port == 0:
        return "its port is 0"
    if re.search(r"%(?![0-9A-Fa-f]{2})", parts.netloc):
        return "a '%' in its user or password begins no escape"
    return ""


def production(value: str, *, dsn: bool, allow: Sequence[str]) -> list[str]:
    """The words in host and database that say production; none if ``allow`` names the target."""
    target = _target(value, dsn=dsn)
    if target is None or guard.allowed(target, allow):
        return []
    found = guard.suspicions(target)
    return found if dsn else [word for word in found if word not in _BEFORE]


def passwords(value: str) -> set[str]:
    """What in a URL or a connection string is secret, as it is written and without its quoting."""
    if _is_keywords(value):
        pairs = re.findall(r"(\w+)\s*=\s*(?:'((?:\\.|[^'\\])*)'|(\S*))", value)
        found = {quoted or plain for key, quoted, plain in pairs if _SECRET_KEY.search(key)}
        return found | {re.sub(r"\\(.)", r"\1", one) for one in found}
    # As much as can be one: whoever wrote it may have forgotten to quote it.
    rest = value.partition("://")[2]
    userinfo = rest.rpartition("@")[0]
    user, colon, password = userinfo.partition(":")
    # A token may stand in the user's place (https://token@host).
    found = {password if colon else user}
    try:
        pairs = parse_qsl(urlsplit(value).query)
    except ValueError:
        pairs = []
    found |= {text for key, text in pairs if _SECRET_KEY.search(key)}
    return {form for one in found for form in (one, unquote(one))} - {""}


def _is_keywords(value: str) -> bool:
    return "://" not in value.partition("=")[0] and bool(_KEYWORDS.fullmatch(value))


def _service(scheme: str) -> ServiceName | None:
    base = scheme.lower().partition("+")[0]
    # ClickHouse's http:// says nothing: everything else uses it as well.
    named = (s for s in SERVICES if base in FORMS[s].schemes and base not in ("http", "https"))
    return next(named, None)


def _target(value: str, *, dsn: bool) -> Dsn | None:
    if dsn and _is_keywords(value):
        pairs: dict[str, str] = dict(re.findall(r"(\w+)\s*=\s*'?([^\s']*)", value))
        return Dsn(
            service="postgres",
            host=pairs.get("host", pairs.get("hostaddr", "")),
            port=5432,
            database=pairs.get("dbname", ""),
        )
    service = _service(value.partition("://")[0]) if dsn else None
    if service:
        try:
            return read_dsn(service, value, "it")
        except DsnMalformed:
            return None
    try:
        parts = urlsplit(value)
        port = parts.port or 0
    except ValueError:
        return None
    # Paths of HTTP are about content ("/live", "/products"); those of a database are its name.
    database = parts.path.strip("/") if dsn else ""
    return Dsn(service="postgres", host=parts.hostname or "", port=port, database=database)
