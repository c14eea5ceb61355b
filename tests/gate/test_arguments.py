"""What pytest is given: the category's arguments, and the user's unharmed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.gate.gated import LIGHT, declare, results, said

if TYPE_CHECKING:
    from tests.conftest import Project

TESTS = """
import pytest

@pytest.mark.slow
@pytest.mark.api
def test_slow_api(): pass

@pytest.mark.api
def test_api(): pass

@pytest.mark.slow
def test_slow(): pass

class TestNames:
    @pytest.mark.parametrize("name", ["a b", "*"])
    def test_named(self, name): pass
"""
ECHO = """
import json, pathlib

def pytest_addoption(parser):
    parser.addoption("--where")

def pytest_configure(config):
    told = [list(config.invocation_params.args), config.option.where]
    pathlib.Path("echo").write_text(json.dumps(told))
"""


@pytest.fixture
def marked(project: Project) -> Project:
    declare(project, api='markers = "api or fast"', other="")
    project.write("pytest.ini", "[pytest]\nmarkers = slow\n  api\n  fast\n")
    for name in ("api", "other"):
        project.write(f"tests/{name}/test_it.py", TESTS)
    return project


def counted(project: Project, name: str, *arguments: str) -> tuple[int, int]:
    found: dict[str, Any] = results(project, name, "--", *arguments)[name]
    return found["selected"], found["deselected"]


def doctor(project: Project, name: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What it reports of the tests of a category."""
    asked = ["doctor", "--format", "json", "--category", name, "--", *arguments]
    report: dict[str, Any] = json.loads(project.envkit(*asked, **LIGHT, **environment).stdout)
    return report


def seen_by_the_doctor(project: Project, name: str, *arguments: str) -> tuple[int, int]:
    """How many tests would be selected and deselected."""
    report = doctor(project, name, *arguments)
    [check] = [one for one in report["checks"] if one["name"] == "Test selection"]
    found = re.match(r"(\d+) of (\d+) tests? selected", check["detail"])
    assert found, check
    selected, collected = map(int, found.groups())
    return selected, collected - selected


def test_arguments_arrive_as_they_are(project: Project) -> None:
    declare(project, one='args = ["--color=no", "-p", "no:doctest"]\nmarkers = "not slow"')
    project.write("conftest.py", ECHO)
    project.write("tests/one/test_it.py", "def test_it(): pass\n")
    typed = ["-k", "it or it[a-b]", "--where", "tests/one", "-o", "norecursedirs=*.egg a b"]

    assert said(project, "--", *typed, **LIGHT)["exit_code"] == 0

    arguments, where = json.loads((project.root / "echo").read_text())
    assert arguments[2:] == [
        *("--color=no", "-p", "no:doctest", "-m", "not slow", "tests/one"),
        *typed,
    ]
    assert where == "tests/one"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (2, 3)),
        (["-m", "slow"], (1, 4)),
        (["-mslow or fast"], (1, 4)),
        (["-xm", "not slow"], (1, 4)),
        (["-k", "api", "-m", "slow or not slow"], (2, 3)),
        (["-m", "slow", "-n", "2"], (1, 4)),
    ],
)
def test_markers_of_both_sides_have_to_fit(
    marked: Project, arguments: list[str], expected: tuple[int, int]
) -> None:
    plugins = ["-p", "xdist"] if "-n" in arguments else []
    assert counted(marked, "api", *plugins, *arguments) == expected
    assert seen_by_the_doctor(marked, "api", *plugins, *arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-k", "slow and not api"], (1, 4)),
        (["tests/other/test_it.py::TestNames"], (2, 0)),
        (["tests/other/test_it.py::TestNames::test_named[a b]"], (1, 0)),
        (["tests/other/test_it.py::TestNames::test_named[*]"], (1, 0)),
        (["tests"], (5, 0)),
        (["tests/api/test_it.py", "tests/other/test_it.py::test_api"], (1, 0)),
    ],
)
def test_places_and_expressions_narrow_the_category(
    marked: Project, arguments: list[str], expected: tuple[int, int]
) -> None:
    assert counted(marked, "other", *arguments) == expected
    assert seen_by_the_doctor(marked, "other", *arguments) == expected


def test_category_that_has_none_of_the_named_tests_is_empty(marked: Project) -> None:
    found = results(marked, "--", "tests/other/test_it.py::test_api")
    assert found["api"]["outcome"] == "empty"
    assert found["api"]["cause"] == "none of the named files and tests is in tests/api"
    assert found["other"]["counts"] == {"passed": 1}
    [finding] = doctor(marked, "api", "tests/other/test_it.py::test_api")["findings"]
    assert finding["slug"] == "pytest.select.empty"
    assert finding["title"] == found["api"]["cause"]


def test_misspelt_path_is_an_error_and_not_empty(marked: Project) -> None:
    found = results(marked, "other", "--", "tests/othr/test_it.py")["other"]
    assert found["outcome"] == "error"
    assert found["finding"]["slug"] == "pytest.path.missing"


def test_paths_are_as_seen_from_where_they_are_typed(marked: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "envkit", "test", "other", "--", "-q", "test_it.py::test_slow"],
        cwd=marked.root / "tests/other",
        env=os.environ | LIGHT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert "1 passed" in done.stdout


def test_first_failure_ends_with_x_and_last_failed_runs_again(project: Project) -> None:
    declare(project, one="")
    code = "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): assert 0\n"
    project.write("tests/one/test_it.py", code)
    assert results(project, "--", "-x")["one"]["counts"] == {"passed": 1, "failed": 1}
    assert results(project, "--", "--lf")["one"]["counts"] == {"failed": 1}


def test_xdist_is_counted_like_any_run(project: Project) -> None:
    declare(project, one="")
    project.write("tests/one/test_it.py", TESTS.replace("@pytest.mark.slow", "@pytest.mark.skip"))
    found = results(project, "--", "-p", "xdist", "-n", "2", "-k", "not named")["one"]
    assert (found["selected"], found["deselected"]) == (3, 2)
    assert found["counts"] == {"passed": 1, "skipped": 2}
    found = results(project, "--", "-p", "xdist", "-n", "2", "-k", "agent")["one"]
    assert found["cause"] == "0 of 5 selected by -k 'agent'"


def test_xdist_makes_no_other_outcomes(project: Project) -> None:
    declare(project, collection="", crash="")
    project.write("tests/collection/test_it.py", "import no_such_module\n")
    project.write("tests/crash/test_it.py", "import os\ndef test_it(): os.abort()\n")

    found = results(project, "--", "-p", "xdist", "-n", "1")

    assert found["collection"]["outcome"] == "error"
    assert found["collection"]["cause"].startswith("1 file could not be collected")
    # Another worker takes over, so the run came to its end.
    assert found["crash"]["outcome"] == "failed"
    assert found["crash"]["counts"] == {"failed": 1}


def test_project_whose_warnings_are_errors_is_warned_of_nothing_of_ours(project: Project) -> None:
    declare(project, one="")
    project.write("pytest.ini", "[pytest]\nfilterwarnings = error\n")
    project.write("tests/one/test_it.py", "def test_it(): pass\n")
    assert results(project)["one"]["outcome"] == "passed"
    assert seen_by_the_doctor(project, "one") == (1, 0)


@pytest.mark.parametrize("argument", ["-h", "--version", "-VV"])
def test_questions_to_pytest_itself_run_no_test(marked: Project, argument: str) -> None:
    found = results(marked, "api", "--", argument)["api"]
    assert (found["outcome"], found["cause"]) == ("empty", "pytest was asked to run no test")
