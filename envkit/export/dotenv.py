"""A ``.env`` file, as python-dotenv reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from . import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["render"]

_PLAIN: Final = r"[A-Za-z0-9_.:/@%+,-]+"
_ESCAPES: Final = {
    "\\": r"\\",
    '"': r"\"",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\f": r"\f",
    "\a": r"\a",
    "\b": r"\b",
}


def render(variables: Mapping[str, str]) -> str:
    """One ``NAME=value`` for each variable, quoted where it has to be.

    Values come back exactly through python-dotenv with its default interpolation. Most files also
    read the same in a shell and in Docker Compose; a value with ``${`` in it does not.

    Raises:
        UsageError: A name or value that no environment can hold.
    """
    lines = (f"{name}={_quoted(value)}\n" for name, value in checked(variables).items())
    return "".join(lines)


def _quoted(value: str) -> str:
    if value == "" or re.fullmatch(_PLAIN, value):
        return value
    # python-dotenv expands ${…} whatever the quotes and knows no escape for it. What stays literal
    # is the default of a variable that cannot exist, because its name is empty.
    value = value.replace("${", "${:-$}{")
    if any(char in value for char in "\n\r\t\v\f\a\b"):
        # Escaped, because reading a file turns every kind of line end into one.
        return f'"{"".join(_ESCAPES.get(char, char) for char in value)}"'
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
