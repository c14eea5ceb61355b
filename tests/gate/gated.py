"""Projects with categories of tests, and what ``envkit test`` makes of them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import Project

__all__ = ["LIGHT", "PASSES", "declare", "nobody_listens", "results", "said"]

#: Other plugins, envkit's own included, take most of the time of such small runs.
LIGHT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PASSES = "def test_one(): pass\n"


def declare(project: Project, **categories: str) -> None:
    """Write a configuration in which each category has the directory of its name.

    Args:
        project: Whose.
        categories: Further lines of each.
    """
    tables = [
        f'[categories.{name}]\npaths = ["tests/{name}"]\n{lines}\n'
        for name, lines in categories.items()
    ]
    project.write("envkit.toml", 'services = ["redis"]\n' + "\n".join(tables))


def said(project: Project, *arguments: str, **environment: str) -> dict[str, Any]:
    """What ``--format json`` prints, whose exit code the command has."""
    done = project.envkit("test", "--format", "json", *arguments, **environment)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["version"] == 1
    assert report["exit_code"] == done.returncode
    return report


def results(project: Project, *arguments: str, **environment: str) -> Mapping[str, dict[str, Any]]:
    """The categories by name, in the order in which they ran; without any other plugin."""
    report = said(project, *arguments, **LIGHT, **environment)
    return {one["name"]: one for one in report["categories"]}


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that is taken and refuses connections."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]
