"""What each key may hold: one reader a kind of value, and the table of all keys.

A reader takes what the file or the environment gave and returns what `Settings` holds, or raises
`Wrong`. It does not know where the value stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, TypeAlias, get_args

from envkit.config.wording import KeyPath, nearest, show, type_of
from envkit.errors import ConfigInvalid
from envkit.model import SERVICES, BackendChoice, ServiceName

__all__ = [
    "HOUR",
    "KEYS",
    "TEMPLATE",
    "Key",
    "Reader",
    "Values",
    "Wrong",
    "backend",
    "backends",
    "boolean",
    "count",
    "duration",
    "keys_of",
    "line",
    "lines",
    "one_of",
    "reference",
    "server_setting",
    "split",
]

Key: TypeAlias = tuple[str, ...]
Reader: TypeAlias = Callable[[object], object]
#: What one source says: each value with its origin.
Values: TypeAlias = dict[Key, tuple[object, str]]

_ENDPOINT_FIELDS: Final = ("url", "host", "port", "user", "password", "database")
_BACKENDS: Final[tuple[str, ...]] = get_args(BackendChoice)
_VERSION: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}"
_DURATION: Final = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)?"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_ONE_LINE: Final = r"[^\x00\r\n]*"


class Wrong(Exception):
    """A value that does not fit; whoever knows where it stands makes the real error of it.

    Attributes:
        example: What could be written instead.
        at: Which item or part of the value is wrong.
    """

    def __init__(self, value: object, expected: str, example: str, at: KeyPath = ()) -> None:
        super().__init__(expected)
        self.value = value
        self.expected = expected
        self.example = example
        self.at = at

    def error(self, place: str, hint: str, *, typed: bool) -> ConfigInvalid:
        kind = f" ({type_of(self.value)})" if typed and not isinstance(self.value, bool) else ""
        return ConfigInvalid(
            f"{place} is {show(self.value)}{kind}; expected {self.expected}", hint=hint
        )


def services(value: object) -> tuple[ServiceName, ...]:
    known = ", ".join(SERVICES)
    items = value if isinstance(value, list) else []
    meant = [nearest(item, SERVICES) for item in items if isinstance(item, str)]
    names = dict.fromkeys(name for name in meant if name) or SERVICES
    example = "[{}]".format(", ".join(f'"{name}"' for name in names))
    if not items:
        raise Wrong(value, f"a list with at least one of {known}", example)
    for index, item in enumerate(items):
        if item not in SERVICES:
            raise Wrong(item, f"one of {known}", example, at=(index,))
        if item in items[:index]:
            raise Wrong(item, "each service once", example, at=(index,))
    # A set in all but name: one order for one meaning, so that equal settings are equal.
    return tuple(name for name in SERVICES if name in items)


def backend(value: object) -> str:
    if value not in _BACKENDS:
        guess = nearest(value, _BACKENDS) if isinstance(value, str) else None
        raise Wrong(value, f"one of {', '.join(_BACKENDS)}", f'"{guess or "auto"}"')
    return str(value)


def backends(text: str) -> dict[Key, object]:
    """``docker`` or ``postgres=docker,redis=embedded``, as the environment and options have it."""
    expected = (
        f"one of {', '.join(_BACKENDS)}, or SERVICE=BACKEND with commas between"
        f" (services: {', '.join(SERVICES)})"
    )
    if "=" not in text and "," not in text:
        choice = text.strip()
        if choice not in _BACKENDS:
            raise Wrong(text, expected, nearest(choice, _BACKENDS) or "auto")
        return {("backend", service): choice for service in SERVICES}
    example = "postgres=docker,redis=embedded"
    chosen: dict[Key, object] = {}
    for pair in split(text) or [text]:
        service, _, choice = (part.strip() for part in pair.partition("="))
        if service not in SERVICES or choice not in _BACKENDS:
            near = (nearest(service, SERVICES), nearest(choice, _BACKENDS))
            raise Wrong(text, expected, "{}={}".format(*near) if all(near) else example)
        if ("backend", service) in chosen:
            raise Wrong(text, f"each service once, and {service} is there twice", example)
        chosen["backend", service] = choice
    return chosen


def split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def duration(longest: float, *, zero: bool, example: str) -> Reader:
    least = "0 s or more" if zero else "more than 0 s"
    expected = (
        'a duration such as "250ms", "30s", "5m" or "1h", or a number of seconds,'
        f" {least} and at most {longest:.0f} s"
    )

    def read(value: object) -> float:
        seconds = -1.0
        if isinstance(value, str):
            if match := re.fullmatch(_DURATION, value.strip()):
                seconds = float(match[1]) * _UNITS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool) and value <= longest:
            # Compared before it is converted: an integer may be too large for a float.
            seconds = float(max(value, -1))
        # Not-a-number fails every comparison.
        if not (0 <= seconds <= longest and (zero or seconds)):
            raise Wrong(value, expected, example)
        # Minus zero is zero, and both must lead to the same settings.
        return seconds + 0.0

    return read


def boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(value, "true or false", "true")
    return value


def version(value: object) -> str:
    # ``version = 18`` can only mean one thing; 18.10 as a number would already have become 18.1.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return str(value)
    if isinstance(value, str) and (value == "" or re.fullmatch(_VERSION, value)):
        return value
    example = f'"{value}"' if isinstance(value, float) else '"18"'
    raise Wrong(value, 'a version, or the beginning of one, such as "18" or "18.6"', example)


def _text(pattern: str, expected: str, example: str) -> Reader:
    def read(value: object) -> str:
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise Wrong(value, expected, example)

    return read


_directory: Final = _text(_ONE_LINE, "the path of a directory", '"/dev/shm"')
line: Final = _text(_ONE_LINE, "a string of one line, without NUL", '"one line"')
_command: Final = _text(
    _ONE_LINE, "a command of one line, or module:function", '"alembic upgrade head"'
)
markers: Final = _text(_ONE_LINE, "an expression of pytest's markers", '"agent and not slow"')
# What libraries want before "://": SQLAlchemy a driver as well
# (https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls).
_SCHEMES: Final = {
    "postgres": r"(?:postgresql|postgres|postgis)(?:\+[a-z][a-z0-9_]*)?",
    "redis": "redis|valkey",
    "clickhouse": r"http|clickhouse(?:\+http)?|clickhousedb(?:\+connect)?",
}
reference: Final = _text(
    "|".join(
        [
            rf"(?:{'|'.join(SERVICES)})\.(?:{'|'.join(_ENDPOINT_FIELDS)})",
            *(rf"{service}\.url as (?:{schemes})" for service, schemes in _SCHEMES.items()),
        ]
    ),
    f'"service.field" with a service of {", ".join(SERVICES)}'
    f" and a field of {', '.join(_ENDPOINT_FIELDS)}, or a URL with another scheme of that service,"
    ' as in "postgres.url as postgresql+asyncpg"',
    '"postgres.url"',
)


def server_setting(value: object) -> object:
    if isinstance(value, str):
        return line(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and value - value == 0:  # neither infinite nor not-a-number
        return value
    raise Wrong(
        value, "a string, true, false, an integer of at most 64 bits or a finite float", '"on"'
    )


_size: Final = _text(
    r"[0-9]{1,12}[bkmgBKMG]?", 'a size such as "512m" or "1g", or a number of bytes', '"512m"'
)
# https://pkg.go.dev/github.com/distribution/reference; the engine says what is wrong beyond that.
_image: Final = _text(
    r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}", "the name of an image", '"postgres:18-alpine"'
)
_registry: Final = _text(
    r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,200}", "the address of a registry", '"registry.example:5000"'
)


def _url(value: object) -> str:
    # What is wrong inside is told by whoever uses it, who knows how to leave the password out.
    if isinstance(value, str):
        return value.strip()
    raise Wrong(value, "a URL", '"postgresql://user@localhost/test"')


def one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        if value not in words:
            guess = nearest(value, words) if isinstance(value, str) else None
            raise Wrong(value, f"one of {', '.join(words)}", f'"{guess or words[0]}"')
        return str(value)

    return read


def _targets(value: object) -> tuple[str, ...]:
    example = '["db.example/app_test"]'
    if not isinstance(value, list):
        raise Wrong(value, "a list of targets", example)
    for index, item in enumerate(value):
        if not isinstance(item, str) or not re.fullmatch(r"[^\s\x00]+", item):
            raise Wrong(item, "host, host:port, or either with /database", example, at=(index,))
    return tuple(value)


def lines(what: str, example: str, *, repeated: bool = False) -> Reader:
    """A list of strings of one line each, none of them empty."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Wrong(value, f"a list such as {example}", example)
        for index, item in enumerate(value):
            if not isinstance(item, str) or not re.fullmatch(_ONE_LINE, item) or not item.strip():
                raise Wrong(item, f"{what}: a string of one line", example, at=(index,))
            if item in value[:index] and not repeated:
                raise Wrong(item, "each once", example, at=(index,))
        return tuple(value)

    return read


def count(most: int, *, least: int, example: str) -> Reader:
    """A whole number between two others."""

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise Wrong(value, f"a number from {least} to {most}", example)

    return read


# https://www.postgresql.org/docs/current/sql-createrole.html: reserved, whoever asks.
_NO_ROLES: Final = ("public", "none")


def _names(what: str, example: str) -> Reader:
    read = lines(what, example)

    def named(value: object) -> object:
        found = read(value)
        assert isinstance(found, tuple)
        for index, item in enumerate(found):
            # https://www.postgresql.org/docs/current/limits.html: 63 bytes
            if len(item.encode()) > 63:
                raise Wrong(item, f"{what} of at most 63 bytes", example, at=(index,))
            if (item.startswith("pg_") and "role" in what) or item in _NO_ROLES:
                raise Wrong(item, f"{what} that is not the server's own", example, at=(index,))
        return found

    return named


def _versions(value: object) -> tuple[str, ...]:
    example = '["17", "18"]'
    if not isinstance(value, list) or not value:
        raise Wrong(value, f"a list such as {example}", example)
    found = []
    for index, item in enumerate(value):
        try:
            one = version(item)
        except Wrong as wrong:
            raise Wrong(item, wrong.expected, example, at=(index,)) from None
        if not one or one in found:
            raise Wrong(item, "each version once", example, at=(index,))
        found.append(one)
    return tuple(found)


def _seed(value: object) -> object:
    example = '["db/seed.sql"]'
    if isinstance(value, str):
        return line(value)
    if isinstance(value, list):
        return lines("the path of a file", example)(value)
    raise Wrong(value, f"a list of files such as {example}, or a command", example)


# Durations beyond these are slips of the keyboard, and some timers of the kernel overflow.
_WEEK: Final = 7 * 24 * 3600.0
HOUR: Final = 3600.0

#: What a template is made from: in the table of a service, and in each table below `templates`.
TEMPLATE: Final[dict[str, Reader]] = {
    "schema": lines("the path of a file", '["db/schema.sql"]'),
    "migrate": _command,
    "seed": _seed,
    "watch": lines("a glob pattern", '["migrations/**"]'),
    "extensions": _names("the name of an extension", '["pg_trgm"]'),
    "roles": _names("the name of a role", '["app_reader"]'),
    "migrate_timeout": duration(HOUR, zero=False, example='"5m"'),
}
# What only some services have.
_ONLY: Final[dict[str, tuple[ServiceName, ...]]] = {
    "superuser": ("postgres",),
    "versions": ("postgres",),
    "extensions": ("postgres",),
    "roles": ("postgres",),
    "schema": ("postgres", "clickhouse"),
    "isolation": ("redis",),
}

_OF_A_SERVICE: Final[dict[str, Reader | None]] = {
    "version": version,
    "versions": _versions,
    "settings": None,
    **TEMPLATE,
    "templates": None,
    "pool": count(64, least=0, example="4"),
    "max_leases": count(10_000, least=1, example="200"),
    "isolation": one_of("auto", "server", "database"),
    "superuser": boolean,
    "image": _image,
    "memory": _size,
    "shm_size": _size,
    "url": _url,
}

#: Every key with a name of its own, in the order in which messages list them. The names below
#: ``env``, ``settings``, ``templates``, ``secrets`` and ``categories`` are the user's, so these
#: have no reader here.
KEYS: Final[dict[Key, Reader | None]] = {
    ("services",): services,
    **{("backend", service): backend for service in SERVICES},
    ("linger",): duration(_WEEK, zero=True, example='"30s"'),
    ("start_timeout",): duration(HOUR, zero=False, example='"60s"'),
    ("data_dir",): _directory,
    ("env",): None,
    ("export_env",): boolean,
    ("env_files",): lines("the path of a file", '[".env"]'),
    ("secret_dirs",): lines("the path of a directory", '["/run/secrets"]'),
    ("secrets",): None,
    ("categories",): None,
    ("docker", "pull"): one_of("missing", "always", "never"),
    ("docker", "registry"): _registry,
    ("docker", "reaper"): one_of("keeper", "ryuk"),
    ("attach", "allow"): _targets,
    **{
        (service, name): reader
        for service in SERVICES
        for name, reader in _OF_A_SERVICE.items()
        if service in _ONLY.get(name, SERVICES)
    },
}


def keys_of(table: Key) -> Collection[str]:
    """The names that may stand in a table."""
    if len(table) == 3 and table[1] == "templates":
        return [name for name in keys_of(table[:1]) if name in TEMPLATE]
    depth = len(table)
    return dict.fromkeys(key[depth] for key in KEYS if key[:depth] == table and len(key) > depth)
