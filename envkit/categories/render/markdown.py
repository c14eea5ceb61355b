"""The results as Markdown, for the summary of a step of GitHub Actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from envkit.categories.render.words import headlines, tests, verdict
from envkit.categories.result import Outcome, Result
from envkit.doctor.render.github import fenced, plain
from envkit.doctor.render.words import line

__all__ = ["render"]

_SIGNS: Final[dict[Outcome, str]] = {
    "passed": "✅",
    "failed": "❌",
    "empty": "⏭️",
    "blocked": "⛔",
    "error": "❌",
    "not-checked": "❔",
}


def render(results: Sequence[Result], code: int) -> str:
    """A heading, what is wrong with what to type, and a table.

    Args:
        results: Of all categories.
        code: The exit code.
    """
    sign = {0: "✅", 3: "❔", 5: "⏭️"}.get(code, "❌")
    parts = [f"## {sign} envkit test: {verdict(results)}"]
    for result, what, command in headlines(results):
        parts.append(plain(what))
        # Where no command helps, it is words.
        if result.finding is not None and result.command == result.finding.fix.text:
            parts.append(f"→ {plain(command)}")
        elif command:
            parts.append(fenced(command, "sh"))
    rows = ["| | Category | Outcome | Tests | Time | |", "|---|---|---|---|---|---|"]
    for one in results:
        took = f"{one.seconds:.1f} s" if one.seconds else ""
        cells = (one.name, one.outcome, tests(one), took, line(one.cause))
        rows.append(f"| {_SIGNS[one.outcome]} | " + " | ".join(map(plain, cells)) + " |")
    return "\n\n".join([*parts, "\n".join(rows)]) + "\n"
