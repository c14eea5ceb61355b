"""Docstrings in Google's style, taken apart."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from docs.generator.markdown import block, bullet, code, prose

__all__ = ["Documentation", "parse", "rendered"]

#: Titles in docstrings to titles on pages.
_SECTIONS: Final = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Raises": "Raises",
    "Yields": "Yields",
}
_TITLE: Final = re.compile(rf"^({'|'.join(_SECTIONS)}):\n", re.M)


@dataclass(frozen=True, kw_only=True)
class Documentation:
    """What a docstring says.

    Attributes:
        paragraphs: Prose, and blocks of literal text, which are indented.
        sections: By title: names with their texts; a text without a name has an empty one.
    """

    paragraphs: Sequence[str]
    sections: dict[str, list[tuple[str, str]]]


def parse(thing: object) -> Documentation:
    """Take the docstring of something apart; it may have none."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    head, *rest = _TITLE.split(text)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return Documentation(
        paragraphs=[part for part in re.split(r"\n\s*\n", head.strip("\n")) if part],
        sections={title: _entries(body) for title, body in pairs},
    )


def rendered(thing: object) -> list[str]:
    """The docstring of something as parts of a page."""
    found = parse(thing)
    parts = [_paragraph(text) for text in found.paragraphs]
    for title, entries in found.sections.items():
        parts.append(f"**{_SECTIONS[title]}**")
        parts.append("\n".join(_entry(name, text) for name, text in entries))
    return parts


def _entries(body: str) -> list[tuple[str, str]]:
    lines = inspect.cleandoc(f"\n{body}")
    found = re.findall(r"^(?:([\w., *]+): )?(\S(?:.*\n?(?:^[ ]+.*\n?|^\n)*))", lines, re.M)
    return [(name, " ".join(text.split())) for name, text in found]


def _paragraph(text: str) -> str:
    if text.startswith("    "):
        return block(inspect.cleandoc(f"\n{text}"))
    return prose(_markdown(re.sub(r"::$", ":", text)))


def _entry(name: str, text: str) -> str:
    names = ", ".join(code(one.strip()) for one in name.split(",")) if name else ""
    return bullet(f"{names}: {_markdown(text)}" if names else _markdown(text))


def _markdown(text: str) -> str:
    """Literals as Markdown has them."""
    return text.replace("``", "`")
