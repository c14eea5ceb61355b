"""No block of the documentation is left out without a word, and every link leads somewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT, anchors, blocks, links, pages
from tests.docs.running import EXECUTED

PAGES = [str(page.relative_to(ROOT)) for page in pages()]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    left = [
        f"{page}:{block.first}: {block.language or 'no language'}"
        for block in blocks((ROOT / page).read_text())
        if not (block.reason or block.title or block.language in {*EXECUTED, "text"})
    ]
    assert left == []


@pytest.mark.parametrize("page", PAGES)
def test_files_of_a_page_are_used_by_its_commands(page: str) -> None:
    found = [block for block in blocks((ROOT / page).read_text()) if not block.reason]
    files = [block.first for block in found if block.title and block.language != "yaml"]
    commands = [b.first for b in found if not b.title and b.language in {"sh", "console"}]
    assert not files or (commands and commands[-1] > files[-1])


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    dangling = []
    for line, target in links((ROOT / page).read_text()):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        there = (ROOT / page).parent / unquote(parts.path) if parts.path else ROOT / page
        if not _leads(there, parts.fragment):
            dangling.append(f"{page}:{line}: {target}")
    assert dangling == []


def _leads(there: Path, fragment: str) -> bool:
    if not there.resolve().is_relative_to(ROOT) or not there.exists():
        return False
    return not fragment or (there.is_file() and fragment in anchors(there.read_text()))
