"""The composite action, and the hooks for pre-commit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envkit.ci.pins import ACTIONS
from tests.ci.projects import write
from tests.ci.published import faults, parsed
from tests.ci.running import Machine, run_steps
from tests.test_export import read_github_file

if TYPE_CHECKING:
    from tests.conftest import Project

ROOT = Path(__file__).parents[2]
USED = """\
import os

import psycopg
import redis

psycopg.connect(os.environ["DATABASE_URL"]).execute("CREATE TABLE a (b int)")
redis.Redis.from_url(os.environ["REDIS_URL"]).set("a", "b")
"""


@pytest.fixture
def action() -> Any:
    return parsed((ROOT / "action.yml").read_text())


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    files = {"envkit.toml": 'services = ["postgres", "redis"]\n', "use.py": USED}
    made = Machine(tmp_path, write(tmp_path / "used", files))
    yield made
    made.close()


def test_the_action_is_what_the_published_schema_says(action: Any) -> None:
    assert faults(action, "github-actions") == []


def test_the_action_pins_what_the_jobs_pin(action: Any) -> None:
    used = [step["uses"] for step in action["runs"]["steps"] if "uses" in step]
    assert used == [f"actions/cache@{ACTIONS['cache'][0]}"]


def test_the_key_of_the_cache_has_no_comma_of_a_package(action: Any) -> None:
    # Which would be refused: https://github.com/actions/cache/issues/1225
    [cache] = [step["with"] for step in action["runs"]["steps"] if "uses" in step]
    for key in (cache["key"], cache["restore-keys"]):
        [package] = [part for part in re.findall(r"\$\{\{(.+?)\}\}", key) if "inputs." in part]
        assert package.split(" && ")[0].strip() == "contains(inputs.package, ',')"


def test_steps_after_the_action_find_the_services(action: Any, machine: Machine) -> None:
    known = {f"inputs.{name}": one["default"] for name, one in action["inputs"].items()}
    steps = [*action["runs"]["steps"], {"name": "use", "run": "python use.py"}]
    assert run_steps(machine, steps, {}, known), machine.said()
    exported = read_github_file((machine.checkout.parent / "github_env").read_text())
    masked = [line for line in machine.said().splitlines() if line.startswith("::add-mask::")]
    assert f"::add-mask::{exported['DATABASE_URL']}" in masked
    assert f"::add-mask::{exported['PGPASSWORD']}" in masked


def test_the_action_starts_the_services_that_it_is_told(action: Any, machine: Machine) -> None:
    known = {f"inputs.{name}": one["default"] for name, one in action["inputs"].items()}
    known["inputs.services"] = "redis"
    assert run_steps(machine, action["runs"]["steps"], {}, known), machine.said()
    exported = read_github_file((machine.checkout.parent / "github_env").read_text())
    assert "REDIS_URL" in exported
    assert "DATABASE_URL" not in exported


HOOKS = {hook["id"]: hook for hook in parsed((ROOT / ".pre-commit-hooks.yaml").read_text())}


def hook(project: Project, name: str) -> int:
    """The exit code of a hook's entry, as it is written."""
    command, *arguments = shlex.split(HOOKS[name]["entry"])
    assert command == "envkit"
    return project.envkit(*arguments).returncode


def test_the_hook_about_secrets(project: Project) -> None:
    project.write("envkit.toml", "secret_dirs = ['run']\n[secrets]\nSERVICE_SECRET = {}\n")
    assert hook(project, "envkit-secrets") == 1
    assert project.envkit("secrets", "generate").returncode == 0
    assert hook(project, "envkit-secrets") == 0


def test_the_hook_about_the_compose_file(project: Project) -> None:
    assert hook(project, "envkit-compose") == 1
    project.envkit("compose", "render")
    assert hook(project, "envkit-compose") == 0
