"""Where settings come from: a file of the project, then ``ENVKIT_*``, then the command line.

``[tool.envkit]`` in ``pyproject.toml``, or the same tables without that prefix in ``envkit.toml``.
Every value remembers where it was written (`Config.origins`), and every error names the file, the
line, the key, what stood there and what could stand there instead.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, cast, get_args

from msgspec import Struct, field, structs

from .errors import ConfigInvalid, ConfigUnknownKey, UsageError
from .model import (
    SERVICES,
    BackendChoice,
    PostgresSettings,
    ServiceName,
    ServiceSettings,
    Settings,
)

__all__ = [
    "ENVIRONMENT",
    "Config",
    "Document",
    "Overrides",
    "find_root",
    "load",
    "nearest",
    "read_document",
]

KeyPath: TypeAlias = tuple[str | int, ...]
_Reader: TypeAlias = Callable[[object], object]

_PYPROJECT: Final = "pyproject.toml"
_OWN: Final = "envkit.toml"
_CHOICES: Final[tuple[str, ...]] = get_args(BackendChoice)
_ENDPOINT_FIELDS: Final = ("url", "host", "port", "user", "password", "database")
# Compiled (and kept) by re when first needed: a project without configuration needs none.
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_SETTING_NAME: Final = r"[A-Za-z_][A-Za-z0-9_.-]*"
_VERSION: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}"
_DURATION: Final = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)?"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}

# Beyond these a duration is a slip of the keyboard, and some timers of the kernel overflow.
_LONGEST_LINGER: Final = 7 * 24 * 3600.0
_LONGEST_START: Final = 3600.0

_SHOWN: Final = 60


class Overrides(Struct, frozen=True, kw_only=True):
    """What the command line said; it wins over the environment and the file.

    Attributes:
        backend: One for all services, or ``postgres=docker,redis=embedded``.
        services: None or nothing at all keeps what is configured.
        backend_option: How the option is called where it was given, for origins and errors.
    """

    backend: str | None = None
    services: Sequence[str] | None = None
    backend_option: str = "--backend"


class Config(Struct, frozen=True, kw_only=True):
    """Settings, and where each of them comes from.

    Attributes:
        origins: Dotted key to ``pyproject.toml:12``, ``ENVKIT_BACKEND``, ``--backend`` or
            ``default``. Backends appear one a service (``backend.redis``).
        file: The file that holds envkit's tables, if there is one.
    """

    settings: Settings
    root: Path
    origins: dict[str, str] = field(default_factory=dict)
    file: Path | None = None


def load(
    root: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Overrides | None = None,
) -> Config:
    """Read the configuration of a project.

    Args:
        root: The project's directory, taken as it is; None looks for it with `find_root`.
        environ: Stands in for ``os.environ``.
        overrides: What the command line said.

    Raises:
        ConfigInvalid: A file cannot be read or parsed, or a value has the wrong type or range.
        ConfigUnknownKey: A key or an ``ENVKIT_*`` name that envkit does not know.
        UsageError: The command line names a service or backend that does not exist.
    """
    if environ is None:
        environ = os.environ
    if root is None:
        root, document = _locate(_working_directory())
    else:
        root = root.resolve()
        document = _configuration_in(root)
    values = _Values()
    if document is not None:
        _FileReader(document, values).read()
    _read_environment(environ, values)
    _read_overrides(overrides or Overrides(), values)
    settings = values.settings(root, environ)
    return Config(
        settings=settings,
        root=root,
        origins=values.all_origins(settings),
        file=None if document is None else document.path,
    )


def find_root(start: Path | None = None) -> Path:
    """The project's directory, for anyone below it.

    The first directory upwards that configures envkit; else the nearest with a
    ``pyproject.toml``; else the nearest with a ``.git``; else ``start`` itself.

    Args:
        start: A directory, or a file in it; None is the working directory.

    Raises:
        ConfigInvalid: A file on the way that may hold envkit's tables cannot be read or parsed,
            or one directory has both ``envkit.toml`` and ``[tool.envkit]``.
    """
    return _locate(_working_directory() if start is None else start)[0]


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigInvalid(
            "the working directory does not exist any more",
            hint="change to the project's directory and try again",
        ) from None


def _locate(start: Path) -> tuple[Path, Document | None]:
    start = start.resolve()
    if _kind(start) == "file":
        start = start.parent
    project: Path | None = None
    repository: Path | None = None
    for directory in (start, *start.parents):
        document = _configuration_in(directory)
        if document is not None:
            return directory, document
        if project is None and _kind(directory / _PYPROJECT) == "file":
            project = directory
        # A worktree and a submodule have a file called .git.
        if repository is None and _kind(directory / ".git") != "":
            repository = directory
    return project or repository or start, None


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        # A directory above the project that may not be searched holds nothing for us.
        return ""
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "special file"


def _configuration_in(directory: Path) -> Document | None:
    own = directory / _OWN
    project = directory / _PYPROJECT
    shared: Document | None = None
    if _kind(project) == "file":
        raw = _read_bytes(project)
        # Most files never name envkit: they need no parsing, and their faults are not ours to tell.
        if b"envkit" in raw:
            document = _parse(project, raw, prefix=("tool", "envkit"))
            if document.table is not None:
                shared = document
    kind = _kind(own)
    if kind == "":
        return shared
    if kind != "file":
        raise ConfigInvalid(
            f"{own} is a {kind}; expected a file",
            hint=f"rename it, or write the configuration into {_OWN} as TOML",
        )
    if shared is not None:
        raise ConfigInvalid(
            f"{own} and {shared.where(())} ([tool.envkit]) in {directory} both configure envkit",
            hint=f"keep one of them: move the tables of {_OWN} below [tool.envkit], or the reverse",
        )
    return _parse(own, _read_bytes(own), prefix=())


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror or error}",
            hint=f"make it readable: chmod u+r {path}"
            if isinstance(error, PermissionError)
            else f"look at it with: ls -l {path}",
        ) from None


class Document:
    """A parsed TOML file that can say on which line a key stands.

    Attributes:
        path: The file.
        text: Its content without a byte order mark, as written.
        data: What it means.
        prefix: Where envkit's tables begin.
    """

    def __init__(self, path: Path, text: str, data: dict[str, Any], prefix: KeyPath) -> None:
        self.path = path
        self.text = text
        self.data = data
        self.prefix = prefix
        self._lines: dict[KeyPath, int] | None = None

    @property
    def table(self) -> object | None:
        """What stands at the prefix, or None; a table unless the file is wrong."""
        found: object = self.data
        for part in self.prefix:
            if not isinstance(found, dict) or part not in found:
                return None
            found = found[part]
        return found

    def line(self, path: KeyPath) -> int:
        """The line (from 1) of a key counted from the top of the file, or of what holds it."""
        if self._lines is None:
            self._lines = dict(_key_lines(self.text))
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 1

    def where(self, key: KeyPath) -> str:
        """``pyproject.toml:12`` for a key below the prefix."""
        return f"{self.path.name}:{self.line(self.prefix + key)}"

    def dotted(self, key: KeyPath) -> str:
        """``tool.envkit.postgres.version`` or, in ``envkit.toml``, ``postgres.version``."""
        return _dotted(self.prefix + key)


def _dotted(path: KeyPath) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else show(part)
            text += f".{shown}" if text else shown
    return text


def read_document(path: Path, *, prefix: KeyPath = ()) -> Document:
    """Read and parse a TOML file.

    Raises:
        ConfigInvalid: It cannot be read, is not UTF-8 or is not TOML.
    """
    return _parse(path, _read_bytes(path), prefix=prefix)


def _parse(path: Path, raw: bytes, *, prefix: KeyPath) -> Document:
    # Loaded here, so that a project without configuration does not pay for it.
    import tomllib

    try:
        # TOML is UTF-8; some editors put a byte order mark before it, which changes nothing.
        text = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(
            f"{path.name}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8, which TOML has to be",
            hint=f"save {path} as UTF-8",
        ) from None
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise ConfigInvalid(
            f"{path.name} nests tables or lists too deeply to be read",
            hint=f"write {path} with less nesting",
        ) from None
    except ValueError as error:
        raise _syntax_error(path, text, str(error)) from None
    return Document(path, text, data, prefix)


def _syntax_error(path: Path, text: str, message: str) -> ConfigInvalid:
    lines = text.split("\n")
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if match is None:
        return ConfigInvalid(
            f"{path.name} is not valid TOML: {message}", hint=f"correct {path} and try again"
        )
    if match[1]:
        line, column = int(match[1]), int(match[2])
    else:
        line = next((n for n in range(len(lines), 0, -1) if lines[n - 1].strip()), 1)
        column = len(lines[line - 1].rstrip()) + 1
    quoted = lines[line - 1].rstrip() if line <= len(lines) else ""
    # A window around the column: what is wrong must be visible in a line of any length.
    first = max(0, column - 1 - _SHOWN)
    window = quoted[first : first + 2 * _SHOWN].replace("\t", " ")
    # A control character must not reach the terminal, and must not shift the caret.
    window = "".join(char if char.isprintable() else "\ufffd" for char in window)
    gutter = f"{line} | "
    return ConfigInvalid(
        f"{path.name}:{line}:{column}: not valid TOML: {message[: match.start()]}",
        detail=f"{gutter}{window}\n{' ' * (len(gutter) + column - 1 - first)}^",
        hint=f"correct line {line} of {path}",
    )


_LEXEMES: Final = r"""
      (?P<string> \"{3} (?:\\.|[^\\])*? \"{3,5} | '{3} .*? '{3,5}
                | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \n )
    | (?P<space> [ \t\r]+ )
    | (?P<mark> [\[\]{}=,.] )
    | (?P<bare> [^\s\[\]{}=,."'\#]+ )
    """


def _key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """The line of every key and list item of a *valid* TOML text; the first place wins.

    tomllib keeps no positions. Knowing that the text is valid, it is enough to walk over keys,
    brackets and strings.
    """
    seen: set[KeyPath] = set()
    for path, line in _Walker(text).document():
        for length in range(1, len(path) + 1):
            if path[:length] not in seen:
                seen.add(path[:length])
                yield path[:length], line


class _Walker:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        line = 1
        for match in re.finditer(_LEXEMES, text, re.VERBOSE | re.DOTALL):
            kind, lexeme = cast("str", match.lastgroup), match[0]
            if kind not in ("space", "comment"):
                self._tokens.append((kind, lexeme, line))
            line += lexeme.count("\n")
        self._tokens.append(("end", "", line))
        self._at = 0

    def _next(self) -> tuple[str, str, int]:
        lexeme = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return lexeme

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at][:2]

    def _key(self) -> tuple[KeyPath, int]:
        parts: list[str] = []
        kind, lexeme, line = self._next()
        parts.append(_unquote(lexeme) if kind == "string" else lexeme)
        while self._peek() == ("mark", "."):
            self._next()
            kind, lexeme, _ = self._next()
            parts.append(_unquote(lexeme) if kind == "string" else lexeme)
        return tuple(parts), line

    def document(self) -> Iterator[tuple[KeyPath, int]]:
        table: KeyPath = ()
        while True:
            kind, lexeme = self._peek()
            if kind == "end":
                return
            if kind == "newline":
                self._next()
            elif lexeme == "[" and kind == "mark":
                while self._peek() == ("mark", "["):
                    self._next()
                table, line = self._key()
                yield table, line
                while self._peek() == ("mark", "]"):
                    self._next()
            else:
                yield from self._pair(table)

    def _pair(self, table: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        key, line = self._key()
        yield table + key, line
        self._next()  # the equals sign
        yield from self._value(table + key)

    def _value(self, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        if self._peek() == ("mark", "["):
            self._next()
            yield from self._items(path)
        elif self._peek() == ("mark", "{"):
            self._next()
            while self._peek() != ("mark", "}") and self._peek()[0] != "end":
                if self._peek()[0] == "newline" or self._peek() == ("mark", ","):
                    self._next()
                else:
                    yield from self._pair(path)
            self._next()
        else:
            # A number with a fraction or a date is several tokens, all on one line.
            while self._peek()[0] not in ("newline", "end") and self._peek() not in (
                ("mark", ","),
                ("mark", "]"),
                ("mark", "}"),
            ):
                self._next()

    def _items(self, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        index = 0
        while self._peek() != ("mark", "]") and self._peek()[0] != "end":
            if self._peek()[0] == "newline" or self._peek() == ("mark", ","):
                self._next()
                continue
            yield (*path, index), self._tokens[self._at][2]
            yield from self._value((*path, index))
            index += 1
        self._next()


def _unquote(token: str) -> str:
    import tomllib

    return str(tomllib.loads(f"k = {token}")["k"])


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    return short or (f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")


def show(value: object) -> str:
    """A value as TOML writes it, on one line and at most 60 characters long."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = "".join(map(_escaped, value[:_SHOWN]))
        return f'"{text}"' if len(text) <= _SHOWN - 2 else f'"{text[: _SHOWN - 3]}…"'
    elif isinstance(value, list):
        text = f"[{', '.join(show(item) for item in value[:_SHOWN])}]"
    elif isinstance(value, dict):
        pairs = (f"{key} = {show(item)}" for key, item in list(value.items())[:_SHOWN])
        text = f"{{ {', '.join(pairs)} }}" if value else "{}"
    elif isinstance(value, float):
        text = repr(value)
    elif isinstance(value, int):
        # Decimal digits of a huge integer are refused by Python itself.
        text = str(value) if value.bit_length() < 512 else hex(value)
    else:
        text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _type_of(value: object) -> str:
    for kind, name in (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a float"),
        (list, "a list"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that was most probably meant, if any comes close."""
    import difflib

    folded = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None


class _Wrong(Exception):
    """A value that does not fit; whoever knows where it stands makes the real error of it."""

    def __init__(self, value: object, expected: str, example: str, at: KeyPath = ()) -> None:
        super().__init__(expected)
        self.value = value
        self.expected = expected
        self.example = example
        self.at = at

    def error(self, where: str, name: str, instead: str) -> ConfigInvalid:
        place = f"{where}: {name}" if where else name
        kind = "" if isinstance(self.value, bool) or not where else f" ({_type_of(self.value)})"
        return ConfigInvalid(
            f"{place} is {show(self.value)}{kind}; expected {self.expected}", hint=instead
        )


def _seconds(longest: float, *, zero: bool, example: str) -> _Reader:
    def read(value: object) -> float:
        least = "0 s or more" if zero else "more than 0 s"
        expected = (
            'a duration such as "250ms", "30s", "5m" or "1h", or a number of seconds,'
            f" {least} and at most {longest:.0f} s"
        )
        seconds = -1.0
        if isinstance(value, str):
            match = re.fullmatch(_DURATION, value.strip())
            if match:
                seconds = float(match[1]) * _UNITS[match[2]]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            # Comparing before converting: an integer may be too large for a float.
            seconds = float(value) if -1 < value <= longest else -1.0
        # Not-a-number fails both comparisons.
        if not (seconds > 0 or (zero and seconds == 0)) or not seconds <= longest:
            raise _Wrong(value, expected, example)
        # Minus zero is zero, and both must lead to the same settings.
        return seconds + 0.0

    return read


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(value, "true or false", "true")
    return value


def _version(value: object) -> str:
    # ``version = 18`` can only mean one thing; 18.10 as a number would already have become 18.1.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return str(value)
    if isinstance(value, str) and (value == "" or re.fullmatch(_VERSION, value)):
        return value
    example = f'"{value}"' if isinstance(value, float) else '"18"'
    raise _Wrong(value, 'a version, or the beginning of one, such as "18" or "18.6"', example)


def _data_dir(value: object) -> str:
    if not isinstance(value, str) or re.search(r"[\x00\r\n]", value):
        raise _Wrong(value, "the path of a directory", '"/dev/shm"')
    return value


def _services(value: object) -> tuple[ServiceName, ...]:
    known = ", ".join(SERVICES)
    items = value if isinstance(value, list) else []
    meant = [nearest(item, SERVICES) if isinstance(item, str) else None for item in items]
    names = dict.fromkeys(name for name in meant if name) or SERVICES
    example = "[{}]".format(", ".join(f'"{name}"' for name in names))
    if not items:
        raise _Wrong(value, f"a list with at least one of {known}", example)
    for index, item in enumerate(items):
        if item not in SERVICES:
            raise _Wrong(item, f"one of {known}", example, at=(index,))
        if item in items[:index]:
            raise _Wrong(item, "each service once", example, at=(index,))
    # A set in all but name: one order for one meaning, so that equal settings are equal.
    return tuple(name for name in SERVICES if name in items)


def _choice(value: object) -> str:
    if value not in _CHOICES:
        guess = nearest(value, _CHOICES) if isinstance(value, str) else None
        raise _Wrong(value, f"one of {', '.join(_CHOICES)}", f'"{guess or "auto"}"')
    return str(value)


def _reference(value: object) -> str:
    if isinstance(value, str):
        service, _, part = value.partition(".")
        if service in SERVICES and part in _ENDPOINT_FIELDS:
            return value
    raise _Wrong(
        value,
        f'"service.field" with a service of {", ".join(SERVICES)}'
        f" and a field of {', '.join(_ENDPOINT_FIELDS)}",
        '"postgres.url"',
    )


def _setting(value: object) -> str | int | float | bool:
    if isinstance(value, str):
        if re.search(r"[\x00\r\n]", value):
            raise _Wrong(value, "a string of one line, without NUL", '"one line"')
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and value - value == 0:  # neither infinite nor not-a-number
        return value
    raise _Wrong(
        value, "a string, true, false, an integer of at most 64 bits or a finite float", '"on"'
    )


_PLAIN: Final[dict[str, _Reader]] = {
    "services": _services,
    "linger": _seconds(_LONGEST_LINGER, zero=True, example='"30s"'),
    "start_timeout": _seconds(_LONGEST_START, zero=False, example='"60s"'),
    "data_dir": _data_dir,
    "export_env": _boolean,
}
_VERSION_EXAMPLE: Final = {
    "postgres": 'version = "18"',
    "redis": 'version = "8"',
    "clickhouse": 'version = "25.8"',
}
_PLAIN_OF_SERVICE: Final[dict[str, _Reader]] = {"version": _version, "superuser": _boolean}


def _known_keys() -> tuple[str, ...]:
    return Settings.__struct_fields__


def _known_service_keys(service: ServiceName) -> tuple[str, ...]:
    return _service_type(service).__struct_fields__


def _service_type(service: ServiceName) -> type[ServiceSettings]:
    return PostgresSettings if service == "postgres" else ServiceSettings


class _Values:
    """Values by their key, later ones over earlier ones, each with its origin."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], object] = {}
        self._origins: dict[tuple[str, ...], str] = {}

    def put(self, key: tuple[str, ...], value: object, origin: str) -> None:
        self._values[key] = value
        self._origins[key] = origin

    def settings(self, root: Path, environ: Mapping[str, str]) -> Settings:
        top: dict[str, Any] = {"backend": {}, "env": {}}
        tables: dict[ServiceName, dict[str, Any]] = {name: {"settings": {}} for name in SERVICES}
        for key, value in self._values.items():
            match key:
                case ("backend", service):
                    # "auto" is what a service has anyway: written or not, it means the same.
                    if value != "auto":
                        top["backend"][service] = value
                case ("env", name):
                    top["env"][name] = value
                case (service, "settings", name):
                    tables[cast("ServiceName", service)]["settings"][name] = value
                case (service, name):
                    tables[cast("ServiceName", service)][name] = value
                case _:
                    top[key[0]] = value
        if top.get("data_dir"):
            top["data_dir"] = _directory(top["data_dir"], root, environ)
        top |= {name: _service_type(name)(**table) for name, table in tables.items()}
        return Settings(**top)

    def all_origins(self, settings: Settings) -> dict[str, str]:
        origins: dict[str, str] = {}

        def add(*key: str) -> None:
            origins[".".join(key)] = self._origins.get(key, "default")

        for name in structs.fields(settings):
            if name.name == "backend":
                for service in SERVICES:
                    add("backend", service)
            elif name.name == "env":
                for variable in settings.env:
                    add("env", variable)
            elif name.name in SERVICES:
                table = settings.of(name.name)
                for key in table.__struct_fields__:
                    if key == "settings":
                        for setting in table.settings:
                            add(name.name, "settings", setting)
                    else:
                        add(name.name, key)
            else:
                add(name.name)
        return origins


def _directory(value: str, root: Path, environ: Mapping[str, str]) -> str:
    if value == "~" or value.startswith("~/"):
        if not environ.get("HOME"):
            raise ConfigInvalid(
                f"data_dir is {show(value)}, and the environment has no HOME to stand for '~'",
                hint="write the whole path",
            )
        value = environ["HOME"] + value[1:]
    # The same place from wherever below the project a command is typed.
    return str(root / value)


class _FileReader:
    def __init__(self, document: Document, values: _Values) -> None:
        self._document = document
        self._values = values

    def read(self) -> None:
        table = self._document.table
        if not isinstance(table, dict):
            raise ConfigInvalid(
                f"{self._document.where(())}: {self._document.dotted(())} is {show(table)}"
                f" ({_type_of(table)}); expected a table",
                hint="write it as [tool.envkit], with single brackets",
            )
        for key, value in table.items():
            if key in _PLAIN:
                self._put((key,), _PLAIN[key], value)
            elif key == "backend":
                self._backend(value)
            elif key == "env":
                self._env(value)
            elif key in SERVICES:
                self._service(cast("ServiceName", key), value)
            else:
                self._unknown((), key, _known_keys())

    def _service(self, service: ServiceName, table: object) -> None:
        known = _known_service_keys(service)
        items = self._table((service,), table, _VERSION_EXAMPLE[service])
        for key, value in items.items():
            if key not in known:
                self._unknown((service,), key, known)
            if key == "settings":
                self._server_settings(service, value)
            else:
                self._put((service, key), _PLAIN_OF_SERVICE[key], value)

    def _server_settings(self, service: ServiceName, table: object) -> None:
        example = {
            "postgres": 'wal_level = "logical"',
            "redis": 'maxmemory = "64mb"',
            "clickhouse": "max_threads = 2",
        }[service]
        seen: set[str] = set()
        for name, value, path in self._flat(
            self._table((service, "settings"), table, example), (service, "settings")
        ):
            if not re.fullmatch(_SETTING_NAME, name):
                self._bad_name(path, name, "letters, digits, '_', '.' and '-'", example)
            if name in seen:
                raise ConfigInvalid(
                    f"{self._document.where(path)}: {self._document.dotted(path)} is there twice,"
                    f" as {name!r} in quotes and as a dotted key",
                    hint="keep one of them",
                )
            seen.add(name)
            self._put((service, "settings", name), _setting, value, path)

    def _flat(
        self, table: dict[str, Any], path: tuple[str, ...], before: str = ""
    ) -> Iterator[tuple[str, object, tuple[str, ...]]]:
        # TOML reads ``pg_stat_statements.max = 100`` as a table in a table; servers do not.
        for key, value in table.items():
            if isinstance(value, dict) and value:
                yield from self._flat(value, (*path, key), f"{before}{key}.")
            else:
                yield before + key, value, (*path, key)

    def _backend(self, value: object) -> None:
        if not isinstance(value, dict):
            try:
                choice = _choice(value)
            except _Wrong as wrong:
                wrong.expected += ", or a table with one of these for each service"
                raise self._wrong(("backend",), wrong) from None
            for service in SERVICES:
                self._values.put(("backend", service), choice, self._document.where(("backend",)))
            return
        for key, choice in value.items():
            if key not in SERVICES:
                self._unknown(("backend",), key, SERVICES)
            self._put(("backend", key), _choice, choice)

    def _env(self, table: object) -> None:
        example = 'POSTGRES_DSN = "postgres.url"'
        for name, value in self._table(("env",), table, example).items():
            path = ("env", name)
            if not re.fullmatch(_NAME, name):
                self._bad_name(path, name, "letters, digits and '_'", example)
            if name.startswith("ENVKIT_"):
                raise ConfigInvalid(
                    f"{self._document.where(path)}: {self._document.dotted(path)} is a name that"
                    " envkit reads its own settings from",
                    hint=f"choose a name that does not begin with ENVKIT_, such as {example}",
                )
            self._put(path, _reference, value)

    def _table(self, path: tuple[str, ...], value: object, example: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            wrong = _Wrong(value, f"a table such as {{ {example} }}", f"{{ {example} }}")
            raise self._wrong(path, wrong)
        return value

    def _put(
        self, key: tuple[str, ...], reader: _Reader, value: object, path: KeyPath | None = None
    ) -> None:
        try:
            read = reader(value)
        except _Wrong as wrong:
            raise self._wrong(path or key, wrong) from None
        self._values.put(key, read, self._document.where(path or key))

    def _wrong(self, path: KeyPath, wrong: _Wrong) -> ConfigInvalid:
        path = path + wrong.at
        key = next(part for part in reversed(path) if isinstance(part, str))
        instead = f"{key} = {wrong.example}"
        return wrong.error(
            self._document.where(path), self._document.dotted(path), f"write {instead}"
        )

    def _bad_name(self, path: KeyPath, name: str, allowed: str, example: str) -> NoReturn:
        raise ConfigInvalid(
            f"{self._document.where(path)}: {self._document.dotted(path[:-1])} has the name"
            f" {show(name)}; expected {allowed}, beginning with a letter or '_'",
            hint=f"write it like this: {example}",
        )

    def _unknown(self, path: tuple[str, ...], key: str, known: Sequence[str]) -> NoReturn:
        table = self._document.dotted(path) or "the top level"
        guess = nearest(key, known)
        if key == "tool" and not self._document.prefix and not path:
            advice = (
                f"{_OWN} holds the tables without the prefix: [postgres], not"
                " [tool.envkit.postgres]. "
            )
        elif guess is not None:
            advice = f"did you mean {guess!r}? "
        else:
            homes = [
                self._document.dotted(home)
                for home in ((), *((service,) for service in SERVICES))
                if home != path and key in (_known_service_keys(home[0]) if home else _known_keys())
            ]
            there = " or ".join(f"[{home}]" if home else "the top level" for home in homes)
            advice = f"{key!r} belongs into {there}. " if there else ""
        raise ConfigUnknownKey(
            f"{self._document.where((*path, key))}: {table} has no key {_quoted(key)}",
            hint=f"{advice}Known keys: {', '.join(known)}",
        )


def _quoted(key: str) -> str:
    return f"'{key}'" if re.fullmatch(r"[\w.-]{1,60}", key) else show(key)


def _split(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _backends(text: str) -> dict[ServiceName, str]:
    """``docker`` or ``postgres=docker,redis=embedded``; raises `_Wrong`."""
    expected = (
        f"one of {', '.join(_CHOICES)}, or SERVICE=BACKEND with commas between"
        f" (services: {', '.join(SERVICES)})"
    )
    if "=" not in text and "," not in text:
        if text.strip() not in _CHOICES:
            raise _Wrong(text, expected, nearest(text.strip(), _CHOICES) or "auto")
        return dict.fromkeys(SERVICES, text.strip())
    example = "postgres=docker,redis=embedded"
    chosen: dict[ServiceName, str] = {}
    for pair in _split(text) or [text]:
        service, equals, choice = (part.strip() for part in pair.partition("="))
        if not equals or service not in SERVICES or choice not in _CHOICES:
            near = (nearest(service, SERVICES), nearest(choice, _CHOICES))
            raise _Wrong(text, expected, f"{near[0]}={near[1]}" if all(near) else example)
        if service in chosen:
            raise _Wrong(text, f"each service once, and {service} is there twice", example)
        chosen[service] = choice
    return chosen


def _truth(text: str) -> object:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    return False if word in ("0", "false", "no", "off") else text


def _plain_text(text: str) -> object:
    return text


def _stripped(text: str) -> object:
    return text.strip()


#: Every name envkit reads its settings from, with the key it stands for.
ENVIRONMENT: Final[dict[str, tuple[str, ...]]] = {
    "ENVKIT_SERVICES": ("services",),
    "ENVKIT_BACKEND": ("backend",),
    "ENVKIT_LINGER": ("linger",),
    "ENVKIT_START_TIMEOUT": ("start_timeout",),
    "ENVKIT_DATA_DIR": ("data_dir",),
    "ENVKIT_EXPORT_ENV": ("export_env",),
    **{f"ENVKIT_{service.upper()}_VERSION": (service, "version") for service in SERVICES},
    "ENVKIT_POSTGRES_SUPERUSER": ("postgres", "superuser"),
}

_FROM_TEXT: Final[dict[str, Callable[[str], object]]] = {
    "services": _split,
    "linger": _stripped,
    "start_timeout": _stripped,
    "data_dir": _plain_text,
    "export_env": _truth,
    "version": _stripped,
    "superuser": _truth,
}


def _read_environment(environ: Mapping[str, str], values: _Values) -> None:
    # Unknown names first: a typo beside a wrong value is the likelier cause of surprise.
    for name in sorted(environ):
        if name.startswith("ENVKIT_") and name not in ENVIRONMENT and environ[name] != "":
            guess = nearest(name, list(ENVIRONMENT))
            advice = f"did you mean {guess}? " if guess else ""
            raise ConfigUnknownKey(
                f"the environment sets {_quoted(name)}, which envkit does not know",
                hint=f"{advice}Otherwise: unset {name}. Known names: {', '.join(ENVIRONMENT)}",
            )
    for name, key in ENVIRONMENT.items():
        text = environ.get(name, "")
        if text == "":
            continue
        try:
            try:
                text.encode()
            except UnicodeEncodeError:
                raise _Wrong(text, "text in UTF-8", "…") from None
            if key == ("backend",):
                for service, choice in _backends(text).items():
                    values.put(("backend", service), choice, name)
            else:
                reader = (_PLAIN if len(key) == 1 else _PLAIN_OF_SERVICE)[key[-1]]
                values.put(key, reader(_FROM_TEXT[key[-1]](text)), name)
        except _Wrong as wrong:
            example = re.sub(r'[\[\]" ]', "", wrong.example)
            if wrong.at:
                wrong.expected += f" (in {show(text)})"
            else:
                wrong.value = text
            raise wrong.error("", name, f"export {name}={example}") from None


def _read_overrides(overrides: Overrides, values: _Values) -> None:
    if overrides.services:
        for service in overrides.services:
            if service not in SERVICES:
                guess = nearest(service, SERVICES)
                raise UsageError(
                    f"there is no service {_quoted(service)}; there are {', '.join(SERVICES)}",
                    hint=f"did you mean {guess}?"
                    if guess
                    else f"name one of {', '.join(SERVICES)}",
                )
        chosen = tuple(name for name in SERVICES if name in overrides.services)
        values.put(("services",), chosen, "command line")
    if overrides.backend is not None:
        try:
            backends = _backends(overrides.backend)
        except _Wrong as wrong:
            raise UsageError(
                f"{overrides.backend_option} is {show(wrong.value)}; expected {wrong.expected}",
                hint=f"write {overrides.backend_option} {wrong.example}",
            ) from None
        for service, choice in backends.items():
            values.put(("backend", service), choice, overrides.backend_option)
