"""How names and values appear in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

__all__ = ["KeyPath", "dotted", "nearest", "quoted", "show", "type_of"]

KeyPath: TypeAlias = tuple[str | int, ...]

_SHOWN: Final = 60
_TYPES: Final[dict[type, str]] = {
    bool: "a boolean",
    str: "a string",
    int: "an integer",
    float: "a float",
    list: "a list",
    dict: "a table",
}


def show(value: object) -> str:
    """A value as TOML writes it, on one line and at most 60 characters long."""
    match value:
        case str():
            from envkit.redact import redacted

            value = redacted(value)  # before it is cut: half a secret is not found any more
            text = "".join(map(_escaped, value[:_SHOWN]))
            return f'"{text}"' if len(text) <= _SHOWN - 2 else f'"{text[: _SHOWN - 3]}…"'
        case bool():
            text = str(value).lower()
        case list():
            text = f"[{', '.join(map(show, value[:_SHOWN]))}]"
        case dict():
            pairs = (f"{key} = {show(item)}" for key, item in list(value.items())[:_SHOWN])
            text = f"{{ {', '.join(pairs)} }}" if value else "{}"
        case int() if value.bit_length() >= 512:
            text = hex(value)  # decimal digits of a huge integer are refused by Python itself
        case _:
            text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _escaped(char: str) -> str:
    import json

    return char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1]


def type_of(value: object) -> str:
    return _TYPES.get(type(value), "a date or time")


def quoted(name: str) -> str:
    return f"'{name}'" if re.fullmatch(r"[\w.-]{1,60}", name) else show(name)


def dotted(path: KeyPath) -> str:
    """``tool.envkit.services[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if re.fullmatch(r"[\w-]+", part, re.A) else show(part))
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most probably meant, if any comes close."""
    import difflib

    folded = {candidate.lower(): candidate for candidate in known}
    found: Sequence[str] = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None
