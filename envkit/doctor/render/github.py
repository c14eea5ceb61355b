"""For GitHub Actions: annotations, and a summary of the step in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from envkit.doctor.model import CheckStatus, Finding, Report, Severity
from envkit.doctor.render.words import (
    cause,
    clean,
    consequences,
    fix,
    grouped,
    label,
    place,
    verdict,
    worst,
)

__all__ = ["fenced", "plain", "render", "summary"]

_LEVELS: Final[dict[Severity, str]] = {"error": "error", "warning": "warning", "info": "notice"}
_SIGNS: Final[dict[CheckStatus, str]] = {
    "pass": "✅",
    "warn": "⚠️",
    "fail": "❌",
    "skipped": "⏭️",
    "not-checked": "❔",
}
# Wherever they stand; and what begins a list or heading at the beginning of a paragraph.
_MARKDOWN: Final = re.compile(r"[\\`*_\[\]|~$]|^(?:[#+=-]|(?<!\d)\d{1,9}(?=[.)]))")


def render(report: Report) -> str:
    """The report as workflow commands, and the verdict as plain text.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    report = clean(report)
    return "".join(
        f"{line}\n" for line in (*_commands(report), f"envkit doctor: {verdict(report)}")
    )


def _commands(report: Report) -> Iterator[str]:
    for finding in report.findings:
        options = {"title": f"{finding.title} [{finding.slug}]"}
        if where := place(finding):
            options |= {"file": where.file, "line": str(where.line)}
        yield _command(_LEVELS[worst(finding)], "\n".join(_paragraphs(finding)), options)
    unchecked = [check for check in report.checks if check.status == "not-checked"]
    for check in unchecked:
        options = {"title": f"{check.name}: not checked"}
        yield _command("warning", check.detail or "not checked", options)
    if report.status == "incomplete" and not unchecked:
        yield _command("warning", verdict(report), {"title": "envkit doctor"})


def _paragraphs(finding: Finding) -> Iterator[str]:
    if finding.evidence:
        yield finding.evidence
    yield from filter(None, (cause(finding), fix(finding)))
    if finding.fix.command:
        yield f"→ {finding.fix.command}"
    for one in consequences(finding):
        yield f"explains: {one.title} {label(one)}"


def _command(level: str, text: str, options: dict[str, str]) -> str:
    told = ",".join(f"{name}={_property(value)}" for name, value in options.items())
    return f"::{level} {told}::{_data(text)}"


def _data(text: str) -> str:
    # actions/toolkit, packages/core/src/command.ts: escapeData, escapeProperty
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary(report: Report) -> str:
    """The report as Markdown, to be appended to ``$GITHUB_STEP_SUMMARY`` by the caller."""
    report = clean(report)
    sign = {"ok": "✅", "problems": "❌", "incomplete": "❔"}[report.status]
    parts = [f"## {sign} envkit doctor: {verdict(report)}"]
    for number, finding in enumerate(report.findings, start=1):
        parts += _section(number, finding)
    if report.checks:
        rows = ["| | Check | |", "|---|---|---|"]
        for name, checks in grouped(report).items():
            rows += [
                f"| {_SIGNS[one.status]} | {plain(name)}: {plain(one.name)} | {plain(one.detail)} |"
                for one in checks
            ]
        parts.append("<details><summary>What was looked at</summary>")
        parts += ["\n".join(rows), "</details>"]
    return "\n\n".join(parts) + "\n"


def _section(number: int, finding: Finding) -> Iterator[str]:
    yield f"### {number}. {plain(finding.title)}"
    yield plain(label(finding))
    if finding.evidence:
        yield fenced(finding.evidence)
    yield from (plain(text) for text in (cause(finding), fix(finding)) if text)
    if finding.fix.command:
        yield fenced(finding.fix.command, "sh")
    further = consequences(finding)
    if further:
        yield "\n".join(
            ["Explains:", "", *(f"- {plain(f'{o.title} {label(o)}')}" for o in further)]
        )


def plain(text: str) -> str:
    """Text that Markdown takes as it is."""
    return _MARKDOWN.sub(_escaped, html.escape(text, quote=False))


def _escaped(match: re.Match[str]) -> str:
    return f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}"


def fenced(text: str, language: str = "text") -> str:
    """A block of code around a text that may have fences of its own."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
