"""What all renderers say alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

from envkit.categories.result import Outcome, Result
from envkit.doctor.model import CheckStatus, Finding, Report
from envkit.doctor.render.words import clean, line

__all__ = ["STATUSES", "cleaned", "headlines", "tests", "verdict"]

#: As the doctor draws them.
STATUSES: Final[dict[Outcome, CheckStatus]] = {
    "passed": "pass",
    "failed": "fail",
    "empty": "skipped",
    "blocked": "fail",
    "error": "fail",
    "not-checked": "not-checked",
}
_WORST_FIRST: Final[tuple[Outcome, ...]] = (
    "blocked",
    "failed",
    "error",
    "not-checked",
    "empty",
    "passed",
)
assert set(_WORST_FIRST) == set(get_args(Outcome))


def cleaned(finding: Finding) -> Finding:
    """The finding with all of its text as it may be shown."""
    return clean(Report(status="problems", findings=(finding,))).findings[0]


def tests(result: Result) -> str:
    """What became of its tests: ``3 passed, 1 skipped``; empty if none ran."""
    parts = [f"{number} {name}" for name, number in result.counts.items()]
    if parts and result.deselected:
        parts.append(f"{result.deselected} deselected")
    return ", ".join(parts)


def headlines(results: Sequence[Result]) -> list[tuple[Result, str, str]]:
    """Each thing that is not fine: whose it is, what it is, and what to type (or do).

    A category that waits for another one is told of in that one's line. What blocks comes first.
    """
    told: list[tuple[Result, str, str]] = []
    for result in results:
        if result.is_fine or result.origin:
            continue
        waiting = [one.name for one in results if one.origin == result.name]
        if result.outcome == "not-checked" and not result.command and not waiting:
            continue  # nobody came to it, which another line explains
        words = {"error": "did not run to its end", "not-checked": "not checked"}
        what = f"{result.name} {words.get(result.outcome, result.outcome)}"
        if result.finding is not None:
            finding = cleaned(result.finding)
            service = f" {finding.service}" if finding.service else ""
            cause = f"{finding.title} [{finding.slug}]{service}"
        else:
            cause = result.cause
        blocks = f" (so {', '.join(waiting)} did not run)" if waiting else ""
        told.append((result, line(f"{what}: {cause}{blocks}"), line(result.command)))
    return sorted(told, key=lambda one: _WORST_FIRST.index(one[0].outcome))


def verdict(results: Sequence[Result]) -> str:
    """How many categories of each outcome, the worst first."""
    numbers = Counter(one.outcome for one in results)
    return ", ".join(f"{numbers[one]} {one}" for one in _WORST_FIRST if numbers[one])
