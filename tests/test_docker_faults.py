"""What an engine, its socket or a container can do to a start: one error that says so, and no dirt.

Every fault has 10 s; the limit of each command is a little more than that.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project
    from tests.engines import Engine, OwnEngine
    from tests.taps import Tap

pytest_plugins = ["tests.engines", "tests.taps"]

LIMIT_S = 12
MOMENTS = {
    "create": r"POST \S+/containers/create",
    "start": r"POST \S+/start",
    "logs": r"GET \S+/logs",
    "wait": r"POST \S+/wait",
}
# So that the moments after the start come before the first answer.
MUTE = 'FROM envkit/redis:9\nENTRYPOINT ["sleep", "60"]\n'


def engines() -> ModuleType:
    # Imported late, or pytest could not rewrite its assertions when it loads it as a plugin.
    from tests import engines as module

    return module


@pytest.fixture(autouse=True)
def _nothing_left(leftovers: Leftovers) -> Iterator[None]:
    yield
    assert leftovers.wait_until_none(5) == []


def error_of(project: Project, *, prefix: Sequence[str] = ()) -> str:
    """What is printed of the one error that running something with services ends with."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "envkit", "run", "--", "true"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 125, done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("→ ") == 1, done.stderr
    return done.stderr


def test_missing_socket_is_an_engine_that_is_down(
    project: Project, local_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = engines().Engine(f"unix://{tmp_path}/none.sock")
    assert "[docker.daemon.down]" in error_of(engines().use(project, gone, monkeypatch))


def test_engine_over_tcp_that_is_not_there_is_named(
    project: Project, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines().use(project, engines().Engine(f"tcp://{closed_port}"), monkeypatch)
    error = error_of(project)
    assert "[docker.daemon.down]" in error
    assert f"tcp://{closed_port}" in error


def test_engine_over_tcp_that_does_not_answer_is_named(
    project: Project, silent_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines().use(project, engines().Engine(f"tcp://{silent_port}"), monkeypatch)
    error = error_of(project)
    assert "[docker.daemon.down]" in error
    assert f"tcp://{silent_port}" in error


def test_stopped_engine_is_named(on_own_engine: Project, own_engine: OwnEngine) -> None:
    own_engine.kill()
    error = error_of(on_own_engine)
    assert "[docker.daemon.down]" in error
    assert own_engine.url in error


def test_engine_that_hangs_is_named(on_own_engine: Project, own_engine: OwnEngine) -> None:
    with own_engine.suspended():
        error = error_of(on_own_engine)
    assert "[docker.daemon.down]" in error
    assert "does not answer" in error


def test_socket_closed_to_this_user_is_named(
    project: Project,
    local_engine: Engine,
    tap: Callable[[Engine], Tap],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = tap(local_engine)
    Path(closed.url.removeprefix("unix://")).chmod(0)
    engines().use(project, closed, monkeypatch)
    # Root as others are: not above permissions.
    mortal = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    error = error_of(project, prefix=mortal if os.geteuid() == 0 else ())
    assert "[docker.socket.denied]" in error
    assert f"uid {os.geteuid()}" in error


@pytest.mark.parametrize("moment", MOMENTS)
def test_engine_killed_during_a_start_is_named(
    project: Project,
    own_engine: OwnEngine,
    tap: Callable[[Engine], Tap],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    own_engine.build("mute:1", MUTE)
    project.write("envkit.toml", 'services = ["redis"]\nredis.image = "mute:1"\n')
    between = tap(own_engine)
    engines().use(project, between, monkeypatch)

    def kill() -> None:
        own_engine.kill()
        between.close()

    between.at(MOMENTS[moment], kill)
    error = error_of(project)
    assert "[docker.engine.lost]" in error
    assert between.url in error


@pytest.mark.parametrize("moment", ["create", "start"])
def test_engine_that_hangs_during_a_start_is_named(
    project: Project,
    own_engine: OwnEngine,
    tap: Callable[[Engine], Tap],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    with contextlib.ExitStack() as stack:
        tapped = tap(own_engine)
        engines().use(project, tapped, monkeypatch)
        tapped.at(MOMENTS[moment], lambda: stack.enter_context(own_engine.suspended()))
        error = error_of(project)
    assert "[docker.engine.lost]" in error
    assert "does not answer" in error


def test_engine_killed_while_its_servers_are_used_is_named(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    assert on_own_engine.envkit("up").returncode == 0
    own_engine.kill()
    error = error_of(on_own_engine)
    on_own_engine.envkit("down")
    assert "[docker.engine.lost]" in error or "[docker.daemon.down]" in error


def test_down_after_the_engine_was_killed_says_what_is_left(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    assert on_own_engine.envkit("up").returncode == 0
    name = own_engine.the_container(on_own_engine).name
    own_engine.kill()
    down = on_own_engine.envkit("down")
    assert name in down.stdout + down.stderr


def test_down_while_the_engine_hangs_says_what_is_left(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    assert on_own_engine.envkit("up").returncode == 0
    name = own_engine.the_container(on_own_engine).name
    with own_engine.suspended():
        down = on_own_engine.envkit("down")
    assert name in down.stderr
    assert on_own_engine.envkit("prune").returncode == 0
    assert own_engine.left(on_own_engine) == []


def test_start_works_again_after_the_engine_came_back(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    assert on_own_engine.envkit("up").returncode == 0
    own_engine.kill()
    own_engine.start()
    done = on_own_engine.envkit("run", "--", "true")
    assert done.returncode == 0, done.stderr
    assert on_own_engine.envkit("down").returncode == 0
    assert own_engine.left(on_own_engine, 0) == []


def test_container_that_ends_at_once_is_named_with_its_last_words(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    entry = '["/bin/sh", "-c", "echo the tank is empty; exit 7"]'
    own_engine.build("quitter:1", f"FROM envkit/redis:9\nENTRYPOINT {entry}\n")
    on_own_engine.write("envkit.toml", 'services = ["redis"]\nredis.image = "quitter:1"\n')
    error = error_of(on_own_engine)
    assert "[docker.container.exited]" in error
    assert "exit code 7" in error
    assert "    the tank is empty" in error
    assert own_engine.left(on_own_engine) == []


def test_setting_that_a_server_refuses_is_shown_in_its_own_words(
    on_engine: Project, local_engine: Engine
) -> None:
    on_engine.write(
        "envkit.toml", 'services = ["postgres"]\npostgres.settings = { work_mem = "nonsense" }\n'
    )
    error = error_of(on_engine)
    assert "[docker.container.exited]" in error
    assert 'invalid value for parameter "work_mem": "nonsense"' in error
    assert local_engine.left(on_engine) == []


def test_server_killed_for_memory_is_named(on_engine: Project, local_engine: Engine) -> None:
    on_engine.write("envkit.toml", 'services = ["clickhouse"]\nclickhouse.memory = "32m"\n')
    error = error_of(on_engine)
    assert "[docker.container.oom]" in error
    assert "32m" in error
    assert local_engine.left(on_engine) == []


def test_image_for_another_architecture_is_named(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    # The head of an ELF file for arm64 (e_machine 183).
    program = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01\x00\x00\x00" + bytes(96)
    own_engine.load("arm:1", program, "arm64")
    on_own_engine.write("envkit.toml", 'services = ["redis"]\nredis.image = "arm:1"\n')
    error = error_of(on_own_engine)
    assert "[docker.image.platform]" in error
    assert "arm:1" in error
    assert own_engine.left(on_own_engine) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('ENTRYPOINT ["/nowhere"]', "no such file or directory"),
        ('ENTRYPOINT ["/data"]', "permission denied"),
        ("USER stranger", "unable to find user stranger"),
    ],
)
def test_image_whose_program_cannot_begin_is_named(
    on_own_engine: Project, own_engine: OwnEngine, line: str, words: str
) -> None:
    own_engine.build("broken:1", f"FROM envkit/redis:9\n{line}\n")
    on_own_engine.write("envkit.toml", 'services = ["redis"]\nredis.image = "broken:1"\n')
    error = error_of(on_own_engine)
    assert "[docker.container.exited]" in error
    assert words in error
    assert "docker image inspect broken:1" in error
    assert own_engine.left(on_own_engine) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ('redis.memory = "4m"', "Minimum memory limit"),
        ('redis.image = "Redis:9"', "repository name must be lowercase"),
    ],
)
def test_what_the_engine_refuses_is_told_in_its_own_words(
    on_engine: Project, local_engine: Engine, key: str, words: str
) -> None:
    on_engine.write("envkit.toml", f'services = ["redis"]\n{key}\n')
    error = error_of(on_engine)
    assert "[docker.engine.refused]" in error
    assert words in error
    assert local_engine.left(on_engine) == []


def test_full_disk_of_the_engine_is_named(on_own_engine: Project, own_engine: OwnEngine) -> None:
    with own_engine.filled():
        error = error_of(on_own_engine)
    assert "[docker.disk.full]" in error
    assert own_engine.left(on_own_engine) == []


def test_no_port_left_to_publish_is_named(
    project: Project, distant_engine: OwnEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines().use(project, distant_engine, monkeypatch)
    try:
        for _ in range(3):
            distant_engine.client.containers.run(
                engines().REDIS, ["sleep", "60"], ports={"6379/tcp": None}, detach=True
            )
        error = error_of(project)
    finally:
        distant_engine.empty()
    assert "[host.ports.exhausted]" in error
    assert distant_engine.left(project) == []
