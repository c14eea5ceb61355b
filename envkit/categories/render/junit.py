"""One JUnit file of all categories: what pytest wrote of each, and why one has nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

from envkit.categories.render.words import cleaned
from envkit.categories.result import Result
from envkit.doctor.render.words import line
from envkit.redact import redacted

__all__ = ["render"]

_COUNTS: Final = ("tests", "failures", "errors", "skipped")


def render(results: Sequence[Result]) -> str:
    """The results as test suites, one for each category, whose name it has.

    A category that is not passed has a case of its own that says why, beside those of its tests.
    """
    root = Element("testsuites", {"name": "envkit test"})
    for result in results:
        suite = _suite(result)
        if (kind := _kind(result, suite)) is not None:
            suite.append(_reason(result, kind))
        _count(suite, result.seconds)
        root.append(suite)
    for name in _COUNTS:
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(one.seconds for one in results):.3f}")
    ElementTree.indent(root)
    # ASCII with references reads the same whatever encoding the file gets.
    text = ElementTree.tostring(root, encoding="us-ascii", xml_declaration=False).decode()
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(result: Result) -> Element:
    """What pytest wrote, if it came to that."""
    suite = Element("testsuite")
    if result.junit:
        try:
            written = ElementTree.parse(Path(result.junit)).getroot()  # noqa: S314 - pytest's own
        except (OSError, ParseError):
            written = suite
        suite = next(written.iter("testsuite"), suite)
    for one in suite.iter():
        one.text = redacted(one.text) if one.text else None
        for name, value in one.attrib.items():
            one.set(name, redacted(value))
    suite.set("name", result.name)
    return suite


def _kind(result: Result, suite: Element) -> str | None:
    """What the category's own case is, if it has one."""
    if result.outcome == "passed":
        return None
    if result.outcome == "failed":
        # Its failed tests say so, if there are any.
        failed = any(suite.find(f"testcase/{tag}") is not None for tag in ("failure", "error"))
        return None if failed else "failure"
    if result.outcome == "blocked" and result.origin:
        return "skipped"
    if result.outcome == "empty":
        return "failure" if result.counts_as_problem else "skipped"
    return "error"


def _reason(result: Result, kind: str) -> Element:
    case = Element("testcase", {"classname": "envkit.test", "name": result.name, "time": "0.000"})
    about = {"type": result.outcome, "message": line(result.cause)}
    SubElement(case, kind, about).text = _words(result)
    return case


def _words(result: Result) -> str:
    parts = [line(result.cause)]
    if result.finding is not None:
        finding = cleaned(result.finding)
        parts = [f"{finding.title} [{finding.slug}]", finding.evidence, finding.cause]
        if result.origin:
            parts.insert(0, line(result.cause))
    if result.command:
        parts.append(f"→ {line(result.command)}")
    return "\n".join(filter(None, parts))


def _count(suite: Element, seconds: float) -> None:
    cases = suite.findall("testcase")
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("time", f"{seconds:.3f}")
