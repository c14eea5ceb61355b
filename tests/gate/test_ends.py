"""Early ends: what was started is ended with us, and the servers are let go."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envkit.processes import start_time
from tests.gate.gated import LIGHT, declare, results

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

SLEEPS = """
import os, subprocess, time
from pathlib import Path

def test_it(request):
    request.addfinalizer(Path("torn-down").touch)
    child = subprocess.Popen(["sleep", "60"])
    Path("pids.new").write_text(f"{os.getpid()} {child.pid}")
    os.rename("pids.new", "pids")
    time.sleep(60)
"""
LIMIT_S = 20.0


@pytest.fixture
def sleeping(project: Project) -> Project:
    declare(project, one="", two="")
    for name in ("one", "two"):
        project.write(f"tests/{name}/test_it.py", SLEEPS)
    return project


def begun(project: Project) -> list[int]:
    """Pytest and what its test has started, as soon as that runs."""
    file = project.root / "pids"
    until = time.monotonic() + LIMIT_S
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


def gone(pid: int) -> bool:
    until = time.monotonic() + LIMIT_S
    while start_time(pid) is not None and time.monotonic() < until:
        time.sleep(0.02)
    return start_time(pid) is None


def ended(command: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = command.communicate(timeout=LIMIT_S)
    return command.returncode, output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_tests_after_their_teardown(
    sleeping: Project, leftovers: Leftovers, number: signal.Signals
) -> None:
    command = sleeping.spawn("test", **LIGHT)
    pytest_pid, grandchild = begun(sleeping)
    command.send_signal(number)

    code, output = ended(command)

    assert code == 128 + number
    assert f"interrupted by {number.name}" in output
    assert output.count("envkit: ") == 1  # the second category was not begun
    assert start_time(pytest_pid) is None
    assert Path(sleeping.root, "torn-down").exists()
    assert leftovers.wait_until_none() == []
    os.kill(grandchild, signal.SIGKILL)  # the test's own affair, as in any run of pytest


def test_kill_leaves_no_pytest_and_no_file(
    sleeping: Project, leftovers: Leftovers, tmp_path: Path
) -> None:
    command = sleeping.spawn("test", "--junit", "report.xml", TMPDIR=str(tmp_path), **LIGHT)
    pytest_pid, grandchild = begun(sleeping)
    assert list(tmp_path.glob("envkit-test-*"))
    command.kill()

    assert gone(pytest_pid)
    assert not list(tmp_path.glob("envkit-test-*"))
    assert Path(sleeping.root, "torn-down").exists()
    assert leftovers.wait_until_none() == []
    os.kill(grandchild, signal.SIGKILL)
    command.communicate(timeout=LIMIT_S)


def test_kill_ends_what_was_started_in_the_background_of_a_script(
    sleeping: Project, leftovers: Leftovers
) -> None:
    program = shlex.join([sys.executable, "-m", "envkit", "test"])
    command = subprocess.Popen(
        ["sh", "-c", f"trap '' INT; exec {program}"],
        cwd=sleeping.root,
        env=os.environ | LIGHT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    pytest_pid, grandchild = begun(sleeping)
    command.kill()
    command.wait()

    assert gone(pytest_pid)
    assert start_time(grandchild) is not None  # nobody had to use force
    assert leftovers.wait_until_none() == []
    os.kill(grandchild, signal.SIGKILL)


IGNORES = """
import os, signal, subprocess, time
from pathlib import Path

def test_it():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "60"])
    Path("pids").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)
"""


def test_time_out_ends_whatever_does_not_listen_with_all_it_has_started(project: Project) -> None:
    declare(project, one='timeout = "3s"')
    project.write("tests/one/test_it.py", IGNORES)

    found = results(project)["one"]

    assert found["outcome"] == "error"
    assert "tests/one/test_it.py::test_it was running" in found["cause"]
    assert all(gone(pid) for pid in begun(project))


def test_second_signal_does_not_wait_for_a_teardown(project: Project) -> None:
    declare(project, one="")
    project.write("tests/one/test_it.py", IGNORES)
    command = project.spawn("test", **LIGHT)
    pids = begun(project)
    command.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    command.send_signal(signal.SIGTERM)

    code, _ = ended(command)

    assert code == 128 + signal.SIGTERM
    assert all(gone(pid) for pid in pids)


KILLS = """
import os, signal
from pathlib import Path

from envkit.keeper.client import running
from envkit.processes import start_time

def test_unharmed(): pass

def test_it(real_redis):
    for keeper in running(Path.cwd()):
        os.kill(keeper.pid, signal.SIGKILL)
        while start_time(keeper.pid) is not None: pass
    {then}
"""


@pytest.mark.parametrize(
    ("then", "outcome"),
    [("assert real_redis.client().ping()", "failed"), ("os._exit(0)", "did not run to its end")],
)
def test_death_of_the_keeper_is_said_of_what_failed_by_it(
    project: Project, leftovers: Leftovers, then: str, outcome: str
) -> None:
    declare(project, one="", two='after = ["one"]', three="")
    project.write("tests/one/test_it.py", KILLS.format(then=then))
    project.write("tests/two/test_it.py", "def test_it(): pass\n")
    project.write("tests/three/test_it.py", "def test_it(real_redis): real_redis.client().ping()\n")

    done = project.envkit("test", "--", "--tb=no", "--no-summary", ENVKIT_BACKEND="embedded")

    first = done.stdout.partition("\n✗ ")[2].partition("\n")[0]
    assert first == (
        f"one {outcome}: the process that keeps the servers went away [envkit.keeper.lost]"
        " (so two did not run) → envkit test one"
    )
    assert done.stdout.count("[envkit.keeper.lost]") == 1
    assert "✓ three  passed" in done.stdout  # with a keeper of its own
    assert done.returncode == 1  # two is blocked in any case
    assert leftovers.wait_until_none() == []


def test_death_of_the_keeper_that_harmed_no_test_is_no_failure(
    project: Project, leftovers: Leftovers
) -> None:
    declare(project, one="")
    project.write("tests/one/test_it.py", KILLS.format(then="pass"))
    done = project.envkit("test", ENVKIT_BACKEND="embedded")
    assert done.returncode == 0
    summary = " ".join(done.stdout.partition("\n✓ ")[2].split())
    assert "the process that keeps the servers went away [envkit.keeper.lost]" in summary
    assert leftovers.wait_until_none() == []
