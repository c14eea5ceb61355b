"""One project with more than one keeper, and with services that nobody has asked for."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign


def port(project: Project, **environment: str) -> int:
    said = project.envkit("export", "redis", "--format", "json", **environment).stdout
    return int(json.loads(said)["services"]["redis"]["port"])


def services(project: Project) -> list[str]:
    said: dict[str, Any] = json.loads(project.envkit("status", "--format", "json").stdout)
    return [row["service"] for keeper in said["keepers"] for row in keeper["services"]]


def test_export_follows_the_configuration(project: Project) -> None:
    one, two = ({"ENVKIT_START_TIMEOUT": seconds} for seconds in ("40s", "50s"))
    for environment in (one, two):
        assert project.envkit("up", "redis", **environment).returncode == 0
    assert port(project, **one) != port(project, **two)
    assert port(project, **one) == port(project, **one)


def test_export_under_another_configuration_takes_what_was_started_last(project: Project) -> None:
    for seconds in ("40s", "50s"):
        project.envkit("up", "redis", ENVKIT_START_TIMEOUT=seconds)
    assert port(project) == port(project, ENVKIT_START_TIMEOUT="50s")


def test_export_asks_for_nothing_that_is_not_up(project: Project) -> None:
    project.write("envkit.toml", "")
    project.envkit("up", "redis")
    exported = json.loads(project.envkit("export", "--format", "json").stdout)
    assert list(exported["services"]) == services(project) == ["redis"]


def test_saved_logs_are_found_after_the_configuration_was_mended(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\nredis.settings.no-such = 1\n')
    assert project.envkit("up").returncode == 3
    project.write("envkit.toml", 'services = ["redis"]\n')
    assert "no-such" in project.envkit("logs", "redis").stdout


@pytest.mark.parametrize("output", ["shell", "dotenv"])
def test_export_does_not_tell_the_administrators_password(
    project: Project, foreign_postgres: Foreign, output: str
) -> None:
    variables = {"ENVKIT_POSTGRES_URL": foreign_postgres.url}
    assert project.envkit("up", "postgres", **variables).returncode == 0
    said = project.envkit("export", "postgres", "--format", output, **variables).stdout
    assert "DATABASE_URL" in said
    assert foreign_postgres.url not in said


def test_status_says_that_a_keeper_hangs(project: Project) -> None:
    project.envkit("up", "redis")
    (keeper,) = json.loads(project.envkit("status", "--format", "json").stdout)["keepers"]
    os.kill(keeper["pid"], signal.SIGSTOP)
    try:
        shown = project.envkit("status")
    finally:
        os.kill(keeper["pid"], signal.SIGCONT)
    assert shown.returncode == 1
    assert f"a keeper (pid {keeper['pid']}) runs and does not answer" in shown.stderr


def test_run_says_that_its_keeper_was_killed(project: Project) -> None:
    kill = (
        "import json, os, subprocess, sys\n"
        "said = subprocess.run([sys.executable, '-m', 'envkit', 'status', '--format', 'json'],\n"
        "                      stdout=subprocess.PIPE).stdout\n"
        "os.kill(json.loads(said)['keepers'][0]['pid'], 9)\n"
    )
    ended = project.envkit("run", "--", sys.executable, "-c", kill)
    assert ended.returncode == 0
    assert "the process that kept the servers went away meanwhile" in ended.stderr
