"""Where the value of a secret comes from.

In this order: the environment; the file that ``NAME_FILE`` of the environment names, as Docker's
images have it; the ``.env`` files, of which the first wins; the directories in which Docker and
Kubernetes put one file a secret. A value that is there wins, even if it is empty.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from dotenv.parser import Binding

    from envkit.config import Config

__all__ = [
    "Concealed",
    "Entry",
    "Found",
    "Origin",
    "Sources",
    "env_paths",
    "read",
    "read_env",
    "shown",
]

Origin = Literal["environment", "env-file", "file"]
_LARGEST: Final = 1 << 20  # bytes; what people write by hand is far smaller
_FROM_FILE: Final = "_FILE"


class Concealed:
    """A value that shows itself to nobody who does not `reveal` it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Concealed) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a concealed value is not written anywhere")


class Found(Struct, frozen=True, kw_only=True):
    """A secret's value, and where it stands.

    Attributes:
        source: In words: "the environment", ".env line 3", "/run/secrets/NAME".
        path: Of the file that holds it; None for the environment.
        lines: The first and last line of it, in a ``.env`` file.
    """

    name: str
    value: Concealed
    origin: Origin
    source: str
    path: Path | None = None
    lines: tuple[int, int] | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """One ``NAME=value`` of a ``.env`` file.

    Attributes:
        lines: Its first and last line, from 1.
    """

    name: str
    value: Concealed
    lines: tuple[int, int]


class Sources(Struct, frozen=True, kw_only=True):
    """What was found for all declared secrets.

    Attributes:
        found: By name; what is nowhere is not in it.
        unread: What should have been read and could not be, in words: path and reason.
        unread_of: The same by name, of files that could have held only that one.
    """

    found: Mapping[str, Found]
    unread: tuple[str, ...] = ()
    unread_of: Mapping[str, tuple[str, ...]] = {}


def env_paths(config: Config, environ: Mapping[str, str]) -> list[Path]:
    """The ``.env`` files of a project, whether they exist or not."""
    return [_place(config, path, environ) for path in config.env_files]


def read(config: Config, environ: Mapping[str, str]) -> Sources:
    """Look for the value of every declared secret."""
    if not config.secrets:
        return Sources(found={})
    unread: list[str] = []
    entries: dict[str, Found] = {}
    for path in env_paths(config, environ):
        for entry in read_env(path, environ, unread):
            if entry.name in config.secrets:
                entries.setdefault(entry.name, _of_entry(config, path, entry))
    found = {}
    unread_of: dict[str, tuple[str, ...]] = {}
    for name in config.secrets:
        its_own: list[str] = []
        one = (
            _in_environment(name, environ)
            or _named_by_environment(name, environ, its_own)
            or entries.get(name)
            or _in_directories(config, name, environ, its_own)
        )
        if one is not None:
            found[name] = one
        if its_own:
            unread_of[name] = tuple(its_own)
    return Sources(found=found, unread=tuple(unread), unread_of=unread_of)


def read_env(path: Path, environ: Mapping[str, str], unread: list[str]) -> list[Entry]:
    """What a ``.env`` file says, as python-dotenv reads it; of several entries the last counts.

    ``${NAME}`` stands for a variable; one that is not set stays as it is written.
    """
    text = _text(path, unread)
    if text is None:
        return []
    import io

    from dotenv.parser import parse_stream

    entries: dict[str, Entry] = {}
    # With line ends of all kinds made one, as a text file is read.
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"))):
        first, last = _lines(binding)
        if binding.error:
            unread.append(f"{path.name} line {first}: not in the form NAME=value")
        elif binding.key is not None and binding.value is not None:
            known = {name: entry.value.reveal() for name, entry in entries.items()}
            known |= dict(environ)
            value = Concealed(_expanded(binding.value, known))
            entries[binding.key] = Entry(name=binding.key, value=value, lines=(first, last))
    return list(entries.values())


def _lines(binding: Binding) -> tuple[int, int]:
    """The first and last line of an entry, without the empty lines before it."""
    text = binding.original.string
    first = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
    return first, first + text.strip().count("\n")


def _expanded(value: str, known: dict[str, str]) -> str:
    from dotenv.variables import Literal as Text
    from dotenv.variables import Variable, parse_variables

    parts = []
    for atom in parse_variables(value):
        if isinstance(atom, Variable) and atom.default is None and atom.name not in known:
            parts.append(f"${{{atom.name}}}")
        else:
            assert isinstance(atom, Variable | Text)
            parts.append(atom.resolve(known))
    return "".join(parts)


def _of_entry(config: Config, path: Path, entry: Entry) -> Found:
    return Found(
        name=entry.name,
        value=entry.value,
        origin="env-file",
        source=f"{shown(config, path)} line {entry.lines[0]}",
        path=path,
        lines=entry.lines,
    )


def _in_environment(name: str, environ: Mapping[str, str]) -> Found | None:
    if name not in environ:
        return None
    value = Concealed(environ[name])
    return Found(name=name, value=value, origin="environment", source="the environment")


def _named_by_environment(name: str, environ: Mapping[str, str], unread: list[str]) -> Found | None:
    variable = f"{name}{_FROM_FILE}"
    named = environ.get(variable, "")
    if not named or (text := _text(Path(named), unread, wanted=True)) is None:
        return None
    return Found(
        name=name,
        value=Concealed(text),
        origin="file",
        source=f"{named} ({variable})",
        path=Path(named),
    )


def _in_directories(
    config: Config, name: str, environ: Mapping[str, str], unread: list[str]
) -> Found | None:
    for directory in config.secret_dirs:
        path = _place(config, directory, environ) / name
        if (text := _text(path, unread)) is not None:
            value = Concealed(text)
            return Found(name=name, value=value, origin="file", source=str(path), path=path)
    return None


def _text(path: Path, unread: list[str], *, wanted: bool = False) -> str | None:
    """The content of a small regular file: a pipe would block, and belongs to somebody else."""
    try:
        if not path.is_file():
            if wanted or path.exists():
                unread.append(f"{path}: no such file" if wanted else f"{path}: no regular file")
            return None
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        unread.append(f"{path}: {getattr(error, 'strerror', None) or 'not a path'}")
        return None
    if len(raw) > _LARGEST:
        unread.append(f"{path}: larger than {_LARGEST >> 20} MB")
        return None
    # As the environment would have it; an editor's byte order mark is no part of it.
    return raw.decode(errors="surrogateescape").removeprefix("\ufeff")


def _place(config: Config, path: str, environ: Mapping[str, str]) -> Path:
    if path == "~" or path.startswith("~/"):
        path = environ.get("HOME", "") + path[1:]
    return config.root / path


def shown(config: Config, path: Path) -> str:
    inside = path.is_relative_to(config.root)
    return str(path.relative_to(config.root)) if inside else os.fspath(path)
