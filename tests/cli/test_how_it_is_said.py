"""Pipes that close, narrow encodings and passwords: how the commands say what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from tests.cli.exported import password_of

if TYPE_CHECKING:
    from tests.conftest import Project


@pytest.mark.parametrize("command", [["status"], ["export"], ["logs", "redis"], ["--help"]])
def test_reader_that_goes_away_early_gets_no_traceback(up: Project, command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "envkit", *command],
        cwd=up.root,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("command", [["status"], ["export"], ["logs", "redis"], ["--help"]])
def test_closed_standard_output_gives_no_traceback(up: Project, command: list[str]) -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "envkit", *command],
        cwd=up.root,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert ended.returncode in (0, 1)
    assert ended.stderr == ""


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_error_in_an_ascii_locale_has_no_character_that_it_lacks(project: Project) -> None:
    assert project.shown("up", "nö", **ASCII) == snapshot("""\
exit code 2
-- stdout
-- stderr
error: there is no service "n\\udcc3\\udcb6"; there are postgres, redis, clickhouse [envkit.usage]
  -> name one of postgres, redis, clickhouse
""")


def test_path_outside_of_ascii_is_escaped_in_an_ascii_locale(
    new_project: Callable[[str], Project],
) -> None:
    ended = new_project("projekt-ü").envkit("status", **ASCII)
    assert ended.returncode == 0
    assert ended.stdout.endswith("projekt-\\udcc3\\udcbc\n")


def test_no_password_in_what_people_see(up: Project) -> None:
    password = password_of(up)
    assert len(password) == 32
    for command in (
        ["up"],
        ["status"],
        ["status", "--format", "json"],
        ["logs", "redis"],
        ["shell", "redis", "--lease", "nope"],
        ["prune"],
        ["down"],
    ):
        ended = up.envkit(*command)
        assert password not in ended.stdout + ended.stderr, command


def test_no_password_in_the_arguments_of_any_process(up: Project) -> None:
    password = password_of(up).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except OSError:
            continue
        assert password not in arguments


def test_broken_configuration_does_not_keep_servers_from_being_stopped(up: Project) -> None:
    up.write("envkit.toml", "services = [")
    assert up.envkit("status").stdout.startswith(f"{up.root}: up until")
    down = up.envkit("down")
    assert (down.returncode, down.stderr) == (0, "stopped redis\n")


def test_error_in_piped_sql_is_an_exit_code(project: Project) -> None:
    assert project.envkit("up", "postgres").returncode == 0
    failed = project.envkit("shell", "postgres", stdin="SELEC;\nSELECT 1;\n")
    assert failed.returncode == 3  # psql's, "the variable ON_ERROR_STOP was set"
    assert "syntax error" in failed.stderr
