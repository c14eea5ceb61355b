"""Patterns of rules, fast over long logs.

Nearly every line of a log fits none of some hundred patterns. Nearly every pattern contains words
without which it cannot fit, and to look for a word takes a fraction of the time of a regular
expression that ignores case; compiling waits until the first line with the word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

__all__ = ["Text", "needles"]

_FLAGS: Final = re.IGNORECASE | re.MULTILINE
_SHORTEST: Final = 3


class Text:
    """One pattern, searched without regard to case and over several lines."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def search(self, text: str, lowered: str) -> re.Match[str] | None:
        """The first match.

        Args:
            text: To look through.
            lowered: The same in lower case; whoever asks many patterns makes it once.
        """
        return self._compiled.search(text) if self.may_fit(lowered) else None

    def may_fit(self, lowered: str) -> bool:
        """Whether the words are there without which it cannot fit."""
        return not self._needles or any(needle in lowered for needle in self._needles)

    @cached_property
    def _needles(self) -> frozenset[str]:
        return needles(self.pattern)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, _FLAGS)


def needles(pattern: str) -> frozenset[str]:
    """Texts in lower case, one of which is in everything that the pattern fits.

    Empty if there are none, or if this Python does not show how it understands patterns.
    """
    try:
        # What sre_parse was until 3.11: https://docs.python.org/3/whatsnew/3.11.html#deprecated
        from re import _parser  # type: ignore[attr-defined]
    except ImportError:
        return frozenset()
    return _needed(_parser.parse(pattern, _FLAGS))


def _needed(parsed: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    best: frozenset[str] = frozenset()
    run = ""
    for operation, argument in parsed:
        kind = str(operation)
        if kind == "LITERAL":
            run += chr(argument).lower()
            continue
        best, run = _better(best, frozenset([run])), ""
        best = _better(best, _within(kind, argument))
    return _better(best, frozenset([run]))


def _within(kind: str, argument: Any) -> frozenset[str]:
    if kind == "SUBPATTERN":
        return _needed(argument[3])
    if kind == "BRANCH":
        each = [_needed(branch) for branch in argument[1]]
        return frozenset().union(*each) if all(each) else frozenset()
    if kind in ("MAX_REPEAT", "MIN_REPEAT") and argument[0] >= 1:
        return _needed(argument[2])
    if kind == "ASSERT":
        return _needed(argument[1])
    return frozenset()


def _better(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """The set whose shortest text is longer; too short ones say nothing."""
    shortest = min((len(text) for text in other), default=0)
    if shortest < _SHORTEST or shortest <= min((len(text) for text in one), default=0):
        return one
    return other
