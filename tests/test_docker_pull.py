"""Fetching images: from a real registry, and from what is none."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from docker.errors import NotFound

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project
    from tests.engines import Engine, OwnEngine
    from tests.taps import Registry

pytest_plugins = ["tests.engines", "tests.taps"]

LIMIT_S = 12  # for what must have ended after 10
EVENTS = """
import json
from envkit import config
from envkit.keeper import client
loaded = config.load()
with client.connect(loaded.root, loaded.settings) as one:
    one.start(["redis"], lambda event: print(json.dumps(event)))
"""
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS = "application/vnd.docker.distribution.manifest.list.v2+json"


def engines() -> ModuleType:
    # Imported late, or pytest could not rewrite its assertions when it loads it as a plugin.
    from tests import engines as module

    return module


@pytest.fixture(autouse=True)
def _nothing_left(leftovers: Leftovers) -> Iterator[None]:
    yield
    assert leftovers.wait_until_none(5) == []


@pytest.fixture
def without_images(own_engine: OwnEngine) -> OwnEngine:
    """The engine of one's own, with nothing on it."""
    for image in own_engine.client.images.list(all=True):
        with contextlib.suppress(NotFound):
            own_engine.client.api.remove_image(image.id, force=True)
    return own_engine


def ask_for(project: Project, image: str, *, pull: str = "missing", registry: str = "") -> None:
    named = f'docker.registry = "{registry}"\n' if registry else ""
    project.write(
        "envkit.toml",
        f'services = ["redis"]\nredis.image = "{image}"\ndocker.pull = "{pull}"\n{named}',
    )


def ran(project: Project) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "envkit", "run", "--", "true"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def error_of(project: Project) -> str:
    """What is printed of the one error."""
    done = ran(project)
    assert done.returncode == 125, done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("→ ") == 1, done.stderr
    return done.stderr


def test_image_that_is_not_there_is_fetched(
    on_own_engine: Project, without_images: OwnEngine, local_engine: Engine, registry: Registry
) -> None:
    image = registry.push(local_engine, engines().REDIS, "envkit/redis:9")
    ask_for(on_own_engine, image)
    done = ran(on_own_engine)
    assert done.returncode == 0, done.stderr
    assert without_images.has(image)


def test_fetching_tells_of_every_layer(
    on_own_engine: Project, without_images: OwnEngine, local_engine: Engine, registry: Registry
) -> None:
    image = registry.push(local_engine, engines().REDIS, "envkit/redis:9")
    ask_for(on_own_engine, image)
    printed = on_own_engine.python(EVENTS).communicate(timeout=30)[0]
    events = [json.loads(line) for line in printed.splitlines()]
    told = [event["layers"] for event in events if event["state"] == "pulling"]
    layers = without_images.client.api.inspect_image(image)["RootFS"]["Layers"]
    assert len(told[-1]) == len(layers)
    assert {state for state, _, _ in told[-1].values()} == {"Pull complete"}
    assert events[-1]["state"] == "ready"


def test_image_that_is_there_is_not_asked_for_again(
    on_own_engine: Project, own_engine: OwnEngine, closed_port: str
) -> None:
    name = f"{closed_port}/redis"
    own_engine.client.api.tag(engines().REDIS, name, "9")
    ask_for(on_own_engine, f"{name}:9", pull="missing")
    done = ran(on_own_engine)
    assert done.returncode == 0, done.stderr


def test_always_fetches_what_has_changed_in_the_registry(
    on_own_engine: Project, own_engine: OwnEngine, registry: Registry
) -> None:
    image = registry.push(own_engine, engines().REDIS, "changing:1")
    ask_for(on_own_engine, image, pull="always")
    assert ran(on_own_engine).returncode == 0
    before = own_engine.client.api.inspect_image(image)["Id"]
    newer = own_engine.build("newer:1", f"FROM {engines().REDIS}\nLABEL newer=yes\n")
    assert registry.push(own_engine, newer, "changing:1") == image
    assert ran(on_own_engine).returncode == 0
    assert own_engine.client.api.inspect_image(image)["Id"] != before


def test_never_fetches_nothing(
    on_own_engine: Project, own_engine: OwnEngine, registry: Registry
) -> None:
    image = registry.push(own_engine, engines().REDIS, "forbidden:1")
    ask_for(on_own_engine, image, pull="never")
    error = error_of(on_own_engine)
    assert "[docker.image.missing]" in error
    assert "pull is 'never'" in error
    assert not own_engine.has(image)


def test_registry_of_the_configuration_goes_before_names_that_have_none(
    on_own_engine: Project, own_engine: OwnEngine, registry: Registry
) -> None:
    image = registry.push(own_engine, engines().REDIS, "mirrored/redis:9")
    ask_for(on_own_engine, "redis:9", registry=f"{registry.address}/mirrored", pull="always")
    done = ran(on_own_engine)
    assert done.returncode == 0, done.stderr
    assert own_engine.has(image)


def test_registry_that_cannot_be_reached_is_named(
    on_own_engine: Project, own_engine: OwnEngine, closed_port: str
) -> None:
    ask_for(on_own_engine, f"{closed_port}/redis:1")
    error = error_of(on_own_engine)
    assert "[docker.image.missing]" in error
    assert "cannot be reached" in error
    assert closed_port in error


def test_registry_that_does_not_answer_is_named(
    on_own_engine: Project, own_engine: OwnEngine, silent_port: str
) -> None:
    ask_for(on_own_engine, f"{silent_port}/redis:1")
    error = error_of(on_own_engine)
    assert "[docker.image.missing]" in error
    assert "does not answer" in error
    assert silent_port in error


def test_unknown_tag_is_named(
    on_own_engine: Project, own_engine: OwnEngine, registry: Registry
) -> None:
    image = registry.push(own_engine, engines().REDIS, "envkit/redis:9")
    ask_for(on_own_engine, image.replace(":9", ":99"))
    error = error_of(on_own_engine)
    assert "[docker.image.tag-unknown]" in error
    assert "'99'" in error


def test_unknown_repository_is_told_as_its_registry_tells_it(
    on_own_engine: Project, own_engine: OwnEngine, registry: Registry
) -> None:
    ask_for(on_own_engine, f"{registry.address}/nobody/knows:1")
    error = error_of(on_own_engine)
    assert "[docker.image.tag-unknown]" in error
    assert f"{registry.address}/nobody/knows" in error


def test_registry_that_wants_a_login_is_named(
    on_own_engine: Project, own_engine: OwnEngine, closed_registry: Registry
) -> None:
    ask_for(on_own_engine, f"{closed_registry.address}/redis:9")
    error = error_of(on_own_engine)
    assert "[docker.pull.denied]" in error
    assert "docker login" in error


def test_login_of_the_docker_command_is_used(
    on_own_engine: Project,
    own_engine: OwnEngine,
    closed_registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login = {"username": "tester", "password": "secret"}
    image = closed_registry.push(own_engine, engines().REDIS, "redis:9", **login)
    word = base64.b64encode(b"tester:secret").decode()
    auths = {"auths": {closed_registry.address: {"auth": word}}}
    (tmp_path / "config.json").write_text(json.dumps(auths))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    ask_for(on_own_engine, image)
    done = ran(on_own_engine)
    assert done.returncode == 0, done.stderr


def test_image_that_has_no_variant_for_this_machine_is_named(
    on_own_engine: Project, own_engine: OwnEngine, registry: Registry
) -> None:
    own_engine.load("arm:1", b"not for here", "arm64")
    registry.push(own_engine, "arm:1", "arm:arm64")
    base = f"http://{registry.address}/v2/arm/manifests"
    ask = urllib.request.Request(f"{base}/arm64", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(ask) as answer:
        digest, size = answer.headers["Docker-Content-Digest"], len(answer.read())
    platform = {"architecture": "arm64", "os": "linux"}
    only = {"mediaType": MANIFEST, "size": size, "digest": digest, "platform": platform}
    listed = {"schemaVersion": 2, "mediaType": MANIFESTS, "manifests": [only]}
    put = urllib.request.Request(
        f"{base}/1",
        json.dumps(listed).encode(),
        headers={"Content-Type": MANIFESTS},
        method="PUT",
    )
    urllib.request.urlopen(put).close()
    ask_for(on_own_engine, f"{registry.address}/arm:1")
    error = error_of(on_own_engine)
    assert "[docker.image.platform]" in error


def test_disk_that_fills_up_while_fetching_is_named(
    on_own_engine: Project, without_images: OwnEngine, local_engine: Engine, registry: Registry
) -> None:
    image = registry.push(local_engine, engines().REDIS, "envkit/redis:9")
    ask_for(on_own_engine, image)
    with without_images.filled(except_for=8 * 2**20):
        error = error_of(on_own_engine)
    assert "[docker.disk.full]" in error


def test_engine_killed_while_fetching_is_named(
    on_own_engine: Project, own_engine: OwnEngine, silent_port: str
) -> None:
    ask_for(on_own_engine, f"{silent_port}/redis:1")
    program = on_own_engine.python(
        EVENTS.replace("print(json.dumps(event))", "print(event['state'], flush=True)")
    )
    assert program.stdout is not None
    program.stdout.readline()
    own_engine.kill()
    said = program.communicate(timeout=LIMIT_S)[0]
    assert "[docker.engine.lost]" in said or "[docker.daemon.down]" in said
