"""The page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import HealthCheck, given, settings
from msgspec import structs

from envkit.doctor.model import Report
from envkit.doctor.render import html
from envkit.doctor.render.words import clean
from tests.doctor.render.made import ENGINE_DOWN, HEALTHY, LOG, reports


class Page(HTMLParser):
    """Tags with their classes, and the text inside of each kind."""

    def __init__(self, report: Report, project: str = "/home/me/shop") -> None:
        super().__init__()
        self.told = html.render(report, project=project)
        self.path: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str]] = []
        self.feed(self.told)
        assert self.path == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "meta":
            return
        kind = dict(attrs).get("class")
        self.path.append(f"{tag}.{kind}" if kind else tag)
        self.texts.setdefault(self.path[-1], []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop().partition(".")[0] == tag

    def handle_data(self, data: str) -> None:
        if self.path:
            self.texts[self.path[-1]][-1] += data


def test_page_needs_nothing_else() -> None:
    page = Page(ENGINE_DOWN)
    assert not {"script", "link", "img", "iframe"} & set(page.texts)
    assert not {"src", "href", "onclick"} & {name for name, _ in page.attributes}
    assert not re.search(r"url\(|@import|https?:", page.told)


def test_page_tells_the_project_and_the_verdict() -> None:
    page = Page(ENGINE_DOWN, "/home/me/<shop>")
    assert page.texts["h1"] == ["1 problem, 1 warning"]
    assert page.texts["title"] == ["envkit doctor: 1 problem, 1 warning"]
    assert "/home/me/<shop>" in page.texts["p"]


def test_command_is_an_element_of_its_own() -> None:
    assert Page(ENGINE_DOWN).texts["pre.command"] == ["sudo systemctl start docker"]


def test_bars_are_as_long_as_the_checks_took() -> None:
    widths = [value for name, value in Page(ENGINE_DOWN).attributes if name == "style"]
    assert widths == ["width:9.7%", "width:100.0%", "width:25.8%", "width:19.2%"]


def test_page_of_a_healthy_run_has_no_findings() -> None:
    assert Page(HEALTHY).texts["h2"] == ["What was looked at"]


def test_page_of_a_log_has_no_checks() -> None:
    assert Page(LOG).texts["h2"] == ["What is wrong"]


def test_page_is_light_and_dark() -> None:
    assert "@media (prefers-color-scheme: dark)" in Page(HEALTHY).told


def test_template_does_not_read_placeholders_in_values() -> None:
    finding = structs.replace(LOG.findings[0], evidence="$verdict ${project} $$")
    page = Page(structs.replace(LOG, findings=(finding,)))
    assert page.texts["pre.evidence"] == ["$verdict ${project} $$"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reports())
def test_values_are_shown_and_never_become_tags(report: Report) -> None:
    page = Page(report)
    assert page.told.isascii()
    findings = clean(report).findings
    numbered = [f"{number}. {one.title}" for number, one in enumerate(findings, start=1)]
    assert page.texts.get("h3", []) == numbered
    evidence = [one.evidence for one in findings if one.evidence]
    assert page.texts.get("pre.evidence", []) == evidence
