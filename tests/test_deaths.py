"""Whatever dies, whenever: within two seconds nothing of ours is left, and the next start works."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envkit.processes import descendants, start_time

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

# Each has a phase of the life of a run of about 0.8 s: starting, leasing, using, stopping.
MOMENTS = [round(0.04 * n, 2) for n in range(20)]

LIFE = """
from envkit import config
from envkit.keeper import client
loaded = config.load()
one = client.connect(loaded.root, loaded.settings)
print(one.keeper_pid, flush=True)
one.start(loaded.settings.services)
for _ in range(3):
    lease = one.take(loaded.settings.services)
    one.release(lease.id)
one.close()
"""

HOLD = """
import sys
from envkit import config
from envkit.keeper import client
loaded = config.load()
one = client.connect(loaded.root, loaded.settings)
one.start(loaded.settings.services)
lease = one.take(loaded.settings.services)
print(one.keeper_pid, *(e.port for e in lease.endpoints.values()), flush=True)
sys.stdin.readline()
one.close()
print("closed", flush=True)
"""


@pytest.fixture
def whole(project: Project) -> Project:
    """A project with all three services."""
    project.write("envkit.toml", "")
    return project


def holding(project: Project) -> tuple[subprocess.Popen[str], int]:
    """A client that holds a lease on everything, and its keeper."""
    program = project.python(HOLD)
    assert program.stdout is not None
    line = program.stdout.readline()
    return program, int(line.split()[0])


def end(program: subprocess.Popen[str]) -> str:
    """What the program said, at its end."""
    with contextlib.suppress(OSError):
        return program.communicate("\n", timeout=30)[0]
    return ""


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def system_v_segments(makers: Container[int]) -> set[str]:
    """The System V segments that these processes made."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    return {row[1] for row in rows if int(row[4]) in makers}


def abandoned_shared_memory() -> set[str]:
    """System V segments whose maker is dead, and Postgres' files that no process has open."""
    rows = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    segments = {row[1] for row in rows if row[6] == "0" and start_time(int(row[4])) is None}
    return segments | {str(path) for path in Path("/dev/shm").glob("PostgreSQL.*")}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_client_leaves_nothing(whole: Project, leftovers: Leftovers, moment: float) -> None:
    program = whole.python(LIFE)
    time.sleep(moment + random.uniform(0, 0.04))
    kill(program.pid)
    program.communicate()
    assert leftovers.wait_until_none() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_keeper_leaves_nothing(whole: Project, leftovers: Leftovers, moment: float) -> None:
    program = whole.python(LIFE)
    assert program.stdout is not None
    keeper = int(program.stdout.readline())
    time.sleep(max(0.0, moment - 0.1) + random.uniform(0, 0.04))
    kill(keeper)
    try:
        assert leftovers.wait_until_none() == []
    finally:
        kill(program.pid)
        program.communicate()


@pytest.mark.parametrize("moment", MOMENTS[::2])
def test_keeper_killed_during_the_very_first_start_leaves_nothing(
    project: Project,
    leftovers: Leftovers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: float,
) -> None:
    """While initdb runs, or its result is copied into the cache."""
    project.write("envkit.toml", 'services = ["postgres"]\n')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = abandoned_shared_memory()
    program = project.python(LIFE)
    assert program.stdout is not None
    keeper = int(program.stdout.readline())
    time.sleep(moment + random.uniform(0, 0.04))
    kill(keeper)
    try:
        assert leftovers.wait_until_none() == []
    finally:
        kill(program.pid)
        program.communicate()
    limit = time.monotonic() + 2
    while (left := abandoned_shared_memory() - before) and time.monotonic() < limit:
        time.sleep(0.05)
    assert left == set()
    assert list((tmp_path / "cache").rglob(".building-*")) == []


def test_next_start_works_at_once_after_a_killed_keeper(whole: Project) -> None:
    program, keeper = holding(whole)
    kill(keeper)
    try:
        again = whole.envkit("run", "--", "true")
    finally:
        end(program)
    assert (again.returncode, again.stdout) == (0, "")


def test_killed_keeper_is_told_to_its_client_by_slug(whole: Project) -> None:
    program, keeper = holding(whole)
    kill(keeper)
    program.communicate("\n")
    status = whole.python(
        HOLD.replace("sys.stdin.readline()", "import os; os.kill(one.keeper_pid, 9)").replace(
            "one.close()", "one.status()"
        )
    )
    assert "[envkit.keeper.lost]" in end(status)


def test_killed_keeper_frees_system_v_shared_memory(whole: Project, leftovers: Leftovers) -> None:
    program, keeper = holding(whole)
    ours = system_v_segments(descendants([keeper]))
    kill(keeper)
    assert leftovers.wait_until_none() == []
    end(program)
    assert ours, "Postgres makes one, so this test would see it"
    everything = Path("/proc/sysvipc/shm").read_text().split()
    assert not ours & set(everything)


def kill_with_watchdog(keeper: int) -> None:
    """Both, without a moment in which the watchdog could do its work."""
    watchdogs = [pid for pid in descendants([keeper]) if b"watchdog" in cmdline(pid)]
    for pid in watchdogs:
        os.kill(pid, signal.SIGSTOP)
    for pid in [keeper, *watchdogs]:
        kill(pid)


def test_keeper_and_watchdog_killed_together_are_cleaned_up_by_the_next_keeper(
    whole: Project, leftovers: Leftovers
) -> None:
    program, keeper = holding(whole)
    kill_with_watchdog(keeper)
    end(program)
    assert whole.envkit("run", "redis", "--", "true").returncode == 0
    assert leftovers.wait_until_none() == []


def test_prune_removes_what_keeper_and_watchdog_left_when_both_were_killed(
    whole: Project, leftovers: Leftovers
) -> None:
    program, keeper = holding(whole)
    kill_with_watchdog(keeper)
    end(program)
    pruned = whole.envkit("prune")
    assert pruned.returncode == 0, pruned.stderr
    assert leftovers.wait_until_none() == []


def test_prune_leaves_a_living_keeper_alone(whole: Project) -> None:
    program, _ = holding(whole)
    (keeper,) = json.loads(whole.envkit("status", "--format", "json").stdout)["keepers"]
    pruned = whole.envkit("prune")
    output = end(program)
    assert keeper["data"] not in pruned.stdout  # of others on this machine it may remove much
    assert output == "closed\n"


def cmdline(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_killed_watchdog_is_replaced(whole: Project, leftovers: Leftovers) -> None:
    program, keeper = holding(whole)

    def watchdogs() -> list[int]:
        return [p for p in descendants([keeper]) if b"watchdog" in cmdline(p)]

    (first,) = watchdogs()
    kill(first)
    limit = time.monotonic() + 2
    while (found := watchdogs()) in ([], [first]) and time.monotonic() < limit:
        time.sleep(0.01)
    assert len(found) == 1
    assert found != [first]
    kill(keeper)
    assert leftovers.wait_until_none() == []
    end(program)


def test_server_killed_while_leased_is_replaced_at_the_next_lease(whole: Project) -> None:
    code = """
from envkit import config
from envkit.keeper import client
import os, signal, time
loaded = config.load()
one = client.connect(loaded.root, loaded.settings)
(row,) = one.start(["postgres"])
one.take(["postgres"])
os.kill(row.pid, signal.SIGKILL)
time.sleep(0.1)
one.take(["postgres"])
(after,) = one.start(["postgres"])
assert after.pid != row.pid
print("replaced")
one.close()
"""
    assert end(whole.python(code)).endswith("replaced\n")


def test_terminated_keeper_stops_its_servers(whole: Project, leftovers: Leftovers) -> None:
    program, keeper = holding(whole)
    os.kill(keeper, signal.SIGTERM)
    assert leftovers.wait_until_none() == []
    end(program)


def test_forked_child_that_outlives_its_parent_does_not_hold_the_lease(
    whole: Project, leftovers: Leftovers
) -> None:
    program = whole.python(
        HOLD.replace(
            "sys.stdin.readline()",
            "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n"
            "    time.sleep(30)\n    os._exit(0)\ntime.sleep(30)",
        )
    )
    assert program.stdout is not None
    program.stdout.readline()
    child = int(program.stdout.readline())
    kill(program.pid)
    try:
        assert leftovers.wait_until_none() == []
        assert start_time(child) is not None
    finally:
        kill(child)
        program.communicate()


def test_spawned_child_that_outlives_its_parent_does_not_hold_the_lease(
    whole: Project, leftovers: Leftovers
) -> None:
    program = whole.python(
        HOLD.replace(
            "sys.stdin.readline()",
            "import subprocess, time\n"
            "print(subprocess.Popen(['sleep', '30'], close_fds=False).pid, flush=True)\n"
            "time.sleep(30)",
        )
    )
    assert program.stdout is not None
    program.stdout.readline()
    child = int(program.stdout.readline())
    kill(program.pid)
    try:
        assert leftovers.wait_until_none() == []
        assert start_time(child) is not None
    finally:
        kill(child)
        program.communicate()


def test_stopped_client_keeps_its_servers(whole: Project) -> None:
    """A debugger or a suspended laptop stops a client for longer than any heartbeat would wait."""
    program, keeper = holding(whole)
    os.kill(program.pid, signal.SIGSTOP)
    time.sleep(0.4)
    assert start_time(keeper) is not None
    os.kill(program.pid, signal.SIGCONT)
    assert end(program) == "closed\n"
