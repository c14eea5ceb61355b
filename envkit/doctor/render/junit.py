"""For CI services that read JUnit XML: each check is a test case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from envkit.doctor.model import Check, Finding, Report
from envkit.doctor.render.words import cause, clean, consequences, fix, label, verdict, worst

__all__ = ["render"]

# What XML 1.0 cannot hold, not even escaped: https://www.w3.org/TR/xml/#charsets
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SUITE: Final = "envkit doctor"


def render(report: Report) -> str:
    """The report as one test suite.

    A check with an error is a failure, one that could not be made is an error, and warnings are
    output of a check that passes: so what a reader makes of it agrees with the exit code.
    """
    report = clean(report)
    cases = list(_cases(report))
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{sum(check.ms for check in report.checks) / 1000:.3f}",
    }
    root = Element("testsuites", {"name": _SUITE, **counts})
    suite = SubElement(root, "testsuite", {"name": _SUITE, **counts})
    properties = SubElement(suite, "properties")
    told = {"verdict": verdict(report), "exit code": str(report.exit_code)}
    for number, finding in enumerate(report.findings, start=1):
        told[f"finding {number}"] = f"{finding.slug}: {finding.title}"
    for name, value in told.items():
        SubElement(properties, "property", {"name": name, "value": _xml(value)})
    suite.extend(cases)
    ElementTree.indent(root)
    # ASCII with references reads the same whatever encoding the stream or file gets.
    text = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False).decode()
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _cases(report: Report) -> Iterator[Element]:
    """One case for each check, then one for each finding that no check has."""
    left = list(report.findings)
    for check in report.checks:
        mine = [finding for finding in left if finding.check == check.name]
        left = [finding for finding in left if finding.check != check.name]
        case = _case(check.group, check.name, check.ms)
        _judge(case, mine, check)
        yield case
    for finding in left:
        case = _case("Findings", finding.slug, 0.0)
        _judge(case, [finding], None)
        yield case
    unchecked = any(check.status == "not-checked" for check in report.checks)
    if report.status == "incomplete" and not unchecked:
        case = _case("Findings", "cause", 0.0)
        SubElement(case, "error", {"type": "not-checked", "message": verdict(report)})
        yield case


def _case(group: str, name: str, ms: float) -> Element:
    place = {"classname": _xml(f"envkit.doctor.{group}"), "name": _xml(name)}
    return Element("testcase", {**place, "time": f"{ms / 1000:.3f}"})


def _judge(case: Element, findings: Sequence[Finding], check: Check | None) -> None:
    errors = [finding for finding in findings if worst(finding) == "error"]
    others = [finding for finding in findings if worst(finding) != "error"]
    detail = check.detail if check else ""
    if errors:
        title = "; ".join(finding.title for finding in errors)
        slugs = ", ".join(finding.slug for finding in errors)
        failure = SubElement(case, "failure", {"type": _xml(slugs), "message": _xml(title)})
        failure.text = _xml("\n\n".join(_told(finding) for finding in errors))
    elif check and check.status == "not-checked":
        SubElement(case, "error", {"type": "not-checked", "message": _xml(detail)})
    elif check and check.status == "skipped":
        SubElement(case, "skipped", {"message": _xml(detail)})
    output = [detail, *(f"{worst(one)}: {_told(one)}" for one in others)]
    if any(output):
        SubElement(case, "system-out").text = _xml("\n\n".join(filter(None, output)))


def _told(finding: Finding) -> str:
    parts = [
        f"{finding.title} {label(finding)}",
        finding.evidence,
        cause(finding),
        fix(finding),
        f"→ {finding.fix.command}" if finding.fix.command else "",
        *(f"explains: {one.title} {label(one)}" for one in consequences(finding)),
    ]
    return "\n".join(filter(None, parts))


def _xml(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
