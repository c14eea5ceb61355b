# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What is shown while services start: live on a terminal, plain lines everywhere else."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Project

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    project: Project, *arguments: str, width: int = 80, **environment: Any
) -> tuple[int, str]:
    """Exit code, and all that a terminal of this width is sent."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "envkit", *arguments],
        cwd=project.root,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "LC_ALL": "C.UTF-8"} | environment,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # EIO: the other end was closed
            break
        if not part:
            break
        said += part
    os.close(ours)
    return process.wait(60), said.decode()


def last_frame(said: str) -> list[str]:
    """The lines that stay on the screen: a frame replaces the one before it."""
    final = re.split(r"\x1b\[1A|\x1b\[2K|\r(?!\n)", said)
    text = ESCAPE.sub("", "".join(final[-3:]))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("width", [40, 120])
def test_start_is_shown_live_on_a_terminal(project: Project, width: int) -> None:
    code, said = on_a_terminal(project, "up", width=width)
    assert code == 0
    assert "\x1b[2K" in said, "nothing was redrawn"
    assert "starting" in said or "waiting" in said
    assert re.search(r"✓.*redis.*ready in \d+ ms", said)


@pytest.mark.parametrize("width", [40, 120])
def test_no_live_line_is_wider_than_the_terminal(project: Project, width: int) -> None:
    _, said = on_a_terminal(project, "run", "--", "true", width=width)
    for line in re.split(r"[\r\n]+", ESCAPE.sub("", said)):
        assert len(line) <= width


def test_cursor_is_visible_again_afterwards(project: Project) -> None:
    _, said = on_a_terminal(project, "run", "--", "true")
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


def test_no_color_takes_colours_away_but_stays_live(project: Project) -> None:
    _, said = on_a_terminal(project, "run", "--", "true", NO_COLOR="1")
    assert "\x1b[2K" in said
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", said)


def test_error_is_coloured_on_a_terminal(project: Project) -> None:
    code, said = on_a_terminal(project, "up", "mysql")
    assert (code, said) == snapshot(
        (
            2,
            """\
\x1b[31m\x1b[1merror\x1b[0m: there is no service 'mysql'; there are postgres, redis, clickhouse \x1b[2m[envkit.usage]\x1b[0m\r
  → \x1b[1mname one of postgres, redis, clickhouse\x1b[0m\r
""",
        )
    )


def test_error_is_not_coloured_with_no_color(project: Project) -> None:
    code, said = on_a_terminal(project, "up", "mysql", NO_COLOR="1")
    assert (code, said) == snapshot(
        (
            2,
            """\
error: there is no service 'mysql'; there are postgres, redis, clickhouse [envkit.usage]\r
  → name one of postgres, redis, clickhouse\r
""",
        )
    )


def test_service_that_fails_is_marked_and_explained_below(project: Project) -> None:
    code, said = on_a_terminal(project, "up", "--backend", "docker", width=200)
    assert code == 3
    assert re.search(r"✗.*redis.*failed \[docker\.daemon\.down\]", said)
    assert said.index("✗") < said.index("error")


def test_terminal_without_the_marks_gets_plain_lines(project: Project) -> None:
    ascii_only: dict[str, Any] = {
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    code, said = on_a_terminal(project, "run", "--", "true", **ascii_only)
    assert (code, project.steady(said)) == snapshot(
        (0, "redis  ready in N ms  Valkey N.N (embedded)\r\n")
    )


def test_dumb_terminal_gets_no_escape_sequences(project: Project) -> None:
    _, said = on_a_terminal(project, "run", "--", "true", TERM="dumb")
    assert "\x1b" not in said


def test_pipe_gets_a_line_for_each_service_when_it_is_ready(project: Project) -> None:
    project.write("envkit.toml", "")
    said = project.envkit("run", "--", "true").stderr
    assert sorted(project.steady(said).splitlines()) == snapshot(
        [
            "clickhouse  ready in N ms  ClickHouse (chdb) N.N (embedded)",
            "postgres  ready in N ms  PostgreSQL N.N (embedded)",
            "redis  ready in N ms  Valkey N.N (embedded)",
        ]
    )


def test_two_services_that_fail_are_both_shown(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis", "postgres"]\nbackend = "docker"\n')
    said = project.envkit("up").stderr
    assert sorted(line for line in said.splitlines() if " failed [" in line) == snapshot(
        ["postgres    failed [docker.daemon.down]", "redis       failed [docker.daemon.down]"]
    )


def test_command_of_run_has_the_terminal_to_itself(project: Project) -> None:
    code = "import sys; print(all(f.isatty() for f in (sys.stdin, sys.stdout, sys.stderr)))"
    _, said = on_a_terminal(project, "run", "--", sys.executable, "-c", code)
    assert said.endswith("True\r\n")


def test_init_asks_on_a_terminal(project: Project) -> None:
    (project.root / "envkit.toml").unlink()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "envkit", "init"],
        cwd=project.root,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"n\n")
    said, _ = process.communicate(timeout=60)
    os.close(ours)
    assert said.rstrip().endswith("[Y/n]:")
    assert process.returncode == 1
    assert not list(project.root.iterdir())
