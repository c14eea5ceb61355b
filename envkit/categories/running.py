"""The gated run: one category after another, each only if all it waits for is there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import Final

from msgspec import Struct

from envkit.categories.account import read_account
from envkit.categories.child import Stops, run_child
from envkit.categories.judging import blocked_by_needs, judge, kept_back, not_run, without_keeper
from envkit.categories.result import Result
from envkit.config import Config
from envkit.declared import Category
from envkit.doctor.visit import facts_of, look_at_needs, look_at_selection
from envkit.selection import ORDERS, arguments, orders

__all__ = ["How", "run_categories", "shown_command"]

# As `envkit.pytest_outcomes` has it, which only a pytest run can import at little cost.
_LIFELINE: Final = "_ENVKIT_CATEGORY_LIFELINE"
_PLUGIN: Final = "envkit.pytest_outcomes"


class How(Struct, frozen=True, kw_only=True):
    """What was asked for.

    Attributes:
        pytest_args: Of the user, for every category.
        require_tests: An empty category is a problem, unless it may be empty.
        keep_going: Run what comes after a category that is not fine, too.
        fail_fast: Run nothing after one that is not.
        scratch: A directory for files of this run.
        junit: Whether pytest is to write its report.
        output: Descriptor for pytest's standard output; None for our own.
    """

    pytest_args: tuple[str, ...]
    scratch: Path
    require_tests: bool = False
    keep_going: bool = False
    fail_fast: bool = False
    junit: bool = False
    output: int | None = None


def run_categories(
    config: Config,
    chosen: Sequence[Category],
    how: How,
    stops: Stops,
    on_begin: Callable[[Category], None],
    keeper_ended: Callable[[], bool],
) -> list[Result]:
    """Run them in the order in which they are.

    Args:
        config: Of the project.
        chosen: With all that has to come before any of them.
        how: What was asked for.
        stops: What ends all of it early.
        on_begin: Called before pytest is started.
        keeper_ended: Whether the keeper has ended since it was asked last.
    """
    results: dict[str, Result] = {}
    for category in chosen:
        result = _kept_back(category, results, how, stops)
        if result is None and category.needs:
            result = blocked_by_needs(category, look_at_needs(config, category.needs))
        if result is None and not stops.number:
            on_begin(category)
            result = _run(config, category, how, stops)
            if keeper_ended() and not stops.number:
                result = without_keeper(result)
        results[category.name] = result or not_run(category, _interrupted(stops))
    return list(results.values())


def _interrupted(stops: Stops) -> str:
    return f"interrupted by {Signals(stops.number).name}"


def _kept_back(
    category: Category, results: Mapping[str, Result], how: How, stops: Stops
) -> Result | None:
    if stops.number:
        return not_run(category, _interrupted(stops))
    if not how.keep_going:
        for name in category.after:
            if not results[name].is_fine:
                return kept_back(category, results[name])
    if how.fail_fast:
        for result in results.values():
            if not result.is_fine:
                return not_run(category, f"not run, because of --fail-fast and {result.name}")
    return None


def shown_command(category: Category, pytest_args: Sequence[str]) -> str:
    """What is run, as somebody would type it."""
    return shlex.join(["pytest", *arguments(category, pytest_args)])


def _run(config: Config, category: Category, how: How, stops: Stops) -> Result:
    place = Path(tempfile.mkdtemp(dir=how.scratch))
    events, junit = place / "events", place / "junit.xml"
    events.touch()
    told = orders(category, how.pytest_args) | {
        "scratch": str(how.scratch),
        "events": str(events),
        "junit": str(junit) if how.junit else "",
    }
    given = arguments(category, how.pytest_args)
    ended = run_child(
        [sys.executable, "-m", "pytest", "-p", _PLUGIN, *given],
        config.root,
        {**os.environ, ORDERS: json.dumps(told)},
        lifeline=_LIFELINE,
        stops=stops,
        limit=category.timeout,
        output=how.output,
    )
    if stops.number:
        return not_run(category, _interrupted(stops))
    account = read_account(events)
    if ended.code == 0 and not {"--version", "-V"}.isdisjoint(given):
        account.is_over = True  # pytest answers that before it loads any plugin
    if how.junit and account.junit:
        with suppress(OSError):  # the next category may write where the user's --junitxml says
            shutil.copyfile(account.junit, junit)
        account.junit = str(junit)
    return judge(
        category,
        ended,
        account,
        facts_of(config),
        require_tests=how.require_tests,
        why_usage=lambda: look_at_selection(config, category.name, how.pytest_args),
        ask_about=lambda service: look_at_needs(config, [service]),
    )
