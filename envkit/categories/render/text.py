"""The summary for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from envkit.categories.render.words import STATUSES, headlines, tests, verdict
from envkit.categories.result import Result
from envkit.doctor.model import CheckStatus
from envkit.doctor.render.page import Page
from envkit.doctor.render.words import line

__all__ = ["render"]


def render(
    results: Sequence[Result],
    *,
    code: int,
    seconds: float,
    width: int,
    styled: bool,
    ascii_only: bool,
) -> str:
    """The results as lines of text: what is wrong and what to type, then a table, then the verdict.

    Args:
        results: Of all categories.
        code: The exit code, which the verdict's sign agrees with.
        seconds: That all of it took.
        width: Columns; lines with something to type are never broken.
        styled: With colours.
        ascii_only: With no other characters.
    """
    page = Page(width=width, styled=styled, ascii_only=ascii_only)
    for result, what, command in headlines(results):
        sign = page.sign(STATUSES[result.outcome])
        arrow = f" {page.arrow} {command}" if command else ""
        page.put(f"{what}{arrow}", lead=f"{sign} ", wrap=False, bold=True)
    page.gap()
    widest = max(len(one.name) for one in results)
    for one in results:
        took = f"{one.seconds:.1f} s" if one.seconds else ""
        name = f"{one.name:<{widest}}  {one.outcome:<11}  {took:>8}"
        said = "; ".join(filter(None, (tests(one), line(one.cause))))
        page.row(f"{page.sign(STATUSES[one.outcome])} ", name, said, len(name))
    page.gap()
    sign = page.sign(_status(code))
    page.put(f"{verdict(results)} ({seconds:.1f} s)", lead=f"{sign} ", bold=True)
    return page.whole()


def _status(code: int) -> CheckStatus:
    return {0: "pass", 3: "not-checked", 5: "skipped"}.get(code, "fail")  # type: ignore[return-value] # of the literals
