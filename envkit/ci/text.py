"""Pieces of YAML, put together as text so that they can have comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import indent

import yaml

__all__ = ["block", "items", "lists", "mapping", "scalar"]


def scalar(text: str) -> str:
    """A string as a scalar of one line."""
    # Numbers and the like are other things in other versions of YAML, words are the same in all.
    if re.match(r"[A-Za-z/~$.]", text) and text.isprintable() and _read(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _read(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def block(text: str, depth: int) -> str:
    """Lines further to the right, by this many levels."""
    return indent(text, "  " * depth)


def mapping(pairs: Mapping[str, str], depth: int = 0) -> str:
    return block("".join(f"{name}: {scalar(text)}\n" for name, text in pairs.items()), depth)


def lists(pairs: Mapping[str, Sequence[str]], depth: int = 0) -> str:
    """Names with a list in one line each; strings all of them, as versions are no numbers."""
    return block("".join(f"{name}: {json.dumps(texts)}\n" for name, texts in pairs.items()), depth)


def items(texts: Iterable[str], depth: int = 0) -> str:
    return block("".join(f"- {scalar(text)}\n" for text in texts), depth)
