"""What came of a category, and which exit code all of them make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from envkit.doctor.model import Finding

__all__ = ["Outcome", "Result", "exit_code"]

Outcome = Literal["passed", "failed", "empty", "blocked", "error", "not-checked"]

_PROBLEM: Final = 1
_UNKNOWN: Final = 3
_NO_TESTS: Final = 5


class Result(Struct, frozen=True, kw_only=True):
    """What came of one category.

    Attributes:
        selected: Tests; None if nobody knows.
        deselected: Tests that were found and not selected; None likewise.
        counts: Of tests by what pytest calls their outcome, without those that are 0.
        seconds: That pytest took; 0 if it was not run.
        cause: Why it is not simply passed, or what else is to be said; one line.
        finding: Of the doctor, if it knows the cause.
        command: To be typed next; empty where no command helps.
        origin: The category whose fault it is, where it is another's.
        counts_as_problem: Whether it is empty and was to have tests.
        junit: Where pytest's own report is, if it wrote one.
    """

    name: str
    outcome: Outcome
    selected: int | None = None
    deselected: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cause: str = ""
    finding: Finding | None = None
    command: str = ""
    origin: str = ""
    counts_as_problem: bool = False
    junit: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether what comes after it may run."""
        return self.outcome in ("passed", "empty") and not self.counts_as_problem


def exit_code(
    results: Sequence[Result], asked: Collection[str], allowed_empty: Collection[str]
) -> int:
    """1 failed or blocked, else 3 error or not-checked, 5 all that was asked for is empty, else 0.

    Args:
        results: Of all categories, prerequisites included.
        asked: Names of those that somebody asked for.
        allowed_empty: Names of those that may be empty.
    """
    outcomes = {one.outcome for one in results}
    if outcomes & {"failed", "blocked"}:
        return _PROBLEM
    if outcomes & {"error", "not-checked"}:
        return _UNKNOWN
    wanted = [one for one in results if one.name in asked]
    if all(one.outcome == "empty" for one in wanted) and not all(
        one.name in allowed_empty for one in wanted
    ):
        return _NO_TESTS
    return _PROBLEM if any(one.counts_as_problem for one in results) else 0
