"""Lines of text, wrapped to a width and styled."""

from __future__ import annotations

import textwrap
from typing import Any, Final

import click

from envkit.doctor.model import CheckStatus

__all__ = ["Page"]

_NARROWEST: Final = 20
_SIGNS: Final[dict[CheckStatus, tuple[str, str, str]]] = {
    "pass": ("✓", "[ok]", "green"),
    "warn": ("!", "[!]", "yellow"),
    "fail": ("✗", "[x]", "red"),
    "skipped": ("-", "[-]", "bright_black"),
    "not-checked": ("?", "[?]", "magenta"),
}


class Page:
    """Takes what is to be said, piece by piece.

    Args:
        width: Columns.
        styled: With colours.
        ascii_only: Other characters are escaped.
    """

    def __init__(self, *, width: int, styled: bool, ascii_only: bool) -> None:
        self._width = max(width, _NARROWEST)
        self._styled = styled
        self._ascii = ascii_only
        self._lines: list[str] = []

    @property
    def arrow(self) -> str:
        return "->" if self._ascii else "→"

    def sign(self, status: CheckStatus) -> str:
        sign, plain, colour = _SIGNS[status]
        return self._style(f"{plain:<4}" if self._ascii else sign, fg=colour)

    def gap(self) -> None:
        """An empty line, but not at the top."""
        if self._lines:
            self._lines.append("")

    def put(
        self, text: str, *, lead: str = "", tail: str = "", wrap: bool = True, **style: Any
    ) -> None:
        """Add a text whose further lines stand below the beginning of its first.

        Args:
            text: Of one or more lines.
            lead: Before it, as it is.
            tail: After it, dimmed.
            wrap: Whether lines that are too long are broken, between words.
            style: Of the text, for `click.style`.
        """
        indent = len(click.unstyle(lead))
        room = self._width - indent
        lines = self._wrapped(text, room) if wrap else self._escaped(text).split("\n")
        styled = [self._style(line, **style) for line in lines]
        if tail and len(lines[-1]) + 1 + len(self._escaped(tail)) <= room:
            styled[-1] += " " + self._style(self._escaped(tail), dim=True)
        elif tail:
            styled += [self._style(line, dim=True) for line in self._wrapped(tail, room)]
        for number, line in enumerate(styled):
            self._lines.append(f"{' ' * indent if number else lead}{line}".rstrip())

    def row(self, lead: str, name: str, text: str, column: int) -> None:
        """Add a name and, in a column of its own where there is room, what is said of it.

        Args:
            lead: Before it, as it is.
            name: Never broken.
            text: May be empty.
            column: Width of the column that the name is in.
        """
        indent = len(click.unstyle(lead))
        room = self._width - indent - column - 2
        words = self._escaped(text).split()
        if words and max(self._width // 3, *map(len, words)) <= room:
            self.put(text, lead=f"{lead}{self._escaped(name):<{column}}  ")
            return
        self.put(name, lead=lead)
        if text:
            self.put(text, lead=" " * (indent + 2))

    def whole(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _wrapped(self, text: str, room: int) -> list[str]:
        lines: list[str] = []
        for line in self._escaped(text).split("\n"):
            depth = " " * min(len(line) - len(line.lstrip()), room // 3)
            lines += textwrap.wrap(
                line.strip(),
                max(room, 1),
                initial_indent=depth,
                subsequent_indent=depth,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [""]
        return lines

    def _escaped(self, text: str) -> str:
        if not self._ascii:
            return text
        return text.replace("…", "...").encode("ascii", "backslashreplace").decode()

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._styled and style and text else text
