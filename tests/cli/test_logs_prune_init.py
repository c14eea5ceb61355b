"""Logs, leftovers and new configurations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from tests.cli.exported import password_of

if TYPE_CHECKING:
    from tests.conftest import Project


def test_logs_are_the_servers_own(up: Project) -> None:
    ended = up.envkit("logs", "redis")
    assert ended.returncode == 0
    assert "Ready to accept connections" in ended.stdout


def test_logs_of_a_service_that_never_ran(project: Project) -> None:
    assert project.shown("logs", "redis") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: redis is not running for PROJECT, and no logs were saved [envkit.keeper.absent]
  → envkit up redis
""")


def test_logs_of_a_start_that_failed_are_kept(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[redis.settings]\nno-such-setting = 1\n')
    project.envkit("up")
    ended = project.envkit("logs", "redis")
    assert ended.returncode == 0
    assert "no-such-setting" in ended.stdout


def test_prune_leaves_what_is_alive(up: Project) -> None:
    assert up.shown("prune") == snapshot("""\
exit code 0
-- stdout
nothing to remove
-- stderr
""")
    assert password_of(up)


def test_json_prune(project: Project) -> None:
    said = json.loads(project.envkit("prune", "--format", "json").stdout)
    # Other runs on this machine may have left something.
    assert {name: type(value) for name, value in said.items()} == {
        "version": int,
        "removed": list,
        "left": list,
    }


@pytest.mark.parametrize("age", ["7", "d", "-1h", "1w", ""])
def test_prune_refuses_what_is_no_age(project: Project, age: str) -> None:
    ended = project.envkit("prune", "--older-than", age)
    assert ended.returncode == 2
    assert f"--older-than {age!r} is not an age" in ended.stderr


def test_init_proposes_and_writes_nothing_without_an_answer(project: Project) -> None:
    (project.root / "envkit.toml").unlink()
    before = "[project]\nname = 'x'\ndependencies = ['redis']\n"
    file = project.write("pyproject.toml", before)
    assert project.shown("init") == snapshot("""\
exit code 0
-- stdout
# redis: redis in pyproject.toml dependencies, line 3
[tool.envkit]
services = ["redis"]

-- stderr
nothing was written; `envkit init --yes` writes it
""")
    assert file.read_text() == before


def test_init_writes_when_told_to(project: Project) -> None:
    (project.root / "envkit.toml").unlink()
    project.write("pyproject.toml", "[project]\nname = 'x'\ndependencies = ['redis']\n")
    assert project.shown("init", "--yes") == snapshot("""\
exit code 0
-- stdout
# redis: redis in pyproject.toml dependencies, line 3
[tool.envkit]
services = ["redis"]

written to PROJECT/pyproject.toml
-- stderr
""")
    assert project.envkit("status").returncode == 0


def test_init_of_a_configured_project_refuses(project: Project) -> None:
    assert project.shown("init", "--yes") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: already configured at envkit.toml:1 [envkit.usage]
  → edit it there, or remove it and try again
""")
