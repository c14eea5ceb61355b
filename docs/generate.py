"""Writes the reference, ``docs/reference/*.md``, from what the code says of itself.

``python docs/generate.py`` writes; ``python docs/generate.py --check`` writes nothing, shows what
is not as it would be written, and ends with 1 if anything is not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Final

# Started as a program, this directory stands where the repository has to be.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from docs.generator import commands, configuration, environment, findings, fixtures, python

__all__ = ["DIRECTORY", "pages"]

DIRECTORY: Final = Path(__file__).resolve().parent / "reference"
_PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "commands.md": commands.page,
    "configuration.md": configuration.page,
    "environment.md": environment.page,
    "fixtures.md": fixtures.page,
    "python.md": python.page,
    "findings.md": findings.page,
}


def pages() -> dict[str, str]:
    """File name to text, as the code says it now."""
    return {name: make() for name, make in _PAGES.items()}


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/reference from the code.")
    parser.add_argument("--check", action="store_true", help="show what differs; write nothing")
    check = parser.parse_args().check
    differing = [name for name, text in pages().items() if not _same(name, text, check=check)]
    if check and differing:
        print(f"\nnot as the code says: {', '.join(differing)}\n→ python docs/generate.py")
    return int(check and bool(differing))


def _same(name: str, wanted: str, *, check: bool) -> bool:
    path = DIRECTORY / name
    found = path.read_text("utf-8") if path.exists() else ""
    if found == wanted:
        return True
    if check:
        lines = unified_diff(found.splitlines(), wanted.splitlines(), name, "now", lineterm="")
        print("\n".join(lines))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted, "utf-8")
        print(f"written: {path}")
    return False


if __name__ == "__main__":
    sys.exit(main())
