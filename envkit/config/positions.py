"""On which line each key of a TOML text stands, which tomllib does not keep.

The text is known to be valid. So it is enough to tell strings and comments from the rest, and to
follow keys and brackets.
"""

from __future__ import annotations

import re
from typing import Final, cast

from envkit.config.wording import KeyPath

__all__ = ["key_lines"]

_PART: Final = r"""(?: [^\s\[\]{}=,."'\#]+ | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )"""
_KEY: Final = rf"{_PART} (?:[ \t]*\.[ \t]*{_PART})*"
_HEADER: Final = rf"^[ \t]* \[\[? [ \t]* (?P<header>{_KEY}) [ \t]* \]\]? |"
_TOKEN: Final = rf"""
      (?P<key> {_KEY} ) [ \t]* =
    | (?P<blank> (?: \s+ | \#[^\n]* )+ )
    | (?P<mark> [\[\]{{}},] )
    | (?P<scalar> "{{3}} (?:\\.|[^\\])*? "{{3,5}} | '{{3}} .*? '{{3,5}} | {_PART} | \. )
    """


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every key, table and list item; the first place wins."""
    flags = re.VERBOSE | re.DOTALL | re.MULTILINE
    inside = re.compile(_TOKEN, flags)
    outside = re.compile(_HEADER + _TOKEN, flags)  # in a list, a list of strings looks like one
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    here: KeyPath = ()
    enclosing: list[KeyPath] = []  # of a list, its current item; of an inline table, its key
    at, line = 0, 1
    while found := (inside if enclosing else outside).match(text, at):
        kind, lexeme, at = cast("str", found.lastgroup), found[0], found.end()
        if kind == "header":
            here = table = _parts(found["header"])
        elif kind == "key":
            here = (enclosing[-1] if enclosing else table) + _parts(found["key"])
        elif lexeme in ("]", "}"):
            here = enclosing.pop()[:-1] if lexeme == "]" else enclosing.pop()
        elif lexeme == "," and _in_list(enclosing):
            *outer, index = enclosing[-1]
            enclosing[-1] = (*outer, cast("int", index) + 1)
        elif kind != "blank" and lexeme != ",":
            if _in_list(enclosing):
                here = enclosing[-1]
        if kind != "blank":
            for length in range(1, len(here) + 1):
                lines.setdefault(here[:length], line)
        if lexeme in ("[", "{"):
            enclosing.append((*here, 0) if lexeme == "[" else here)
        line += lexeme.count("\n")
    return lines


def _in_list(enclosing: list[KeyPath]) -> bool:
    return bool(enclosing) and isinstance(enclosing[-1][-1], int)
