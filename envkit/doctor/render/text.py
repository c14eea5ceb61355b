"""For people at a terminal.

Styles are click's, which the command has imported already; rich's console would add 65 ms to every
run (measured with ``python -X importtime``).
"""

from __future__ import annotations

from typing import Final

from envkit.doctor.model import Check, CheckStatus, Finding, Report, ReportStatus, Severity
from envkit.doctor.render.page import Page
from envkit.doctor.render.words import (
    cause,
    clean,
    consequences,
    grouped,
    label,
    verdict,
    worst,
    worst_status,
)

__all__ = ["render"]

_MOST_CONSEQUENCES: Final = 5
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
        verbose: With every check and how long it took, and every consequence.
        seconds: That all of it took.
    """
    page = Page(width=width, styled=styled, ascii_only=ascii_only)
    report = clean(report)
    groups = grouped(report)
    for name, checks in groups.items():
        _group(page, name, checks, max(map(len, groups)), verbose)
    for number, finding in enumerate(report.findings, start=1):
        page.gap()
        _finding(page, number, finding, verbose)
    page.gap()
    sign = page.sign(_OF_REPORT[report.status])
    page.put(f"{verdict(report)} ({seconds:.1f} s)", lead=f"{sign} ", bold=True)
    return page.whole()


def _group(page: Page, name: str, checks: list[Check], longest: int, verbose: bool) -> None:
    status = worst_status(checks)
    shown = [check for check in checks if verbose or check.status not in ("pass", "skipped")]
    said = ""
    if not shown and status == "skipped":
        said = "; ".join(dict.fromkeys(check.detail for check in checks if check.detail))
    elif not shown:
        said = ", ".join(check.name for check in checks if check.status == "pass")
    page.row(f"{page.sign(status)} ", name, said, longest)
    widest = max((len(check.name) for check in shown), default=0)
    for check in shown:
        took = f" ({check.ms:.0f} ms)" if verbose else ""
        detail = f"{check.detail}{took}".strip()
        page.row(f"    {page.sign(check.status)} ", check.name, detail, widest)


def _finding(page: Page, number: int, finding: Finding, verbose: bool) -> None:
    sign = page.sign(_OF_SEVERITY[worst(finding)])
    page.put(finding.title, lead=f"{sign} {number}. ", tail=label(finding), bold=True)
    if finding.evidence.strip() not in ("", finding.title):
        page.put(finding.evidence, lead="       ", dim=True)
    if said := cause(finding):
        page.put(said, lead="   ")
    fix = finding.fix
    if fix.command:
        page.put(fix.command, lead=f"   {page.arrow} ", wrap=False, fg="cyan")
        if fix.text:
            page.put(fix.text, lead=f"   {' ' * len(page.arrow)} ")
    elif fix.text:
        page.put(fix.text, lead=f"   {page.arrow} ")
    further = _together(consequences(finding))
    if not further:
        return
    page.put("This explains:", lead="   ")
    shown = further if verbose else further[:_MOST_CONSEQUENCES]
    for title, labels in shown:
        page.put(title, lead="   - ", tail=labels)
    if len(shown) < len(further):
        page.put(f"and {len(further) - len(shown)} more", lead="   - ")


def _together(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    """Titles and labels; what several services say alike is one, with all of their names."""
    of: dict[tuple[str, str, str], list[Finding]] = {}
    for one in findings:
        of.setdefault((one.title, one.slug, one.source), []).append(one)
    told = []
    for (title, slug, source), alike in of.items():
        services = ", ".join(dict.fromkeys(one.service for one in alike if one.service))
        where = f"({source})" if source else ""
        told.append((title, " ".join(filter(None, (f"[{slug}]", services, where)))))
    return told
