"""Containers in ordinary use, from wherever the tests run, and that they go away."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from envkit.model import SERVICES

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project
    from tests.engines import Engine, OwnEngine

pytest_plugins = ["tests.engines"]

REPOSITORY = Path(__file__).parent.parent
ROUND_TRIP = str(REPOSITORY / "examples" / "round_trip.py")
TAGS = {"postgres": "18", "redis": "9", "clickhouse": "26.9"}
LEASE = """
import envkit
with envkit.lease() as services:
    services.redis.client().set("key", "value")
"""
SET = "import os, redis; print(redis.Redis.from_url(os.environ['REDIS_URL']).set('key', 'value'))"


def engines() -> ModuleType:
    # Imported late, or pytest could not rewrite its assertions when it loads it as a plugin.
    from tests import engines as module

    return module


@pytest.mark.parametrize("variant", ["", "-ready"])
def test_data_makes_a_round_trip_through_each_service(
    on_engine: Project, local_engine: Engine, variant: str
) -> None:
    tables = (f'[{name}]\nimage = "envkit/{name}:{TAGS[name]}{variant}"\n' for name in SERVICES)
    on_engine.write("envkit.toml", "".join(tables))
    done = on_engine.envkit("run", "--", sys.executable, ROUND_TRIP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote and read") == 3
    assert local_engine.left(on_engine, 0) == []


def test_lease_after_a_killed_container_gets_a_new_server(
    on_engine: Project, local_engine: Engine
) -> None:
    assert on_engine.envkit("up").returncode == 0
    first = local_engine.the_container(on_engine)
    first.kill()
    done = on_engine.envkit("run", "--", sys.executable, "-c", SET)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert local_engine.the_container(on_engine).id != first.id


def test_lease_after_a_removed_container_gets_a_new_server(
    on_engine: Project, local_engine: Engine
) -> None:
    assert on_engine.envkit("up").returncode == 0
    local_engine.the_container(on_engine).remove(force=True)
    done = on_engine.envkit("run", "--", sys.executable, "-c", SET)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_down_leaves_nothing(
    on_engine: Project, local_engine: Engine, leftovers: Leftovers
) -> None:
    assert on_engine.envkit("up").returncode == 0
    assert local_engine.containers(on_engine)
    assert on_engine.envkit("down").returncode == 0
    assert local_engine.left(on_engine, 0) == []
    assert leftovers.wait_until_none() == []


@pytest.mark.parametrize("end", ["raise RuntimeError('a test of mine')", "import os; os._exit(3)"])
def test_client_that_fails_leaves_nothing(
    on_engine: Project, local_engine: Engine, leftovers: Leftovers, end: str
) -> None:
    program = on_engine.python(LEASE + f"    {end}\n")
    program.communicate(timeout=30)
    assert program.returncode != 0
    assert local_engine.left(on_engine) == []
    assert leftovers.wait_until_none() == []


def test_proxies_of_the_docker_command_are_not_in_containers(
    on_engine: Project, local_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"httpProxy": "http://user:secret-of-a-proxy@127.0.0.1:9"}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": proxy}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert on_engine.envkit("up").returncode == 0
    inside = local_engine.the_container(on_engine).attrs["Config"]["Env"]
    assert not any("proxy" in pair.lower() for pair in inside)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TC_MAX_TRIES", "many"),
        ("TESTCONTAINERS_CONNECTION_MODE", "carrier pigeon"),
        ("DOCKER_AUTH_CONFIG", "{"),
    ],
)
def test_variable_that_testcontainers_refuses_is_told_without_a_traceback(
    on_engine: Project, name: str, text: str
) -> None:
    done = on_engine.envkit("run", "--", "true", **{name: text})
    assert done.returncode == 125
    assert "[envkit.usage]" in done.stderr
    assert "Traceback" not in done.stderr


def test_services_make_no_volumes_and_no_networks(
    on_own_engine: Project, own_engine: OwnEngine
) -> None:
    networks = {one.name for one in own_engine.client.networks.list()}
    assert on_own_engine.envkit("up").returncode == 0
    assert own_engine.client.volumes.list() == []
    assert {one.name for one in own_engine.client.networks.list()} == networks


def test_servers_of_an_engine_elsewhere_are_reached_at_its_address(
    project: Project, distant_engine: OwnEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines().use(project, distant_engine, monkeypatch)
    done = project.envkit(
        "run", "--", sys.executable, "-c", SET + "; print(os.environ['REDIS_URL'])"
    )
    assert done.returncode == 0, done.stderr
    said, url = done.stdout.split()
    assert said == "True"
    assert urlsplit(url).hostname == urlsplit(distant_engine.url).hostname


def test_tests_in_a_container_reach_servers_by_their_own_addresses(
    on_engine: Project, local_engine: Engine
) -> None:
    """With the engine's socket mounted, as CI runners have it."""
    if not local_engine.url.startswith("unix://"):
        pytest.skip("this engine has no socket to mount")
    socket = local_engine.url.removeprefix("unix://")
    # The image has no Python: this machine's comes with it.
    shown = {"/usr", "/lib", "/lib64", sys.base_prefix, sys.prefix, str(REPOSITORY)}
    volumes = {path: {"bind": path, "mode": "ro"} for path in shown if Path(path).exists()}
    volumes[str(on_engine.root)] = {"bind": str(on_engine.root), "mode": "rw"}
    volumes[socket] = {"bind": "/var/run/docker.sock", "mode": "rw"}
    program = f"{SET}; print(os.environ['REDIS_URL'])"
    command = ["-m", "envkit", "run", "--", sys.executable, "-c", program]
    container = local_engine.client.containers.create(
        engines().REDIS,
        command,
        entrypoint=[sys.executable],
        working_dir=str(on_engine.root),
        environment={"ENVKIT_BACKEND": "docker", "HOME": "/tmp", "USER": "root"},
        volumes=volumes,
    )
    try:
        container.start()
        assert container.wait(timeout=30)["StatusCode"] == 0, container.logs().decode()
        said = container.logs(stderr=False)
    finally:
        container.remove(force=True, v=True)
    word, url = said.decode().split()
    assert word == "True"
    assert urlsplit(url).port == 6379
    assert urlsplit(url).hostname not in ("127.0.0.1", "localhost")
    assert local_engine.left(on_engine) == []
