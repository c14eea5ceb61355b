"""What runs leave behind, read as a visit would be."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from envkit.doctor.model import Facts
from envkit.doctor.reading import read, text_of
from envkit.doctor.triage import findings_of

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


REFUSED = 'psycopg.OperationalError: FATAL:  password authentication failed for user "bob"'


def test_junit_file_that_is_cut_off_is_read_with_its_references_resolved() -> None:
    said = escape(REFUSED, {'"': "&quot;"})
    cut = f'<?xml version="1.0"?><testsuites><testcase><failure message="{said}" x'
    assert [one.slug for one in findings_of(read(cut), Facts())] == ["pg.auth.password"]


def test_log_in_utf_16_is_read_as_powershell_writes_it(project: Project) -> None:
    (project.root / "run.log").write_bytes(f"{REFUSED}\r\n".encode("utf-16"))
    done = project.envkit("doctor", "--log", "run.log", "--format", "json")
    assert [one["slug"] for one in json.loads(done.stdout)["findings"]] == ["pg.auth.password"]


def test_middle_of_a_very_long_log_is_left_out_and_lines_keep_their_numbers() -> None:
    line = b"nothing of interest here, and quite long, too, so that there are not too many\n" * 1000
    log = b"first\n" + line * 300 + b"last\n"
    text, skipped = text_of(io.BytesIO(log))
    lines = text.splitlines()
    assert skipped > 0
    assert (lines[0], lines[-1], len(lines)) == ("first", "last", 300_002)


def test_thousands_of_like_faults_in_a_log_are_a_few_findings() -> None:
    log = "\n".join(
        f'connection to server at "h{n}", port 5432 failed: FATAL:  '
        f'password authentication failed for user "u{n}"'
        for n in range(2000)
    )
    log = log.replace("connection to", "psycopg.OperationalError: connection to")
    found = findings_of(
        read(f"{log}\nredis.exceptions.AuthenticationError: NOAUTH Authentication required.\n"),
        Facts(),
    )
    assert 1 < len(found) < 100
    assert "redis.auth.required" in [one.slug for one in found]
