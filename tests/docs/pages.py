"""Pages of the documentation: their blocks of code, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec import Struct

__all__ = ["ROOT", "Block", "anchors", "blocks", "links", "pages"]

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r'(?P<language>\S*)(?: +title="(?P<title>[^"]+)")?')
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")
_MARKDOWN = MarkdownIt("commonmark").enable("table")


class Block(Struct, frozen=True, kw_only=True):
    """A fenced block.

    Attributes:
        language: The first word after the fence.
        title: The file that it is, or empty.
        text: What is between the fences.
        first: Line of the opening fence, counted from 1.
        last: Line of the closing fence.
        reason: Why it is not run; empty if it is.
    """

    language: str
    title: str
    text: str
    first: int
    last: int
    reason: str


def pages(root: Path = ROOT) -> list[Path]:
    """README.md and what is in docs, except for the reference, which is made from the code."""
    found = sorted((root / "docs").rglob("*.md"))
    return [root / "README.md", *(p for p in found if "reference" not in p.parts)]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in their order.

    Raises:
        ValueError: A fence says something that nobody would heed.
    """
    lines = text.splitlines()
    found = []
    for token in _MARKDOWN.parse(text):
        if token.type != "fence" or token.map is None:
            continue
        first, end = token.map
        fence = _FENCE.fullmatch(token.info.strip())
        if fence is None:
            raise ValueError(f"line {first + 1}: what does {token.info!r} mean?")
        comment = _NOT_RUN.fullmatch(lines[first - 1].strip()) if first else None
        found.append(
            Block(
                language=fence["language"],
                title=fence["title"] or "",
                text=token.content,
                first=first + 1,
                last=end,
                reason=comment["reason"] if comment else "",
            )
        )
    return found


def links(text: str) -> Iterator[tuple[int, str]]:
    """Where a page leads to, with the line of the paragraph."""
    for token in _MARKDOWN.parse(text):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target is not None:
                yield (token.map or [0])[0] + 1, str(target)


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page.

    Source: https://docs.github.com/en/get-started/writing-on-github (section links): lower case,
    punctuation gone, hyphens for spaces, and a number if there is one of that name already.
    """
    found: set[str] = set()
    tokens = _MARKDOWN.parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        plain = re.sub(r"[^\w\- ]", "", _words(inline).lower()).replace(" ", "-")
        name, number = plain, 0
        while name in found:
            number += 1
            name = f"{plain}-{number}"
        found.add(name)
    return found


def _words(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())
