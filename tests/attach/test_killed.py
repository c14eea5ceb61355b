"""Whatever dies, somebody else's servers are left as they were, or put right by the next."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.processes import descendants
from tests.attach.world import World, end, holding, in_the_end

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def watchdogs(keeper: int) -> list[int]:
    found = []
    for pid in descendants([keeper]):
        with contextlib.suppress(OSError):
            if b"watchdog" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill_with_watchdog(keeper: int) -> None:
    os.kill(keeper, signal.SIGSTOP)  # or it would replace the watchdog in time
    kill(*watchdogs(keeper))
    kill(keeper)


def test_killed_keeper_leaves_everything_as_it_was(
    whole: Project, world: World, leftovers: Leftovers
) -> None:
    before = world.seen()
    program, keeper = holding(whole)
    kill(keeper)
    assert in_the_end(world.seen, before) == before
    assert leftovers.wait_until_none() == []
    end(program)


def test_prune_removes_what_keeper_and_watchdog_left_and_names_it(
    whole: Project, world: World, leftovers: Leftovers
) -> None:
    before = world.seen()
    program, keeper = holding(whole)
    kill_with_watchdog(keeper)
    end(program)
    left = world.of_envkit()
    assert all(left.values())
    pruned = whole.envkit("prune")
    after = world.seen()
    assert after == before, pruned.stdout
    place = f"postgres at 127.0.0.1:{world.postgres.port}"
    assert f"removed {left['postgres'][0]} on {place}\n" in pruned.stdout
    assert re.search(r"removed database \d+ on redis at 127", pruned.stdout)
    assert f"removed {left['clickhouse'][0]} on clickhouse at 127" in pruned.stdout
    assert leftovers.wait_until_none() == []


def test_next_keeper_removes_what_keeper_and_watchdog_left(
    new_project: Callable[[str], Project], whole: Project, world: World
) -> None:
    before = world.seen()
    program, keeper = holding(whole)
    kill_with_watchdog(keeper)
    end(program)
    other = new_project("other")
    other.write("envkit.toml", "")
    assert other.envkit("run", "--", "true").returncode == 0
    assert world.seen() == before
    whole.envkit("prune")  # its directories, which are another project's


def test_prune_leaves_a_living_run_alone(
    new_project: Callable[[str], Project], whole: Project, world: World
) -> None:
    program, _ = holding(whole)
    during = world.of_envkit()
    other = new_project("other")
    other.write("envkit.toml", "")
    pruned = other.envkit("prune", "--older-than", "0s")
    assert world.of_envkit() == during
    assert end(program) == "closed\n"
    assert pruned.stdout == "nothing to remove\n"


def test_clearing_one_run_leaves_the_others_alone(
    whole: Project, new_project: Callable[[str], Project], world: World
) -> None:
    other = new_project("other")
    other.write("envkit.toml", "")
    (one, first), (two, _) = holding(whole), holding(other)
    both = world.of_envkit()["postgres"]
    kill(first)
    limit = time.monotonic() + 10
    while len(world.of_envkit()["postgres"]) == len(both) and time.monotonic() < limit:
        time.sleep(0.05)
    left = world.of_envkit()
    assert {len(left["postgres"]), len(left["clickhouse"])} == {2, 1}
    end(one)
    assert end(two) == "closed\n"
