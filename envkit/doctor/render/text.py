"""For people at a terminal.

Styles are click's: importing it costs 25 ms and the command has it already, rich's console 65 ms
more (measured with ``python -X importtime``).
"""

from __future__ import annotations

import textwrap
from typing import Any, Final

import click

from envkit.doctor.model import Check, CheckStatus, Finding, Report, ReportStatus, Severity
from envkit.doctor.render.words import (
    cause,
    clean,
    every,
    grouped,
    verdict,
    worst,
    worst_status,
)

__all__ = ["render"]

_NARROWEST: Final = 20
_SIGNS: Final[dict[CheckStatus, tuple[str, str, str]]] = {
    "pass": ("✓", "ok", "green"),
    "warn": ("!", "!", "yellow"),
    "fail": ("✗", "x", "red"),
    "skipped": ("-", "-", "bright_black"),
    "not-checked": ("?", "?", "magenta"),
}
_OF_SEVERITY: Final[dict[Severity, CheckStatus]] = {
    "error": "fail",
    "warning": "warn",
    "info": "skipped",
}
_OF_REPORT: Final[dict[ReportStatus, CheckStatus]] = {
    "ok": "pass",
    "problems": "fail",
    "incomplete": "not-checked",
}


def render(
    report: Report,
    *,
    width: int,
    styled: bool,
    ascii_only: bool,
    verbose: bool,
    seconds: float,
) -> str:
    """The report as lines of text.

    Args:
        report: What was found.
        width: Columns; commands are never broken, so that they can be copied.
        styled: With colours.
        ascii_only: With no other characters.
        verbose: With every check, and the duration of each.
        seconds: That all of it took.
    """
    page = _Page(max(width, _NARROWEST), styled, ascii_only)
    report = clean(report)
    groups = grouped(report)
    for name, checks in groups.items():
        _group(page, name, checks, max(map(len, groups)), verbose)
    for number, finding in enumerate(report.findings, start=1):
        page.gap()
        _finding(page, number, finding)
    page.gap()
    page.put(
        f"{verdict(report)} ({seconds:.1f} s)",
        lead=f"{page.sign(_OF_REPORT[report.status])} ",
        bold=True,
    )
    return page.whole()


class _Page:
    """Lines, wrapped and styled."""

    def __init__(self, width: int, styled: bool, ascii_only: bool) -> None:
        self._width = width
        self._styled = styled
        self._ascii = ascii_only
        self._lines: list[str] = []

    def sign(self, status: CheckStatus) -> str:
        sign, plain, colour = _SIGNS[status]
        return self._style(f"{f'[{plain}]':<4}" if self._ascii else sign, fg=colour)

    @property
    def arrow(self) -> str:
        return "->" if self._ascii else "→"

    def gap(self) -> None:
        if self._lines:
            self._lines.append("")

    def put(self, text: str, *, lead: str = "", wrap: bool = True, **style: Any) -> None:
        """Add a text whose further lines stand below its first."""
        indent = len(click.unstyle(lead))
        for number, line in enumerate(self._wrapped(text, self._width - indent, wrap)):
            start = " " * indent if number else lead
            self._lines.append(f"{start}{self._style(line, **style)}".rstrip())

    def whole(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _wrapped(self, text: str, width: int, wrap: bool) -> list[str]:
        if self._ascii:
            text = text.encode("ascii", "backslashreplace").decode()
        lines: list[str] = []
        for line in text.split("\n"):
            if not wrap:
                lines.append(line)
                continue
            depth = min(len(line) - len(line.lstrip()), width // 3)
            lines += textwrap.wrap(
                line.strip(),
                max(width, 1),
                initial_indent=" " * depth,
                subsequent_indent=" " * depth,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [""]
        return lines

    def _style(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._styled and style and text else text


def _group(page: _Page, name: str, checks: list[Check], longest: int, verbose: bool) -> None:
    status = worst_status(checks)
    shown = [check for check in checks if verbose or check.status not in ("pass", "skipped")]
    said = ""
    if not shown and status == "skipped":
        said = "; ".join(dict.fromkeys(check.detail for check in checks if check.detail))
    elif not shown:
        said = ", ".join(check.name for check in checks if check.status == "pass")
    page.put(f"{name:<{longest}}  {said}".rstrip(), lead=f"{page.sign(status)} ")
    widest = max((len(check.name) for check in shown), default=0)
    for check in shown:
        took = f"  ({check.ms:.0f} ms)" if verbose else ""
        page.put(
            f"{check.name:<{widest}}  {check.detail}{took}".rstrip(),
            lead=f"    {page.sign(check.status)} ",
        )


def _finding(page: _Page, number: int, finding: Finding) -> None:
    where = f" {finding.service}" if finding.service else ""
    page.put(
        f"{finding.title} [{finding.slug}]{where}",
        lead=f"{page.sign(_OF_SEVERITY[worst(finding)])} {number}. ",
        bold=True,
    )
    if finding.evidence and finding.evidence != finding.title:
        page.put(finding.evidence, lead="       ", dim=True)
    if said := cause(finding):
        page.put(said, lead="   ")
    fix = finding.fix
    if fix.command:
        page.put(fix.command, lead=f"   {page.arrow} ", wrap=False, fg="cyan")
        page.put(fix.text, lead="     ")
    elif fix.text:
        page.put(fix.text, lead=f"   {page.arrow} ")
    for one in list(every(finding))[1:]:
        page.put(f"{one.title} [{one.slug}]", lead="     explains: ", dim=True)
