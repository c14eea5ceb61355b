"""What a slug means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from envkit.errors import by_slug

if TYPE_CHECKING:
    from tests.conftest import Project


def test_slug_is_explained(project: Project) -> None:
    assert project.shown("explain", "net.refused") == snapshot("""\
exit code 0
-- stdout
net.refused (error)
Nothing listens where a connection was tried.

Why: The server is not running, listens on another port, or listens on another
     address: ::1 is not N.N, and inside a container localhost is the
     container itself.

Fix: Start the server, or correct host and port.

Said by: the operating system (ECONNREFUSED)
-- stderr
""")


def test_slug_may_be_copied_with_its_brackets(project: Project) -> None:
    assert project.shown("explain", "[net.refused]") == project.shown("explain", "net.refused")


def test_every_error_of_ours_is_explained(project: Project) -> None:
    told = json.loads(project.envkit("explain", "--format", "json").stdout)
    what = {one["slug"]: one["what"] for one in told["slugs"]}
    assert [slug for slug in by_slug() if not what.get(slug)] == []


def test_beginning_lists_what_begins_so(project: Project) -> None:
    title, *rows = project.envkit("explain", "net").stdout.splitlines()
    assert title == "net"
    assert len(rows) >= 3
    assert all(row.startswith("  net.") for row in rows)
    assert project.shown("explain", "net.") == project.shown("explain", "net")


def test_all_are_listed_by_area(project: Project) -> None:
    told = project.envkit("explain").stdout.splitlines()
    areas = [line for line in told if line and not line.startswith(" ")]
    assert areas == sorted(set(areas))
    assert {"docker", "envkit", "net"} <= set(areas)
    assert any(line.startswith("  net.refused ") for line in told)


def test_typing_error_gets_the_nearest_slug(project: Project) -> None:
    assert project.shown("explain", "net.refsued") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: the doctor knows no "net.refsued" [envkit.usage]
  → envkit explain net.refused
""")


def test_name_like_no_other_gets_the_list(project: Project) -> None:
    assert project.shown("explain", "zzz") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: the doctor knows no "zzz" [envkit.usage]
  → envkit explain lists all that it knows
""")


def test_explanation_for_programs(project: Project) -> None:
    told = json.loads(project.envkit("explain", "net.refused", "--format", "json").stdout)
    assert told["version"] == 1
    (one,) = told["slugs"]
    assert list(one) == ["slug", "area", "severity", "confidence", "says", "what", "why", "fix"]
    assert one["what"] == "Nothing listens where a connection was tried."
    assert one["says"] == "the operating system (ECONNREFUSED)"


def test_all_for_programs(project: Project) -> None:
    told = json.loads(project.envkit("explain", "--format", "json").stdout)
    slugs = [one["slug"] for one in told["slugs"]]
    assert slugs == sorted(set(slugs))
    assert all(one["what"] for one in told["slugs"])


def test_explanation_fits_a_narrow_terminal(project: Project) -> None:
    for slug in ([], ["net.refused"]):
        told = project.envkit("explain", *slug, COLUMNS="50").stdout
        assert max(map(len, told.splitlines())) <= 50


BOLD = "\x1b[1m"


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
@pytest.mark.parametrize("command", [["explain", "net.refused"], ["doctor"]])
def test_pipe_gets_colours_only_when_they_are_forced(
    project: Project, command: list[str], environment: dict[str, str], coloured: bool
) -> None:
    assert (BOLD in project.envkit(*command, **environment).stdout) == coloured


def test_ascii_locale_gets_ascii(project: Project) -> None:
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert project.envkit("doctor", **plain).stdout.isascii()
    assert "\\u" not in project.envkit("doctor", **plain).stdout
