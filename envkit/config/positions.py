"""On which line each key of a TOML text stands, which tomllib does not keep.

The text is known to be valid, so it is enough to follow keys, brackets and strings.
"""

from __future__ import annotations

import re
from typing import Final

from envkit.config.wording import KeyPath

__all__ = ["key_lines"]

# Compiled (and kept) by re when first needed: a project without configuration needs none.
_PART: Final = r"""(?: [^\s\[\]{}=,."'\#]+ | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )"""
_KEY: Final = rf"{_PART} (?: [ \t]*\.[ \t]* {_PART} )*"
_HEADER: Final = rf"^[ \t]* \[\[?[ \t]* (?P<header> {_KEY} ) [ \t]*\]\]?"
_TOKEN: Final = rf"""
      (?P<key> {_KEY} ) [ \t]* =
    | (?P<blank> \n | [^\S\n]+ | \#[^\n]* )
    | (?P<end> [\]}}] )
    | (?P<comma> , )
    | (?P<value> [\[{{] | "{{3}} (?:\\.|[^\\])*? "{{3,5}} | '{{3}} .*? '{{3,5}}
               | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | [^\s\[\]{{}}=,"'\#]+ )
    """


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table, key and list item; the first place wins."""
    flags = re.VERBOSE | re.DOTALL | re.MULTILINE
    inside = re.compile(_TOKEN, flags)
    # Within a list, another list looks just like a header.
    outside = re.compile(f"{_HEADER} | {_TOKEN}", flags)
    lines: dict[KeyPath, int] = {}
    at, line = 0, 1
    table: KeyPath = ()
    path: KeyPath = ()
    brackets: list[tuple[KeyPath, int | None]] = []  # with the number of the item, in a list
    while found := (inside if brackets else outside).match(text, at):
        at, lexeme = found.end(), found[0]
        holder, item = brackets[-1] if brackets else (table, None)
        match found.lastgroup:
            case "header":
                path = table = _parts(found["header"])
            case "key":
                path = holder + _parts(found["key"])
            case "comma" if item is not None:
                brackets[-1] = (holder, item + 1)
            case "end":
                brackets.pop()
            case "value":
                path = path if item is None else (*holder, item)
                if lexeme in ("[", "{"):
                    brackets.append((path, 0 if lexeme == "[" else None))
        for length in range(len(path), 0, -1):
            lines.setdefault(path[:length], line)
        line += lexeme.count("\n")
    return lines


def _parts(key: str) -> KeyPath:
    import tomllib

    return tuple(
        str(tomllib.loads(f"k = {part}")["k"]) if part[0] in "\"'" else part
        for part in re.findall(_PART, key, re.VERBOSE)
    )
