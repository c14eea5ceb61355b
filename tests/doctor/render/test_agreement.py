"""Whatever the report: all formats give the same verdict, order and exit code, and no secret."""

from __future__ import annotations

import json as stdlib_json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Final
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec import Struct, structs

from envkit.doctor.model import Check, Report
from envkit.doctor.render import github, html, json, junit, text
from envkit.doctor.render.words import verdict
from envkit.doctor.symptoms import from_text as symptoms_from
from envkit.doctor.triage import report_of
from tests.doctor.render.made import CANARY, reports
from tests.doctor.test_rules import CASES

_SLUG: Final = re.compile(r"\[([a-z]+(?:\.[a-z0-9-]+)+)\]")
# The first report takes a second: hypothesis makes its table of Unicode.
_unhurried: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_EXIT_CODES: Final = {"✓": 0, "✗": 1, "?": 3}


class Read(Struct, frozen=True):
    """What a reader understands of an output."""

    exit_code: int
    slugs: list[str]
    verdict: str


def as_text(report: Report) -> str:
    return text.render(
        report, width=10_000, styled=False, ascii_only=False, verbose=True, seconds=0.5
    )


def as_html(report: Report) -> str:
    return html.render(report, project=f"/tmp/redis://:{CANARY}@host/")


def from_text(told: str) -> Read:
    *lines, last = told.splitlines()
    roots = [line for line in lines if re.match(r"[✓✗!?-] \d+\. ", line)]
    return Read(
        _EXIT_CODES[last[0]],
        [_SLUG.findall(line)[-1] for line in roots],
        last[2:].removesuffix(" (0.5 s)"),
    )


def from_github(told: str) -> Read:
    *commands, last = told.splitlines()
    assert all(re.match("::(error|warning|notice) ", one) for one in commands)
    titles = [one.split("::")[1] for one in commands]
    kinds = {one.split()[0] for one in titles}
    unchecked = any(re.search("not checked|no cause found", one) for one in commands)
    code = 1 if "error" in kinds else 3 if unchecked else 0
    slugs = [found[-1] for one in titles if (found := _SLUG.findall(one))]
    return Read(code, slugs, last.removeprefix("envkit doctor: "))


def from_junit(told: str) -> Read:
    (suite,) = ElementTree.fromstring(told)
    given = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    found = {"failures": "failure", "errors": "error", "skipped": "skipped", "tests": "testcase"}
    assert count == {name: len(list(suite.iter(found[name]))) for name in count}
    code = 1 if count["failures"] else 3 if count["errors"] else 0
    assert given["exit code"] == str(code)
    slugs = [value.partition(":")[0] for name, value in given.items() if name.startswith("finding")]
    return Read(code, slugs, given["verdict"])


class _Page(HTMLParser):
    def __init__(self, told: str) -> None:
        super().__init__()
        self.path: list[str] = []
        self.exit_code = -1
        self.slugs: list[str] = []
        self.verdict = ""
        self.feed(told)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "b") or self.path[-1].endswith("label"), tag
        told = dict(attrs)
        if tag == "body":
            self.exit_code = int(told["data-exit-code"] or "")
        if tag not in ("meta", "link"):
            self.path.append(f"{tag} {told.get('class') or ''}")

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop().split()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.path[-2:] == ["p label", "code "]:
            self.slugs.append(data)
        if self.path and self.path[-1] == "h1 ":
            self.verdict += data


def from_html(told: str) -> Read:
    page = _Page(told)
    return Read(page.exit_code, page.slugs, page.verdict)


@_unhurried
@given(reports())
def test_all_formats_agree_on_verdict_order_and_exit_code(report: Report) -> None:
    assert_agreed(report)


@pytest.mark.parametrize("slug", sorted(CASES))
def test_all_formats_agree_on_each_fault(slug: str) -> None:
    case = CASES[slug]
    looked = Check(name="looked", group="Services", status="pass")
    for seen in case.fires:
        symptoms = symptoms_from(seen.text) if seen.source == "log" else [seen]
        of_the_check = [structs.replace(one, check="looked") for one in symptoms]
        assert_agreed(report_of((looked,), of_the_check, case.facts))


def assert_agreed(report: Report) -> None:
    expected = Read(report.exit_code, [one.slug for one in report.findings], verdict(report))
    assert from_text(as_text(report)) == expected
    assert from_github(github.render(report)) == expected
    assert from_junit(junit.render(report)) == expected
    assert from_html(as_html(report)) == expected
    told = stdlib_json.loads(json.render(report))
    codes = {"ok": 0, "problems": 1, "incomplete": 3}
    assert codes[told["status"]] == expected.exit_code
    assert [one["slug"] for one in told["findings"]] == expected.slugs
    heading, *_ = github.summary(report).splitlines()
    assert heading.endswith(f" envkit doctor: {expected.verdict}")


@pytest.mark.parametrize(
    "render",
    [as_text, json.render, github.render, github.summary, junit.render, as_html],
    ids=["text", "json", "github", "summary", "junit", "html"],
)
@_unhurried
@given(report=reports())
def test_no_format_shows_passwords_or_harms_a_terminal(
    render: Callable[[Report], str], report: Report
) -> None:
    told = render(report)
    assert CANARY not in told
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", told)
