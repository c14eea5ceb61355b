# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What is said of a run: text, JSON, JUnit and the summary of a step agree."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from inline_snapshot import snapshot
from markdown_it import MarkdownIt

from tests.gate.gated import LIGHT, PASSES, declare, said

if TYPE_CHECKING:
    from tests.conftest import Project

URL = "postgresql://app:secret-word@127.0.0.1:1/app_test"
FAILS = "def test_good(): pass\ndef test_bad(): assert 'a&b|<c>' == 'd'\n"


@pytest.fixture
def mixed(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One category of each kind that takes no time."""
    declare(
        project,
        unit="",
        database='needs = ["postgres"]',
        integration='after = ["database"]',
        agent="",
        broken="",
        lint="",
    )
    for name, code in {
        "unit": FAILS,
        "database": PASSES,
        "integration": PASSES,
        "agent": "x = 1\n",
        "broken": "import no_such_module\n",
        "lint": PASSES,
    }.items():
        project.write(f"tests/{name}/test_it.py", code)
    for name, value in {**LIGHT, "ENVKIT_POSTGRES_URL": URL}.items():
        monkeypatch.setenv(name, value)
    return project


def steady(text: str) -> str:
    return re.sub(r" *\b\d+\.\d s\b", " N s", re.sub(r"\(\d+\.\d s\)", "(N s)", text))


def test_text(mixed: Project) -> None:
    done = mixed.envkit("test", "--", "-qq", "--tb=no", "--no-summary")
    summary = done.stdout[done.stdout.index("\n✗") :]
    assert steady(summary) == snapshot("""\

✗ database blocked: nothing listens at 127.0.0.1:1 [net.refused] postgres (so integration did not run) → unset ENVKIT_POSTGRES_URL
✗ unit failed: tests/unit/test_it.py::test_bad: AssertionError: assert 'a&b|<c>' == 'd' → envkit test unit -- --lf
✗ broken did not run to its end: 1 file could not be collected, first tests/broken/test_it.py: ModuleNotFoundError: No module named 'no_such_module' → envkit doctor --category broken

✗ unit         failed N s  1 passed, 1 failed;
                                      tests/unit/test_it.py::test_bad:
                                      AssertionError: assert 'a&b|<c>' == 'd'
✗ database     blocked                nothing listens at 127.0.0.1:1
✗ integration  blocked                database is blocked: nothing listens at
                                      127.0.0.1:1
- agent        empty N s  no test was found in tests/agent
✗ broken       error N s  1 file could not be collected, first
                                      tests/broken/test_it.py:
                                      ModuleNotFoundError: No module named
                                      'no_such_module'
✓ lint         passed N s  1 passed

✗ 2 blocked, 1 failed, 1 error, 1 empty, 1 passed (N s)
""")
    assert done.returncode == 1


def test_json(mixed: Project) -> None:
    report = said(mixed, "unit", "integration", "agent")
    for one in report["categories"]:
        assert one.pop("seconds") >= 0
        if one["finding"]:
            one["finding"] = one["finding"]["slug"]
    assert report == snapshot(
        {
            "version": 1,
            "exit_code": 1,
            "categories": [
                {
                    "name": "unit",
                    "outcome": "failed",
                    "selected": 2,
                    "deselected": 0,
                    "counts": {"passed": 1, "failed": 1},
                    "cause": "tests/unit/test_it.py::test_bad: AssertionError: assert 'a&b|<c>' == 'd'",
                    "finding": None,
                },
                {
                    "name": "database",
                    "outcome": "blocked",
                    "selected": None,
                    "deselected": None,
                    "counts": {},
                    "cause": "nothing listens at 127.0.0.1:1",
                    "finding": "net.refused",
                },
                {
                    "name": "integration",
                    "outcome": "blocked",
                    "selected": None,
                    "deselected": None,
                    "counts": {},
                    "cause": "database is blocked: nothing listens at 127.0.0.1:1",
                    "finding": "net.refused",
                },
                {
                    "name": "agent",
                    "outcome": "empty",
                    "selected": 0,
                    "deselected": 0,
                    "counts": {},
                    "cause": "no test was found in tests/agent",
                    "finding": None,
                },
            ],
        }
    )


def test_text_and_json_agree(mixed: Project) -> None:
    for arguments in (["unit"], ["integration"], ["agent"], ["broken"], ["lint", "agent"]):
        text = mixed.envkit("test", *arguments)
        report = said(mixed, *arguments)
        assert text.returncode == report["exit_code"]
        for one in report["categories"]:
            assert re.search(rf"^\S {one['name']} +{one['outcome']}\b", text.stdout, re.MULTILINE)


def test_junit_has_a_suite_for_each_category(mixed: Project) -> None:
    mixed.envkit("test", "--junit", "out/report.xml")
    root = ElementTree.parse(mixed.root / "out/report.xml").getroot()

    told = {
        suite.get("name"): {
            case.get("name"): next((child.tag for child in case), "passed") for case in suite
        }
        for suite in root
    }
    assert told == {
        "unit": {"test_good": "passed", "test_bad": "failure"},
        "database": {"database": "error"},
        "integration": {"integration": "skipped"},
        "agent": {"agent": "skipped"},
        "broken": {"tests.broken.test_it": "error", "broken": "error"},
        "lint": {"test_one": "passed"},
    }
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(name, "")) == sum(int(suite.get(name, "")) for suite in root)
    assert "secret-word" not in (mixed.root / "out/report.xml").read_text()


def test_report_that_the_user_asks_pytest_for_is_theirs(project: Project) -> None:
    declare(project, unit="", other="")
    project.write("tests/unit/test_it.py", FAILS)
    project.write("tests/other/test_it.py", PASSES)
    project.envkit("test", "--junit", "all.xml", "--", "--junitxml=theirs.xml", **LIGHT)
    # The second category writes over what the first one has written there.
    for name, expected in {
        "all.xml": ["test_good", "test_bad", "test_one"],
        "theirs.xml": ["test_one"],
    }.items():
        names = [one.get("name") for one in ElementTree.parse(project.root / name).iter("testcase")]
        assert names == expected


def test_report_that_cannot_be_written_leaves_the_one_before(
    project: Project, tmp_path: Path
) -> None:
    names = [f"number{number}" for number in range(40)]
    declare(project, **dict.fromkeys(names, 'needs = ["redis"]'))
    report = tmp_path / "report.xml"
    report.write_text("before")
    program = shlex.join([sys.executable, "-m", "envkit", "test", "--junit", str(report)])

    done = subprocess.run(
        ["sh", "-c", f"trap '' XFSZ; ulimit -f 8; {program}"],  # 4 KiB, in POSIX's units
        cwd=project.root,
        env=os.environ | {"ENVKIT_REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert f"{report} was not written: File too large" in done.stderr
    assert report.read_text() == "before"
    assert list(tmp_path.glob("*report*")) == [report]


def test_disk_without_any_room_is_said(project: Project) -> None:
    declare(project, unit="")
    program = shlex.join([sys.executable, "-m", "envkit", "test"])
    done = subprocess.run(
        ["sh", "-c", f"trap '' XFSZ; ulimit -f 0; {program}"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "there is no place for temporary files" in done.stderr
    assert "Traceback" not in done.stderr


def test_summary_of_a_step_is_a_table(mixed: Project, tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    file.write_text("Before.\n\n")
    done = mixed.envkit("test", "unit", "integration", GITHUB_STEP_SUMMARY=str(file))
    assert done.returncode == 1
    text = file.read_text()
    html = MarkdownIt().enable("table").render(text)
    assert text.startswith("Before.\n\n")
    assert html.count("<tr>") == 4
    assert "<td>integration</td>\n<td>blocked</td>" in html
    assert "a&amp;b|&lt;c&gt;" in html


def test_only_commands_look_like_commands_in_a_summary(project: Project, tmp_path: Path) -> None:
    declare(project, unit="")
    project.write("tests/unit/test_it.py", FAILS)
    for arguments, expected in (
        (["-k", "("], '→ use names with and, or, not and parentheses, in quotes: -k "agent'),
        (["-k", "bad"], "```sh\nenvkit test unit -- --lf\n```"),
    ):
        file = tmp_path / "summary.md"
        file.write_text("")
        project.envkit("test", "--", *arguments, **LIGHT, GITHUB_STEP_SUMMARY=str(file))
        assert expected in file.read_text().replace("\\", "")


def test_output_of_pytest_goes_to_standard_error_beside_json(project: Project) -> None:
    declare(project, unit="")
    project.write("tests/unit/test_it.py", PASSES)
    done = project.envkit("test", "--format", "json", **LIGHT)
    assert json.loads(done.stdout)["exit_code"] == 0
    assert "1 passed" in done.stderr


def test_pytest_has_the_terminal(project: Project) -> None:
    declare(project, unit="")
    project.write(
        "tests/unit/test_it.py",
        "import os, sys\ndef test_it(): assert os.isatty(0) and os.isatty(1)\n",
    )
    ours, theirs = pty.openpty()
    try:
        command = subprocess.Popen(
            [sys.executable, "-m", "envkit", "test", "--", "-s"],
            cwd=project.root,
            env=os.environ | LIGHT | {"TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += (part := os.read(ours, 4096))
            except OSError:  # Linux says so when the last one has closed it
                break
            if not part:
                break
        assert command.wait(60) == 0
    finally:
        os.close(ours)
    assert b"\x1b[32m" in shown
