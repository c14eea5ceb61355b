"""Whatever dies, whenever: within 5 s no container of its is left, and no other is hurt."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import redis

from envkit.processes import descendants

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project
    from tests.engines import Engine, OwnEngine
    from tests.taps import Registry, Tap

pytest_plugins = ["tests.engines", "tests.taps"]

LIMIT_S = 5.0
# Whoever cleans up waits some seconds for containers that may be about to appear.
CLEANED_UP_S = 9.0
# Each has a phase of a life of about 1.2 s: fetching, making, starting, using, stopping.
MOMENTS = [round(0.06 * n, 2) for n in range(20)]

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
print(one.keeper_pid, flush=True)
sys.stdin.readline()
one.close()
"""


def engines() -> ModuleType:
    # Imported late, or pytest could not rewrite its assertions when it loads it as a plugin.
    from tests import engines as module

    return module


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def keeper_of(program: subprocess.Popen[str]) -> int:
    assert program.stdout is not None
    return int(program.stdout.readline())


def watchdogs_of(keeper: int) -> list[int]:
    found = []
    for pid in descendants([keeper]):
        with contextlib.suppress(OSError):
            if b"watchdog.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def what_is_left(local_engine: Engine, project: Project, leftovers: Leftovers) -> list[str]:
    """After five seconds of containers, and after the end of whoever cleans up of anything."""
    early = local_engine.left(project, LIMIT_S)
    return [*early, *leftovers.wait_until_none(CLEANED_UP_S), *local_engine.left(project, 0)]


@pytest.fixture(scope="module")
def image(local_engine: Engine, registry: Registry) -> Iterator[str]:
    """An image that is asked for in a registry at each start."""
    made = registry.push(local_engine, engines().REDIS, "redis:9")
    yield made
    with contextlib.suppress(Exception):  # a start that was killed may not have fetched it
        local_engine.client.api.remove_image(made, force=True)


@pytest.fixture
def fetching(on_engine: Project, image: str) -> Project:
    on_engine.write(
        "envkit.toml",
        f'services = ["redis"]\nredis.image = "{image}"\ndocker.pull = "always"\n',
    )
    return on_engine


class Bystander:
    """Another project, with a keeper of its own on the same engine."""

    def __init__(self, project: Project, local_engine: Engine, places: dict[str, str]) -> None:
        self._project = project
        self._engine = local_engine
        self._places = places | {"DOCKER_HOST": local_engine.url, "ENVKIT_BACKEND": "docker"}
        up = project.envkit("up", **self._places)
        assert up.returncode == 0, up.stderr
        said = project.envkit("export", "--format", "json", **self._places).stdout
        self._client: Any = redis.Redis.from_url(json.loads(said)["services"]["redis"]["url"])
        self._client.set("word", "kept")
        self._before = [one.id for one in local_engine.containers(project)]

    def check(self) -> None:
        assert [one.id for one in self._engine.containers(self._project)] == self._before
        assert self._client.get("word") == b"kept"

    def close(self) -> None:
        self._client.close()
        self._project.envkit("down", **self._places)


@pytest.fixture(scope="module")
def _bystander(local_engine: Engine) -> Iterator[Bystander]:
    from tests.conftest import Project

    # Places of its own, or `leftovers` would take it for what the test has left.
    base = engines().short_directory()
    places = {f"XDG_{name}": str(base / name) for name in ("STATE_HOME", "RUNTIME_DIR")}
    (base / "RUNTIME_DIR").mkdir(mode=0o700)
    (base / "project").mkdir()
    project = Project(base / "project")
    project.write("envkit.toml", 'services = ["redis"]\n')
    try:
        made = Bystander(project, local_engine, places)
        yield made
        made.close()
    finally:
        engines().remove(base)


@pytest.fixture
def bystander(_bystander: Bystander) -> Iterator[None]:
    """Its servers must be there and usable after the test."""
    yield
    _bystander.check()


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_client_leaves_no_container(
    fetching: Project, local_engine: Engine, leftovers: Leftovers, moment: float
) -> None:
    program = fetching.python(LIFE)
    time.sleep(moment + random.Random(moment).uniform(0, 0.06))
    kill(program.pid)
    program.communicate()
    assert what_is_left(local_engine, fetching, leftovers) == []


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_keeper_leaves_no_container(
    fetching: Project, local_engine: Engine, leftovers: Leftovers, moment: float
) -> None:
    program = fetching.python(LIFE)
    keeper = keeper_of(program)
    time.sleep(moment + random.Random(moment).uniform(0, 0.06))
    kill(keeper)
    try:
        assert what_is_left(local_engine, fetching, leftovers) == []
    finally:
        kill(program.pid)
        program.communicate()


def test_killed_keeper_leaves_no_container_of_any_service(
    on_engine: Project, local_engine: Engine, leftovers: Leftovers
) -> None:
    on_engine.write("envkit.toml", "")
    program = on_engine.python(HOLD)
    keeper = keeper_of(program)
    assert len(local_engine.containers(on_engine)) == 3
    kill(keeper)
    assert what_is_left(local_engine, on_engine, leftovers) == []
    program.communicate("\n")


@pytest.mark.parametrize("delay", [0.0, 1.5])
def test_container_that_appears_after_the_death_of_its_keeper_is_removed(
    project: Project,
    local_engine: Engine,
    leftovers: Leftovers,
    tap: Callable[[Engine], Tap],
    monkeypatch: pytest.MonkeyPatch,
    delay: float,
) -> None:
    """An engine does what it was asked to although nobody waits for the answer any more."""
    between = tap(local_engine)
    engines().use(project, between, monkeypatch)
    pids: list[int] = []

    def die() -> None:
        kill(pids[0])
        time.sleep(delay)

    between.at(r"POST \S+/containers/create", die)
    begun = int(time.time())
    program = project.python(LIFE)
    pids.append(keeper_of(program))
    program.communicate(timeout=30)
    time.sleep(delay)
    assert what_is_left(local_engine, project, leftovers) == []
    assert created(local_engine, project, begun) == 1


def created(local_engine: Engine, project: Project, since: int) -> int:
    """How many containers of a project's there have been."""
    filters = {"event": "create", "label": f"envkit.project={project.root}"}
    until = int(time.time()) + 1
    return len(
        list(local_engine.client.events(since=since, until=until, filters=filters, decode=True))
    )


def test_keeper_killed_while_a_registry_is_silent_leaves_nothing(
    on_engine: Project, local_engine: Engine, leftovers: Leftovers, silent_port: str
) -> None:
    on_engine.write("envkit.toml", f'services = ["redis"]\nredis.image = "{silent_port}/redis:1"\n')
    program = on_engine.python(LIFE)
    keeper = keeper_of(program)
    time.sleep(0.5)
    kill(keeper)
    program.communicate(timeout=30)
    assert leftovers.wait_until_none(LIMIT_S) == []


def test_client_killed_while_a_registry_is_silent_leaves_nothing(
    on_engine: Project, local_engine: Engine, leftovers: Leftovers, silent_port: str
) -> None:
    on_engine.write("envkit.toml", f'services = ["redis"]\nredis.image = "{silent_port}/redis:1"\n')
    program = on_engine.python(LIFE)
    keeper_of(program)
    time.sleep(0.5)
    kill(program.pid)
    program.communicate()
    assert leftovers.wait_until_none(LIMIT_S) == []


@pytest.fixture
def orphaned(on_engine: Project, local_engine: Engine) -> Project:
    """A project whose keeper and watchdog were killed together, so that its container stays."""
    program = on_engine.python(HOLD)
    keeper = keeper_of(program)
    # The watchdog first, and both at once: either would replace or clean up after the other.
    kill(*watchdogs_of(keeper), keeper)
    program.communicate("\n")
    return on_engine


def test_next_start_removes_what_keeper_and_watchdog_left(
    orphaned: Project, local_engine: Engine, leftovers: Leftovers
) -> None:
    done = orphaned.envkit("run", "--", "true")
    assert done.returncode == 0, done.stderr
    assert what_is_left(local_engine, orphaned, leftovers) == []


@pytest.mark.usefixtures("bystander")
def test_prune_removes_what_keeper_and_watchdog_left(
    orphaned: Project, local_engine: Engine, leftovers: Leftovers
) -> None:
    pruned = orphaned.envkit("prune")
    assert pruned.returncode == 0, pruned.stderr
    assert what_is_left(local_engine, orphaned, leftovers) == []


def test_prune_leaves_the_containers_of_a_living_keeper_alone(
    on_engine: Project, local_engine: Engine
) -> None:
    program = on_engine.python(HOLD)
    keeper_of(program)
    before = [one.id for one in local_engine.containers(on_engine)]
    assert on_engine.envkit("prune").returncode == 0
    assert [one.id for one in local_engine.containers(on_engine)] == before
    program.communicate("\n")


def test_watchdog_does_not_wait_for_an_engine_that_is_gone(
    on_own_engine: Project, own_engine: OwnEngine, leftovers: Leftovers
) -> None:
    program = on_own_engine.python(HOLD)
    keeper = keeper_of(program)
    own_engine.kill()
    kill(keeper)
    program.communicate("\n")
    assert leftovers.wait_until_none(LIMIT_S) == []


def test_prune_removes_what_an_engine_that_was_gone_still_had(
    on_own_engine: Project, own_engine: OwnEngine, leftovers: Leftovers
) -> None:
    program = on_own_engine.python(HOLD)
    keeper = keeper_of(program)
    own_engine.kill()
    kill(keeper)
    program.communicate("\n")
    assert leftovers.wait_until_none(LIMIT_S) == []
    own_engine.start()
    assert own_engine.containers(on_own_engine)
    pruned = on_own_engine.envkit("prune")
    assert "removed container envkit-" in pruned.stdout
    assert own_engine.left(on_own_engine, 0) == []
