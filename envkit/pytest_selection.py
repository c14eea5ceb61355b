"""The pytest plugin that fits a category and what a user adds together.

A user's ``-m`` narrows the category's markers, and files and tests narrow it to what of them lies
in its paths. xdist's workers load it as well.

PYTEST_DONT_REWRITE: other plugins import it before pytest does, which would warn that it comes too
late to rewrite its assertions. There are none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from envkit.selection import ORDERS

__all__ = ["expression_of", "has_any"]


class _Selection:
    """What of the category is to be collected.

    Args:
        told: ``markers`` and ``paths`` of the category; ``arguments``, those that the user typed,
            and ``typed_in``, where.
    """

    def __init__(self, told: dict[str, Any], parser: pytest.Parser) -> None:
        self.is_none = False
        self._parser = parser
        self._markers: str = told["markers"]
        self._paths: list[str] = told["paths"]
        self._arguments: list[str] = told["arguments"]
        self._typed_in = Path(told["typed_in"])

    def begin(self, early_config: pytest.Config) -> None:
        """Have pytest look for the conftest.py files of what is meant."""
        if places := self._narrowed():
            early_config.known_args_namespace.file_or_dir = places

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int | None:
        if config.option.help:
            return None  # pytest 8 raises if it reads that twice
        if (markers := self._expression()) is not None:
            config.option.markexpr = markers
        if (places := self._narrowed()) is not None:
            config.args[:] = places
            self.is_none = not places
        if self.is_none and not hasattr(config, "workerinput"):
            return int(pytest.ExitCode.NO_TESTS_COLLECTED)
        return None

    def _expression(self) -> str | None:
        """Of markers: that of the category and that of the user; None leaves it as it is."""
        typed = str(self._typed()[0].markexpr or "")
        if not typed or not self._markers:
            return None
        return f"({self._markers}) and ({typed})"

    def _narrowed(self) -> list[str] | None:
        """What to collect if the user named files or tests; None leaves it as it is."""
        options, places = self._typed()
        if options.pyargs or not places:
            return None
        found: list[str] = []
        for place in places:
            # What is not there is left for pytest to complain of.
            narrow = bool(self._paths) and self._is_there(place)
            typed = self._from_here(place)
            found += (
                filter(None, (_common(typed, path) for path in self._paths)) if narrow else [typed]
            )
        return list(dict.fromkeys(found))

    def _typed(self) -> tuple[Any, list[str]]:
        options, rest = self._parser.parse_known_and_unknown_args(self._arguments)
        # Options that a conftest.py adds are not known at first, nor that what follows is theirs.
        found = [*options.file_or_dir, *(one for one in rest if not one.startswith("-"))]
        return options, [one for one in found if not rest or self._is_there(one)]

    def _is_there(self, place: str) -> bool:
        return Path(self._from_here(place).partition("::")[0]).exists()

    def _from_here(self, place: str) -> str:
        """As seen from the project's directory, where pytest runs."""
        file, sign, name = place.partition("::")
        there = self._typed_in / file
        return f"{os.path.relpath(there)}{sign}{name}" if there.exists() else place


def _common(typed: str, path: str) -> str | None:
    """The narrower of two places in a tree of tests, if one lies in the other."""
    for inner, outer in ((typed, path), (path, typed)):
        file, _, name = inner.partition("::")
        around, _, around_name = outer.partition("::")
        resolved = Path(file).resolve()
        if not around_name and Path(around).resolve() in (resolved, *resolved.parents):
            return inner
        beginning = name == around_name or name.startswith((f"{around_name}::", f"{around_name}["))
        if around_name and Path(around).resolve() == resolved and beginning:
            return inner
    return None


_SELECTION = pytest.StashKey[_Selection]()


def has_any(config: pytest.Config) -> bool:
    """Whether anything of the category is left by the files and tests that the user named."""
    selection = config.stash.get(_SELECTION, None)
    return selection is None or not selection.is_none


def expression_of(config: pytest.Config) -> str:
    """What of the command line selects tests, as it is typed."""
    option = config.option
    parts = [f"-k {option.keyword!r}"] if option.keyword else []
    parts += [f"-m {option.markexpr!r}"] if option.markexpr else []
    parts += [f"--deselect {prefix}" for prefix in option.deselect or ()]
    return " ".join(parts)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> None:
    if ORDERS not in os.environ:
        return
    selection = _Selection(json.loads(os.environ[ORDERS]), parser)
    selection.begin(early_config)
    early_config.stash[_SELECTION] = selection
    early_config.pluginmanager.register(selection, "envkit-selection")
