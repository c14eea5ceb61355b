"""What all renderers say alike: the verdict, and text that is safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import structs

from envkit.doctor.model import Check, CheckStatus, Confidence, Finding, Fix, Report, Severity
from envkit.redact import printable, redacted

__all__ = [
    "Place",
    "cause",
    "clean",
    "consequences",
    "every",
    "fix",
    "grouped",
    "label",
    "line",
    "place",
    "verdict",
    "worst",
    "worst_status",
]

_SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")
_STATUSES: Final[tuple[CheckStatus, ...]] = ("fail", "not-checked", "warn", "pass", "skipped")
_NOUNS: Final[dict[Severity, tuple[str, str]]] = {
    "error": ("problem", "problems"),
    "warning": ("warning", "warnings"),
    "info": ("note", "notes"),
}
_SURE: Final[dict[Confidence, str]] = {
    "certain": "Why: ",
    "likely": "Why, probably: ",
    "guess": "Why, perhaps: ",
}
# No characters at all (https://www.unicode.org/faq/private_use.html#noncharacters): XML and HTML
# cannot hold them, not even escaped.
_NO_CHARACTERS: Final = re.compile(
    "[\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
_LINE_END: Final = re.compile(r"\s*\n\s*")
# "pyproject.toml:12: the key …", "tests/test_a.py:3"; "db.example.org:5432" is none
_PLACE: Final = re.compile(
    r"(?P<file>[\w./@+-]*\.(?:py|toml|ini|cfg|conf|ya?ml|json|env|sql)):(?P<line>[1-9]\d{0,6})\b"
)


class Place(NamedTuple):
    """A line of a file.

    Attributes:
        line: From 1.
    """

    file: str
    line: int


def verdict(report: Report) -> str:
    """The outcome in a few words; a finding counts together with its consequences as one."""
    counts = dict.fromkeys(_SEVERITIES, 0)
    for finding in report.findings:
        counts[worst(finding)] += 1
    parts = [
        f"{number} {_NOUNS[severity][number != 1]}" for severity, number in counts.items() if number
    ]
    if report.status == "ok":
        return ", ".join(["healthy", *parts])
    if any(check.status == "not-checked" for check in report.checks):
        parts.append("not everything could be checked")
    elif report.status == "incomplete":
        parts.append("no cause found")
    return ", ".join(parts)


def worst(finding: Finding) -> Severity:
    """The worst severity among a finding and its consequences: that makes the exit code."""
    return min((one.severity for one in every(finding)), key=_SEVERITIES.index)


def every(finding: Finding) -> Iterator[Finding]:
    """The finding and all of its consequences."""
    yield finding
    for one in finding.consequences:
        yield from every(one)


def worst_status(checks: list[Check]) -> CheckStatus:
    return min((check.status for check in checks), key=_STATUSES.index)


def grouped(report: Report) -> dict[str, list[Check]]:
    """The checks by their group, in the order in which the groups appear."""
    found: dict[str, list[Check]] = {}
    for check in report.checks:
        found.setdefault(check.group, []).append(check)
    return found


def cause(finding: Finding) -> str:
    """Why, and how sure that is where it is not certain; empty if nobody knows."""
    return f"{_SURE[finding.confidence]}{finding.cause}" if finding.cause else ""


def fix(finding: Finding) -> str:
    """What to do, in words; empty if the command says it all."""
    return f"Fix: {finding.fix.text}" if finding.fix.text else ""


def label(finding: Finding) -> str:
    """Slug, service and source, such as ``[pg.auth.password] postgres (line 12)``."""
    source = f"({finding.source})" if finding.source else ""
    return " ".join(filter(None, (f"[{finding.slug}]", finding.service, source)))


def consequences(finding: Finding) -> tuple[Finding, ...]:
    """All that the finding explains, directly or not."""
    return tuple(every(finding))[1:]


def place(finding: Finding) -> Place | None:
    """The line of a file that a finding is about, if it names one."""
    found = _PLACE.match(finding.source) or _PLACE.match(finding.title)
    return Place(found["file"], int(found["line"])) if found else None


def clean(report: Report) -> Report:
    """The report with all of its text as it may be shown."""
    return structs.replace(
        report,
        checks=tuple(
            structs.replace(
                check,
                name=line(check.name),
                group=line(check.group),
                detail=line(check.detail),
            )
            for check in report.checks
        ),
        findings=tuple(_clean(finding) for finding in report.findings),
    )


def _clean(finding: Finding) -> Finding:
    return structs.replace(
        finding,
        slug=line(finding.slug),
        title=line(finding.title),
        evidence=_text(finding.evidence),
        cause=line(finding.cause),
        fix=Fix(text=line(finding.fix.text), command=_text(finding.fix.command)),
        source=line(finding.source),
        check=line(finding.check),
        consequences=tuple(_clean(one) for one in finding.consequences),
    )


def _text(text: str) -> str:
    # Bytes that were no UTF-8 are lone surrogates here, which no output can carry.
    whole = text.encode("utf-8", "backslashreplace").decode().replace("\r\n", "\n")
    safe = printable(redacted(whole)).expandtabs(4).strip("\n")
    return _NO_CHARACTERS.sub(lambda match: match[0].encode("unicode_escape").decode(), safe)


def line(text: str) -> str:
    """Any text on one line, as it may be shown."""
    return _LINE_END.sub(" ", _text(text)).strip()
