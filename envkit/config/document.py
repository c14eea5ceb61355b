"""A TOML file: its content, where envkit's tables begin in it, and what is wrong with it."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from envkit.config.positions import key_lines
from envkit.config.wording import KeyPath, dotted
from envkit.errors import ConfigInvalid

__all__ = ["Document", "parse", "read_bytes", "read_document"]

_WINDOW: Final = 60  # characters shown on each side of a syntax error


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

    @property
    def table(self) -> object | None:
        """What stands at the prefix, or None; a table unless the file is wrong."""
        found: object = self.data
        for part in self.prefix:
            if not isinstance(found, dict) or part not in found:
                return None
            found = found[part]
        return found

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return key_lines(self.text)

    def line(self, path: KeyPath) -> int:
        """The line (from 1) of a key counted from the top of the file, or of what holds it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def where(self, key: KeyPath) -> str:
        """``pyproject.toml:12`` for a key below the prefix."""
        return f"{self.path.name}:{self.line(self.prefix + key)}"

    def dotted(self, key: KeyPath) -> str:
        """``tool.envkit.postgres.version`` or, in ``envkit.toml``, ``postgres.version``."""
        return dotted(self.prefix + key)


def read_document(path: Path, *, prefix: KeyPath = ()) -> Document:
    """Read and parse a TOML file.

    Raises:
        ConfigInvalid: It cannot be read, is not UTF-8 or is not TOML.
    """
    return parse(path, read_bytes(path), prefix=prefix)


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror or error}",
            hint=f"make it readable: chmod u+r {path}"
            if isinstance(error, PermissionError)
            else f"look at it with: ls -l {path}",
        ) from None


def parse(path: Path, raw: bytes, *, prefix: KeyPath) -> Document:
    # Loaded here, so that a project without configuration does not pay for it.
    import tomllib

    try:
        # TOML is UTF-8; some editors put a byte order mark before it, which changes nothing.
        text = raw.decode("utf-8").removeprefix("\ufeff")
        return Document(path, text, tomllib.loads(text), prefix)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(
            f"{path.name}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8, which TOML has to be",
            hint=f"save {path} as UTF-8",
        ) from None
    except RecursionError:
        raise ConfigInvalid(
            f"{path.name} nests tables or lists too deeply to be read",
            hint=f"write {path} with less nesting",
        ) from None
    except ValueError as error:
        raise _syntax_error(path, text, str(error)) from None


def _syntax_error(path: Path, text: str, message: str) -> ConfigInvalid:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    if found is None:
        return ConfigInvalid(
            f"{path.name} is not valid TOML: {message}", hint=f"correct {path} and try again"
        )
    if found[2]:
        line, column = int(found[2]), int(found[3])
    else:
        said = text.rstrip()
        line = said.count("\n") + 1
        column = len(said) - said.rfind("\n")
    from envkit.redact import printable, redacted

    quoted = text.split("\n")[line - 1].rstrip()
    gutter = f"{line} | "
    if (masked := redacted(quoted)) != quoted:
        # Before it is cut, and without a caret, which would be in another place.
        return ConfigInvalid(
            f"{path.name}:{line}:{column}: not valid TOML: {found[1]}",
            detail=gutter + printable(masked[: 2 * _WINDOW]),
            hint=f"correct line {line} of {path}",
        )
    # A window around the column: what is wrong must be visible in a line of any length.
    first = max(0, column - 1 - _WINDOW)
    # A control character must not reach the terminal, and must not shift the caret.
    window = "".join(
        char if char.isprintable() else " " if char == "\t" else "\ufffd"
        for char in quoted[first : first + 2 * _WINDOW]
    )
    return ConfigInvalid(
        f"{path.name}:{line}:{column}: not valid TOML: {found[1]}",
        detail=f"{gutter}{window}\n{' ' * (len(gutter) + column - 1 - first)}^",
        hint=f"correct line {line} of {path}",
    )
