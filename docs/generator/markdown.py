"""Text as Markdown: prose, lists, tables, blocks."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["block", "bullet", "code", "document", "prose", "table"]

_WIDTH: Final = 100
_CODE: Final = re.compile(r"(``.+?``|`[^`]+`)")
_SPACE: Final = "\x00"  # in code, where no line may end


def document(title: str, parts: Iterable[str]) -> str:
    """A page: the parts with an empty line between, those that are empty left out."""
    note = "<!-- Made by `python docs/generate.py`: change what it is made from, not this file. -->"
    return "\n\n".join([note, f"# {title}", *filter(None, parts)]) + "\n"


def prose(text: str, lead: str = "", indent: str = "") -> str:
    """A paragraph, wrapped.

    Args:
        text: Plain, but for code in backticks.
        lead: Markdown that goes before it on the first line.
        indent: Of all further lines.
    """
    words = _unbreakable(f"{lead}{_escaped(' '.join(text.split()))}")
    lines = textwrap.wrap(
        words,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    first, *others = lines or [""]
    return "\n".join([first, *map(_no_list, others)]).replace(_SPACE, " ")


def bullet(text: str, label: str = "") -> str:
    """An entry of a list, after a label in bold if there is one."""
    return prose(text, lead=f"- **{label}:** " if label else "- ", indent="  ")


def code(text: str) -> str:
    """Text as code in a line."""
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{text}{ticks}"


def block(text: str) -> str:
    """Usage text and output, which nobody runs."""
    return f"```text\n{text.rstrip()}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text with code in backticks."""
    cells = [[_escaped(cell).replace("|", r"\|") for cell in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Prose in which nothing but code in backticks and links means something to Markdown."""
    parts = _CODE.split(text)
    return "".join(part if n % 2 else _plain(part) for n, part in enumerate(parts))


def _plain(text: str) -> str:
    text = re.sub(r"[\\*<]", r"\\\g<0>", text)
    # Within a word it means nothing.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _unbreakable(text: str) -> str:
    return _CODE.sub(lambda found: found[0].replace(" ", _SPACE), text)


def _no_list(line: str) -> str:
    """A line that goes on, and must not be taken for the first of something else."""
    return re.sub(r"^(\s*)([-+#>]|\d+(?=[.)]))(?=\s|[.)]\s)", r"\1\\\2", line)
