"""Where a running service is, as people write it: a URL, taken apart or refused in plain words.

What stood there is shown in every error, the password never, however it was garbled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NoReturn
from urllib.parse import parse_qsl, quote, unquote

from msgspec import Struct, field

from envkit.errors import DsnMalformed
from envkit.model import ServiceName

__all__ = ["FORMS", "Dsn", "Form", "compose", "flaw", "is_lease", "read", "seen"]


class Form(Struct, frozen=True, kw_only=True):
    """How the URLs of one service look.

    Attributes:
        schemes: Scheme to whether it means TLS; a driver's name after ``+`` is dropped first.
        drivers: Those after ``+`` that speak another protocol than envkit, and what to say.
        port: Used if none is written.
        tls_port: Likewise with TLS.
        example: A URL to show.
    """

    title: str
    schemes: dict[str, bool]
    port: int
    tls_port: int
    example: str
    drivers: dict[str, str] = field(default_factory=dict)


_NATIVE: Final = (
    "envkit speaks ClickHouse's HTTP interface: write http:// and its port (8123 unless changed)"
)
#: Of each service.
FORMS: Final[dict[ServiceName, Form]] = {
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    "postgres": Form(
        title="Postgres",
        schemes={"postgresql": False, "postgres": False},
        port=5432,
        tls_port=5432,
        example="postgresql://user:password@localhost:5432/app_test",
    ),
    # https://www.iana.org/assignments/uri-schemes/prov/redis and .../rediss; valkey's are alike
    "redis": Form(
        title="Redis",
        schemes={"redis": False, "rediss": True, "valkey": False, "valkeys": True, "unix": False},
        port=6379,
        tls_port=6379,
        example="redis://:password@localhost:6379/0",
    ),
    # https://clickhouse.com/docs/integrations/python: the dsn of clickhouse-connect
    "clickhouse": Form(
        title="ClickHouse",
        schemes={
            "http": False,
            "https": True,
            "clickhouse": False,
            "clickhousedb": False,
            "clickhouses": True,
        },
        port=8123,
        tls_port=8443,
        example="http://user:password@localhost:8123/default",
        drivers={"native": _NATIVE, "asynch": _NATIVE},
    ),
}

# Whose URLs are seen in DATABASE_URL and the like.
_OTHERS: Final = {
    "mysql": "MySQL",
    "mariadb": "MariaDB",
    "sqlite": "SQLite",
    "mssql": "SQL Server",
    "sqlserver": "SQL Server",
    "oracle": "Oracle",
    "mongodb": "MongoDB",
    "cockroachdb": "CockroachDB",
    "redis": "Redis",
    "rediss": "Redis",
    "postgresql": "Postgres",
    "postgres": "Postgres",
    "amqp": "RabbitMQ",
    "file": "a file",
    "tcp": "ClickHouse's native protocol",
}
_SECRET_KEY: Final = re.compile(r"(?i)pass|secret|token|key|pwd")
# Of libpq: these lead to another machine than the one that the URL shows.
_ELSEWHERE: Final = ("hostaddr", "service", "servicefile")
# What libpq and clickhouse-connect also take from the query instead of from its usual place.
_FROM_QUERY: Final = ("host", "port", "user", "password", "dbname", "database", "db", "username")
_KEYS: Final = ("host", "hostaddr", "port", "dbname", "user", "password", "service", "sslmode")
_TRUE: Final = ("1", "true", "yes", "on")


class Dsn(Struct, frozen=True, kw_only=True):
    """A URL, taken apart; nothing in it is quoted any more.

    Attributes:
        host: A name or an address without brackets, or the path of a Unix socket (of its
            directory, for Postgres).
        port: 0 for a Unix socket of Redis.
        database: As written; empty if it was not. For Redis a number.
        tls: Whether the URL itself asks for TLS.
        parameters: What the query says beyond all this.
    """

    service: ServiceName
    host: str
    port: int
    user: str = ""
    password: str = ""
    database: str = ""
    tls: bool = False
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def where(self) -> str:
        """``host:port``, fit for a screen."""
        if self.is_socket:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __repr__(self) -> str:
        return f"Dsn({self.service} at {self.where})"


def read(service: ServiceName, text: str, origin: str) -> Dsn:
    """Take a URL apart.

    Args:
        service: Whose it should be.
        text: The URL.
        origin: What names it, for errors.

    Raises:
        DsnMalformed: It cannot be understood, or is another service's.
    """
    try:
        return _Reader(service, text).read()
    except _Flaw as found:
        raise DsnMalformed(
            f"{origin} cannot be used for {FORMS[service].title}: {found.what} "
            f"(it reads {seen(text.strip())!r})",
            hint=found.hint,
        ) from None


def flaw(service: ServiceName, text: str) -> str:
    """What keeps `read` from understanding a URL with a scheme of that service's; empty if nothing.

    Nothing in it comes from the URL.
    """
    try:
        _Reader(service, text).read()
    except _Flaw as found:
        return found.what
    return ""


class _Flaw(Exception):
    """What is wrong with a URL, and what to do about it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class _Reader:
    def __init__(self, service: ServiceName, text: str) -> None:
        self.service = service
        self.form = FORMS[service]
        self.text = text.strip()

    def read(self) -> Dsn:
        scheme, rest = self._scheme()
        tls = self.form.schemes[scheme]
        authority, path, query = self._split(rest)
        # A '+' is a plus to libpq, not a space.
        parameters = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
        given = {key: parameters.pop(key) for key in _FROM_QUERY if key in parameters}
        for name in _ELSEWHERE if self.service == "postgres" else ():
            if name in parameters:
                self._wrong(f"its {name} may lead elsewhere", f"write the host, without {name}=…")
        userinfo, _, place = authority.rpartition("@")
        user, _, password = userinfo.partition(":")
        host, port = self._place(place)
        database = self._unquoted(path.removeprefix("/"), "database's name")
        if scheme == "unix":
            host, port, database = "/" + database, 0, ""
        host = given.get("host") or host
        if not host:
            self._missing_host()
        if "," in host:
            self._wrong("it names several hosts", "name one of them")
        if "port" in given:
            port = self._port(given["port"])
        if self.service == "clickhouse":
            secure = parameters.pop("secure", "").lower() in _TRUE
            tls = parameters.pop("protocol", "") == "https" or secure or tls
        if port is None:
            port = self.form.tls_port if tls else self.form.port
        database = database or given.get("dbname") or given.get("database") or given.get("db") or ""
        if self.service == "redis" and database and not re.fullmatch(r"[0-9]{1,6}", database):
            self._wrong("its database is not a number", f"write it like {self.form.example}")
        if "/" in database:
            self._wrong("its path has more than one part", f"write it like {self.form.example}")
        return Dsn(
            service=self.service,
            host=host,
            port=port,
            user=self._unquoted(user, "user") or given.get("user") or given.get("username") or "",
            password=self._unquoted(password, "password") or given.get("password", ""),
            database=str(int(database)) if self.service == "redis" and database else database,
            tls=tls,
            parameters=parameters,
        )

    def _scheme(self) -> tuple[str, str]:
        text = self.text
        if text[:1] in "\"'" and text:
            self._wrong("the quotes belong to the value", "take the quotes away")
        if re.match(r"\w+ *=", text):
            self._wrong(
                "it is a list of key=value", f"write it as a URL, such as {self.form.example}"
            )
        jdbc = text.lower().startswith("jdbc:")
        full, separator, rest = text.partition("://")
        scheme, _, driver = full.lower().partition("+")
        if jdbc or not separator or not re.fullmatch(r"[a-z][a-z0-9.-]*", scheme):
            what = "it is a JDBC URL" if jdbc else "it does not begin with a scheme such as "
            what += "" if jdbc else f"{next(iter(self.form.schemes))}://"
            self._wrong(what, f"write it like {self.form.example}")
        if scheme not in self.form.schemes:
            other = _OTHERS.get(scheme)
            whose = f"a URL for {other}" if other else f"a URL of the unknown scheme {scheme}://"
            self._wrong(
                f"it is {whose}, not for {self.form.title}", f"write it like {self.form.example}"
            )
        if driver in self.form.drivers:
            self._wrong(f"it is for the driver {driver}", self.form.drivers[driver])
        return scheme, rest

    def _split(self, rest: str) -> tuple[str, str, str]:
        """Authority, path and query."""
        rest, _, fragment = rest.partition("#")
        if "@" in fragment:
            self._wrong("there is '#' in the user or password", "write '#' as %23 in it")
        end = min((n for n in map(rest.find, "/?") if n >= 0), default=len(rest))
        authority, after = rest[:end], rest[end:]
        path, _, query = after.partition("?")
        if authority.count("@") > 1:
            self._wrong(
                "there is an '@' in the user or password", "write '@' as %40 in user and password"
            )
        if "@" not in authority:
            port = authority.rpartition("]")[2].partition(":")[2]
            if "@" in path or ("@" in after and not re.fullmatch(r"[0-9]*", port)):
                found = [char for char in "/?" if char in rest.rpartition("@")[0]]
                codes = " and ".join(f"'{char}' as %{ord(char):02X}" for char in found)
                self._wrong(
                    f"there is {' and '.join(repr(c) for c in found)} in the user or password",
                    f"write {codes} in user and password",
                )
        return authority, path, query

    def _place(self, place: str) -> tuple[str, int | None]:
        found = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(.*))?", place, re.DOTALL)
        if found is None:
            self._wrong(
                "its host has colons or brackets in odd places",
                "write an IPv6 address in brackets, such as [::1]:5432",
            )
        host = self._unquoted(found[1] or found[2] or "", "host")
        if re.search(r"[\s\x00-\x1f]", host):
            self._wrong("there is a space in its host", f"write it like {self.form.example}")
        return host, self._port(found[3]) if found[3] else None

    def _port(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
            self._wrong(
                "its port is no number from 1 to 65535",
                f"write it like {self.form.example}; ':', '/' and '@' in a password are "
                "%3A, %2F and %40",
            )
        return int(text)

    def _unquoted(self, text: str, what: str) -> str:
        if re.search(r"%(?![0-9A-Fa-f]{2})", text):
            self._wrong(f"a '%' in its {what} begins no escape", "write '%' as %25")
        try:
            return unquote(text, errors="strict")
        except UnicodeDecodeError:
            self._wrong(f"the escapes in its {what} are not UTF-8", "escape it as UTF-8")

    def _missing_host(self) -> NoReturn:
        socket = {
            "postgres": "; for a Unix socket: postgresql:///app_test?host=/var/run/postgresql",
            "redis": "; for a Unix socket: unix:///run/redis.sock",
        }.get(self.service, "")
        self._wrong("it names no host", f"write it like {self.form.example}{socket}")

    def _wrong(self, what: str, hint: str) -> NoReturn:
        raise _Flaw(what, hint) from None


def seen(text: str) -> str:
    """A URL without anything that may be its password, well-formed or not."""
    head, separator, rest = text.partition("://")
    if not separator:
        if re.match(r"\w+ *=", text) and "@" not in text:
            # Of key=value only the keys everybody knows: a value may have blanks and '=' in it.
            return " ".join(f"{key}=***" for key in _KEYS if re.search(rf"\b{key} *=", text))
        head, rest = "", text
    userinfo, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = userinfo.partition(":")
        userinfo = f"{user}:***" if colon else "***" if not re.fullmatch(r"[\w.-]*", user) else user
    else:
        # What stands for a port may be a password whose '@host' was forgotten.
        name, colon, port = place.partition(":")
        if not place.startswith("[") and colon and not re.match(r"[0-9]{1,5}(?![^/?])", port):
            place = f"{name}:***"
    place, question, query = place.partition("?")
    if question:
        place += "?" + "&".join(map(_without_value, query.split("&")))
    return f"{head}{separator}{userinfo}{at}{place}"


def _without_value(pair: str) -> str:
    key, equals, _ = pair.partition("=")
    return f"{key}=***" if equals and _SECRET_KEY.search(key) else pair


def compose(scheme: str, parts: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    """A URL from what variables such as PGHOST say.

    Args:
        scheme: Of the URL.
        parts: ``host`` and, as far as known, ``port``, ``user``, ``password`` and ``database``.
        parameters: For the query.
    """
    userinfo = quote(parts.get("user", ""), safe="")
    if parts.get("password"):
        userinfo += ":" + quote(parts["password"], safe="")
    host, more = parts["host"], dict(parameters)
    if host.startswith("/"):
        host, more = "", {"host": host} | more
    elif ":" in host:
        host = f"[{host}]"
    port = parts.get("port", "")
    if not host and port:
        more["port"], port = port, ""
    query = "&".join(f"{key}={quote(value, safe='/:')}" for key, value in more.items())
    return (
        f"{scheme}://{userinfo}{'@' if userinfo else ''}{host}{':' if port else ''}{port}"
        f"/{quote(parts.get('database', ''), safe='')}{'?' if query else ''}{query}"
    )


def is_lease(dsn: Dsn) -> bool:
    """Whether this leads to a lease of envkit's, as everything started by ``envkit run`` sees it.

    Leases have passwords of 32 characters from a-z and 2-7 or, where they use somebody else's,
    databases with a prefix of their own.
    """
    generated = re.fullmatch(r"[a-z2-7]{32}", dsn.password)
    return bool(generated or re.match(r"envkit_[0-9a-f]{8}_", dsn.database))
