"""For a browser: one file that needs nothing else, no script either."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from envkit.doctor.model import Check, CheckStatus, Finding, Report, ReportStatus, Severity
from envkit.doctor.render.words import (
    cause,
    clean,
    consequences,
    fix,
    grouped,
    verdict,
    worst,
)
from envkit.redact import one_line, redacted
from envkit.version import __version__

__all__ = ["render"]

_SIGNS: Final[dict[CheckStatus, tuple[str, str]]] = {
    "pass": ("✓", "passed"),
    "warn": ("!", "warning"),
    "fail": ("✗", "failed"),
    "skipped": ("-", "skipped"),
    "not-checked": ("?", "not checked"),
}
_OF_REPORT: Final[dict[ReportStatus, CheckStatus]] = {
    "ok": "pass",
    "problems": "fail",
    "incomplete": "not-checked",
}
_NAMES: Final[dict[Severity, str]] = {"error": "problem", "warning": "warning", "info": "note"}


def render(report: Report, *, project: str) -> str:
    """The report as a page, in ASCII: it reads the same whatever encoding it is saved in.

    Args:
        report: What was found.
        project: The project's directory, for the heading.
    """
    report = clean(report)
    tone = _OF_REPORT[report.status]
    sections = [*_findings(report), *_checks(report)]
    page = Template((files("envkit.doctor.render") / "report.html").read_text(encoding="utf-8"))
    whole = page.substitute(
        project=escape(one_line(redacted(project))),
        version=escape(__version__),
        status=report.status,
        tone=tone,
        sign=_SIGNS[tone][0],
        exit_code=str(report.exit_code),
        verdict=escape(verdict(report)),
        columns="both" if len(sections) > 1 else "one",
        sections="\n".join(sections),
    )
    return whole.encode("ascii", "xmlcharrefreplace").decode()


def _findings(report: Report) -> Iterator[str]:
    if report.findings:
        items = "\n".join(
            _finding(number, one) for number, one in enumerate(report.findings, start=1)
        )
        yield f"<section>\n<h2>What is wrong</h2>\n<ol>\n{items}\n</ol>\n</section>"


def _finding(number: int, finding: Finding) -> str:
    severity = worst(finding)
    about = [
        f"<b>{_NAMES[severity]}</b>",
        f"<code>{escape(finding.slug)}</code>",
        *(f"<span>{escape(one)}</span>" for one in (finding.service, finding.source) if one),
    ]
    parts = [
        f'<p class="label">{" ".join(about)}</p>',
        f"<h3>{number}. {escape(finding.title)}</h3>",
    ]
    if finding.evidence:
        parts.append(f'<pre class="evidence">{escape(finding.evidence)}</pre>')
    parts += [f"<p>{escape(text)}</p>" for text in (cause(finding), fix(finding)) if text]
    if finding.fix.command:
        parts.append(f'<pre class="command">{escape(finding.fix.command)}</pre>')
    if further := consequences(finding):
        rows = "".join(f"<li>{_consequence(one)}</li>" for one in further)
        parts.append(f'<div class="consequences">This explains:<ul>{rows}</ul></div>')
    return f'<li class="finding {severity}">\n' + "\n".join(parts) + "\n</li>"


def _consequence(finding: Finding) -> str:
    about = f"{finding.slug} {finding.service or ''}".strip()
    return f"{escape(finding.title)} <code>{escape(about)}</code>"


def _checks(report: Report) -> Iterator[str]:
    longest = max((check.ms for check in report.checks), default=0.0)
    if report.checks:
        groups = "\n".join(
            f'<h3 class="group">{escape(name)}</h3>\n<ul>\n'
            + "\n".join(_check(check, longest) for check in checks)
            + "\n</ul>"
            for name, checks in grouped(report).items()
        )
        yield (
            "<section>\n<h2>What was looked at</h2>\n"
            '<p class="note">All at once; a bar is the time until the answer, '
            f"the longest {longest:.0f} ms.</p>\n{groups}{_starts(report)}\n</section>"
        )


def _starts(report: Report) -> str:
    """How long each server took that is up, from the common start to its first answer."""
    started = [check for check in report.checks if check.started_ms]
    if not started:
        return ""
    longest = max(check.started_ms for check in started)
    rows = "\n".join(
        '<li class="check pass"><span class="sign"></span>'
        f'<span class="name">{escape(check.name)}</span>'
        f'<span class="ms">{check.started_ms:.0f} ms</span>'
        f"{_bar(check.started_ms, longest)}</li>"
        for check in started
    )
    return f'\n<h3 class="group">How the servers started, all together</h3>\n<ul>\n{rows}\n</ul>'


def _check(check: Check, longest: float) -> str:
    sign, word = _SIGNS[check.status]
    detail = f'<span class="detail">{escape(check.detail)}</span>' if check.detail else ""
    return (
        f'<li class="check {check.status}"><span class="sign" title="{word}">{sign}</span>'
        f'<span class="name">{escape(check.name)}</span><span class="ms">{check.ms:.0f} ms</span>'
        f"{detail}{_bar(check.ms, longest)}</li>"
    )


def _bar(ms: float, longest: float) -> str:
    share = 100 * ms / longest if longest else 0.0
    return f'<span class="bar"><i style="width:{share:.1f}%"></i></span>'
