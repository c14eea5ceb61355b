"""For a browser: one file that needs nothing else, no script either."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from envkit.doctor.model import Check, CheckStatus, Finding, Report, Severity
from envkit.doctor.render.words import cause, clean, every, grouped, verdict, worst
from envkit.redact import one_line, without_passwords
from envkit.version import __version__

__all__ = ["render"]

_SIGNS: Final[dict[CheckStatus, tuple[str, str]]] = {
    "pass": ("✓", "passed"),
    "warn": ("!", "warning"),
    "fail": ("✗", "failed"),
    "skipped": ("-", "skipped"),
    "not-checked": ("?", "not checked"),
}
_OF_REPORT: Final[dict[str, CheckStatus]] = {
    "ok": "pass",
    "problems": "fail",
    "incomplete": "not-checked",
}
_NAMES: Final[dict[Severity, str]] = {"error": "problem", "warning": "warning", "info": "note"}


def render(report: Report, *, project: str) -> str:
    """The report as a page.

    Args:
        report: What was found.
        project: The project's directory, for the heading.
    """
    report = clean(report)
    sign, _ = _SIGNS[_OF_REPORT[report.status]]
    page = Template((files("envkit.doctor.render") / "page.html").read_text(encoding="utf-8"))
    return page.substitute(
        project=escape(one_line(without_passwords(project))),
        version=escape(__version__),
        status=report.status,
        sign=sign,
        exit_code=str(report.exit_code),
        verdict=escape(verdict(report)),
        findings="\n".join(_finding(one) for one in report.findings),
        checks="\n".join(_checks(report)),
    )


def _finding(finding: Finding) -> str:
    severity = worst(finding)
    parts = [
        f'<p class="label"><span>{_NAMES[severity]}</span>'
        f"{f'<span>{escape(finding.service)}</span>' if finding.service else ''}"
        f"<code>{escape(finding.slug)}</code></p>",
        f"<h3>{escape(finding.title)}</h3>",
    ]
    if finding.evidence:
        where = f"<figcaption>{escape(finding.source)}</figcaption>" if finding.source else ""
        parts.append(f"<figure>{where}<pre>{escape(finding.evidence)}</pre></figure>")
    parts += [f"<p>{escape(text)}</p>" for text in (cause(finding), finding.fix.text) if text]
    if finding.fix.command:
        parts.append(f'<pre class="command">{escape(finding.fix.command)}</pre>')
    further = list(every(finding))[1:]
    if further:
        rows = (
            f"<li>{escape(one.title)} <code>{escape(one.slug)}</code>"
            f"{f' {escape(one.service)}' if one.service else ''}</li>"
            for one in further
        )
        parts.append(f"<p>This explains:</p><ul>{''.join(rows)}</ul>")
    return f'<li class="finding {severity}">{"".join(parts)}</li>'


def _checks(report: Report) -> Iterator[str]:
    longest = max((check.ms for check in report.checks), default=0.0)
    for name, checks in grouped(report).items():
        rows = "\n".join(_row(check, longest) for check in checks)
        yield f"<h3>{escape(name)}</h3>\n<ul>{rows}</ul>"


def _row(check: Check, longest: float) -> str:
    sign, word = _SIGNS[check.status]
    share = 100 * check.ms / longest if longest else 0.0
    return (
        f'<li class="check {check.status}"><span class="sign" title="{word}">{sign}</span>'
        f'<span class="name">{escape(check.name)}</span>'
        f'<span class="detail">{escape(check.detail)}</span>'
        f'<span class="bar"><i style="width:{share:.1f}%"></i></span>'
        f'<span class="ms">{check.ms:.0f} ms</span></li>'
    )
