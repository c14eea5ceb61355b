"""For CI services that read JUnit XML: each check is a test case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from envkit.doctor.model import Check, Finding, Report, Severity
from envkit.doctor.render.words import cause, clean, consequences, fix, label, verdict, worst

__all__ = ["render"]

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
        "time": f"{max((check.ms for check in report.checks), default=0.0) / 1000:.3f}",
    }
    root = Element("testsuites", {"name": _SUITE, **counts})
    suite = SubElement(root, "testsuite", {"name": _SUITE, **counts})
    properties = SubElement(suite, "properties")
    told = {"verdict": verdict(report), "exit code": str(report.exit_code)}
    for number, finding in enumerate(report.findings, start=1):
        told[f"finding {number}"] = f"{finding.slug}: {finding.title}"
    for name, value in told.items():
        SubElement(properties, "property", {"name": name, "value": value})
    suite.extend(cases)
    ElementTree.indent(root)
    # ASCII with references reads the same whatever encoding the stream or file gets.
    text = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False).decode()
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _cases(report: Report) -> Iterator[Element]:
    """One case for each check, then one for each finding that no check has."""
    left = list(report.findings)
    for check in report.checks:
        told = [_Told(worst(one), one.slug, _words(one)) for one in left if one.check == check.name]
        left = [one for one in left if one.check != check.name]
        told += _consequences(report, check)
        case = _case(check.group, check.name, check.ms)
        _judge(case, told, check)
        yield case
    for finding in left:
        case = _case("Findings", finding.slug, 0.0)
        _judge(case, [_Told(worst(finding), finding.slug, _words(finding))], None)
        yield case
    unchecked = any(check.status == "not-checked" for check in report.checks)
    if report.status == "incomplete" and not unchecked:
        case = _case("Findings", "cause", 0.0)
        SubElement(case, "error", {"type": "not-checked", "message": verdict(report)})
        yield case


class _Told(NamedTuple):
    severity: Severity
    slug: str
    words: str


def _consequences(report: Report, check: Check) -> Iterator[_Told]:
    """What a check saw that a finding of another one explains."""
    for finding in report.findings:
        for one in consequences(finding) if finding.check != check.name else ():
            if one.check == check.name:
                why = f"because of: {finding.title} {label(finding)}"
                yield _Told(one.severity, one.slug, f"{_words(one)}\n{why}")


def _case(group: str, name: str, ms: float) -> Element:
    place = {"classname": f"envkit.doctor.{group}", "name": name}
    return Element("testcase", {**place, "time": f"{ms / 1000:.3f}"})


def _judge(case: Element, told: Sequence[_Told], check: Check | None) -> None:
    errors = [one for one in told if one.severity == "error"]
    others = [f"{one.severity}: {one.words}" for one in told if one.severity != "error"]
    detail = check.detail if check else ""
    if errors:
        about = {
            "type": ", ".join(one.slug for one in errors),
            "message": "; ".join(one.words.partition("\n")[0] for one in errors),
        }
        SubElement(case, "failure", about).text = "\n\n".join(one.words for one in errors)
    elif check and check.status == "not-checked":
        SubElement(case, "error", {"type": "not-checked", "message": detail})
    elif check and check.status == "skipped":
        SubElement(case, "skipped", {"message": detail})
    if output := list(filter(None, [detail, *others])):
        SubElement(case, "system-out").text = "\n\n".join(output)


def _words(finding: Finding) -> str:
    parts = [
        f"{finding.title} {label(finding)}",
        finding.evidence,
        cause(finding),
        fix(finding),
        f"→ {finding.fix.command}" if finding.fix.command else "",
        *(f"explains: {one.title} {label(one)}" for one in consequences(finding)),
    ]
    return "\n".join(filter(None, parts))
