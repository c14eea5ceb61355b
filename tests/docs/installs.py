"""``pip install`` in the documentation: not run, but what it names has to be installed."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, metadata
from itertools import pairwise

from packaging.requirements import InvalidRequirement, Requirement

__all__ = ["Wrong", "without_installs"]

_INSTALL = re.compile(r"^\s*(?:python -m )?pip install\s+(?P<words>.*?)\s*(?:&&(?P<rest>.*))?$")
_WITH_VALUE = {"-r", "-c", "-i", "-f", "--index-url", "--find-links", "--extra-index-url"}


class Wrong(Exception):
    """The documentation says what is not so."""


def without_installs(script: str) -> tuple[str, bool]:
    """What is left to run, and whether that belongs into a checkout of this repository.

    Raises:
        Wrong: A distribution is named that is not installed, or has no such extra.
    """
    lines, in_checkout = [], False
    for line in script.replace("\\\n", " ").splitlines():
        found = _INSTALL.match(line)
        if found is None:
            lines.append(line)
            continue
        words = shlex.split(found["words"], comments=True)
        in_checkout |= any(
            first == "-e" and second.startswith(".") for first, second in pairwise(words)
        )
        for name in _named(words):
            _check(name)
        lines.append(found["rest"] or "")
    return "\n".join(lines), in_checkout


def _named(words: list[str]) -> list[str]:
    """The distributions, without options and their values, and without paths."""
    found = []
    expected = False
    for word in words:
        if expected or word.startswith("-"):
            expected = word in _WITH_VALUE
        elif not word.startswith((".", "/")):
            found.append(word)
    return found


def _check(words: str) -> None:
    try:
        wanted = Requirement(words)
        there = metadata(wanted.name)
    except InvalidRequirement as error:
        raise Wrong(f"pip install {words}: {error}") from None
    except PackageNotFoundError:
        raise Wrong(f"{words} is not installed: add it to the extra dev") from None
    if not wanted.specifier.contains(there["Version"], prereleases=True):
        raise Wrong(f"{words} is wanted, {there['Version']} is installed")
    extras = {one.lower() for one in there.get_all("Provides-Extra") or ()}
    if lacking := {one.lower() for one in wanted.extras} - extras:
        raise Wrong(f"{wanted.name} has no extra {', '.join(lacking)}")
