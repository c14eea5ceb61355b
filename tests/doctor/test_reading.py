"""What runs leave behind, read as a visit would be."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from envkit.doctor.reading import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project


def run_pytest(place: Path, *arguments: str) -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        (place / "test_it.py").write_text(
            "import socket\n"
            "def test_connects():\n"
            f"    socket.create_connection(('127.0.0.1', {port}), timeout=5)\n"
        )
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "no:envkit",
                "-p",
                "no:cacheprovider",
                *arguments,
            ],
            cwd=place,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        ).stdout


def test_junit_file_gives_the_test_and_its_error(tmp_path: Path) -> None:
    run_pytest(tmp_path, "--junitxml=result.xml")
    symptoms = read((tmp_path / "result.xml").read_text())
    assert ("socket", "ECONNREFUSED") in [(one.source, one.code) for one in symptoms]
    assert {one.where for one in symptoms} == {"test_it::test_connects"}


def test_junit_file_that_is_cut_off_is_read_as_a_log(tmp_path: Path) -> None:
    run_pytest(tmp_path, "--junitxml=result.xml")
    text = (tmp_path / "result.xml").read_text()
    cut = text[: text.index("</failure>")]
    assert ("socket", "ECONNREFUSED") in [(one.source, one.code) for one in read(cut)]


def test_log_of_a_file_and_from_standard_input_say_the_same(project: Project) -> None:
    project.write("envkit.toml", "")
    output = run_pytest(project.root)
    project.write("run.log", output)
    from_file = project.envkit("doctor", "--log", "run.log", "--format", "json")
    from_stdin = project.envkit("doctor", "--log", "-", "--format", "json", stdin=output)
    assert from_file.returncode == from_stdin.returncode == 1
    assert from_file.stdout == from_stdin.stdout
    assert json.loads(from_file.stdout)["findings"][0]["slug"] == "net.refused"


def test_log_without_a_finding_is_incomplete(project: Project) -> None:
    done = project.envkit("doctor", "--log", "-", "--format", "json", stdin="all is well\n")
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] == "incomplete"


def test_empty_log_is_incomplete(project: Project) -> None:
    assert project.envkit("doctor", "--log", "-", stdin="").returncode == 3


def test_log_that_is_not_there_is_a_usage_error(project: Project) -> None:
    done = project.envkit("doctor", "--log", "nowhere.log")
    assert done.returncode == 2
    assert "nowhere.log cannot be read" in done.stderr


def test_log_does_not_go_with_mending(project: Project) -> None:
    done = project.envkit("doctor", "--log", "-", "--fix", stdin="")
    assert done.returncode == 2
    assert "--fix does not go with it" in done.stderr
