"""Which categories run, in which order, and what one that is not fine does to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envkit.categories.order import in_order
from envkit.declared import Category
from tests.gate.gated import LIGHT, PASSES, declare, results

if TYPE_CHECKING:
    from tests.conftest import Project

FAILS = "def test_it(): assert False\n"
DIAMOND = {
    name: Category(name=name, after=after)
    for name, after in {
        "e2e": ("api", "ui"),
        "ui": ("unit",),
        "api": ("unit",),
        "unit": (),
        "lint": (),
    }.items()
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "unit ui api e2e lint"),
        (["e2e"], "unit ui api e2e"),
        (["lint", "api"], "unit api lint"),
        (["api", "api"], "unit api"),
    ],
)
def test_prerequisites_come_first_and_once(names: list[str], expected: str) -> None:
    assert [one.name for one in in_order(DIAMOND, names)] == expected.split()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["unti"], "there is no category 'unti' [envkit.usage]\n  → did you mean unit?"),
        (["--keep-going", "--fail-fast"], "use one of them"),
        (["--junit", "envkit.toml/report.xml"], "envkit.toml/report.xml cannot be written"),
        (["-x"], "Is this pytest's own? Put -- before it."),
    ],
)
def test_usage_errors(project: Project, arguments: list[str], words: str) -> None:
    declare(project, unit="")
    done = project.envkit("test", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_project_without_categories_is_told_how_to_declare_one(project: Project) -> None:
    done = project.envkit("test")
    assert done.returncode == 2
    assert "[tool.envkit.categories.unit]" in done.stderr


def test_circle_is_named_with_its_line(project: Project) -> None:
    declare(project, one='after = ["two"]', two='after = ["one"]')
    done = project.envkit("test")
    assert done.returncode == 2
    assert "envkit.toml:4" in done.stderr
    assert "one after two after one" in done.stderr


@pytest.fixture
def chain(project: Project) -> Project:
    """The first of three that wait for each other fails; a fourth is on its own."""
    declare(project, one="", two='after = ["one"]', three='after = ["two"]', other="")
    project.write("tests/one/test_it.py", FAILS)
    for name in ("two", "three", "other"):
        project.write(f"tests/{name}/test_it.py", PASSES)
    return project


def outcomes(project: Project, *arguments: str) -> dict[str, str]:
    return {name: one["outcome"] for name, one in results(project, *arguments).items()}


def test_failure_blocks_what_comes_after_it_with_its_cause(chain: Project) -> None:
    found = results(chain)
    assert {name: one["outcome"] for name, one in found.items()} == {
        "one": "failed",
        "two": "blocked",
        "three": "blocked",
        "other": "passed",
    }
    cause = "one failed: tests/one/test_it.py::test_it: assert False"
    assert found["two"]["cause"] == found["three"]["cause"] == cause
    assert found["two"]["selected"] is None


def test_keep_going_runs_what_comes_after_a_failure(chain: Project) -> None:
    assert outcomes(chain, "two", "--keep-going") == {"one": "failed", "two": "passed"}


def test_fail_fast_runs_nothing_after_a_failure(chain: Project) -> None:
    found = outcomes(chain, "two", "other", "--fail-fast")
    assert found == {"one": "failed", "two": "blocked", "other": "not-checked"}


def test_what_needs_something_is_blocked_with_keep_going_too(project: Project) -> None:
    declare(project, one='needs = ["postgres"]')
    project.write("tests/one/test_it.py", PASSES)
    url = "postgresql://app@127.0.0.1:1/app_test"
    done = project.envkit("test", "--keep-going", ENVKIT_POSTGRES_URL=url, **LIGHT)
    assert done.returncode == 1


def test_many_ways_to_the_same_prerequisite_are_no_more_work() -> None:
    layers = {
        f"{side}{depth}": Category(
            name=f"{side}{depth}", after=(f"a{depth - 1}", f"b{depth - 1}") if depth else ()
        )
        for depth in range(60)
        for side in "ab"
    }
    assert len(in_order(layers, ["a59"])) == 2 * 59 + 1
