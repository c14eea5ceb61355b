"""Which exit code outcomes make."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from envkit.categories.result import Outcome, Result, exit_code
from tests.gate.gated import LIGHT, PASSES, declare, said

if TYPE_CHECKING:
    from tests.conftest import Project


def code_of(*outcomes: Outcome, allowed_empty: tuple[str, ...] = ()) -> int:
    """The code if all were asked for, each by its outcome's name."""
    made = [Result(name=one, outcome=one) for one in outcomes]
    return exit_code(made, outcomes, allowed_empty)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["passed"], 0),
        (["passed", "empty"], 0),
        (["empty"], 5),
        (["failed"], 1),
        (["blocked"], 1),
        (["error"], 3),
        (["not-checked"], 3),
        (["passed", "error"], 3),
        (["empty", "not-checked"], 3),
        (["error", "blocked"], 1),
        (["not-checked", "failed"], 1),
    ],
)
def test_exit_code(outcomes: list[Outcome], code: int) -> None:
    assert code_of(*outcomes) == code


@pytest.mark.parametrize("outcome", [one for one in get_args(Outcome) if one != "passed"])
def test_only_empty_is_as_good_as_passed(outcome: Outcome) -> None:
    assert (code_of("passed", outcome) == 0) == (outcome == "empty")


def test_all_that_was_asked_for_is_empty_whatever_came_before_it() -> None:
    made = [Result(name="database", outcome="passed"), Result(name="agent", outcome="empty")]
    assert exit_code(made, ["agent"], []) == 5
    assert exit_code(made, ["agent", "database"], []) == 0


def test_what_may_be_empty_is_fine_when_it_is() -> None:
    assert code_of("empty", allowed_empty=("empty",)) == 0


def test_missing_tests_are_a_problem_if_they_are_required(project: Project) -> None:
    declare(project, one="", two='after = ["one"]', three="", free="allow_empty = true")
    for name in ("one", "free"):
        project.write(f"tests/{name}/test_it.py", "x = 1\n")
    for name in ("two", "three"):
        project.write(f"tests/{name}/test_it.py", PASSES)

    required = said(project, "--require-tests", **LIGHT)
    assert required["exit_code"] == 1
    assert {one["name"]: one["outcome"] for one in required["categories"]} == {
        "one": "empty",
        "two": "blocked",
        "three": "passed",
        "free": "empty",
    }
    assert said(project, "one", "three", "--require-tests", **LIGHT)["exit_code"] == 1
    assert said(project, "three", "free", "--require-tests", **LIGHT)["exit_code"] == 0
    assert said(project, "one", **LIGHT)["exit_code"] == 5
