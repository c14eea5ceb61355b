"""Fetching images: from a real registry, and from what is none."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import NotFound

from envkit.backends.docker.pull import Layers, pull
from envkit.wait import Cancelled

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
def here(local_engine: Engine, registry: Registry, closed_registry: Registry) -> Iterator[Engine]:
    """This machine's engine, without images of these registries afterwards."""
    yield local_engine
    of_ours = (f"{registry.address}/", f"{closed_registry.address}/")
    # Not images.list(), which asks about each: others may remove theirs meanwhile.
    for image in local_engine.client.api.images():
        for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
            if name.startswith(of_ours):
                with contextlib.suppress(NotFound):  # digests go with the last tag
                    local_engine.client.api.remove_image(name, force=True)


@pytest.fixture
def without_images(own_engine: OwnEngine) -> OwnEngine:
    """The engine of one's own, with nothing on it."""
    for image in own_engine.client.images.list(all=True):
        with contextlib.suppress(NotFound):
            own_engine.client.api.remove_image(image.id, force=True)
    return own_engine


def ask_for(project: Project, image: str, *, pull: str = "missing", registry: str = "") -> None:
    lines = ['services = ["redis"]', f'docker.pull = "{pull}"']
    lines += [f'redis.image = "{image}"'] if image else []
    lines += [f'docker.registry = "{registry}"'] if registry else []
    project.write("envkit.toml", "\n".join(lines))


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


def why(project: Project) -> str:
    """Why Redis is served as it is, while it is up."""
    said: dict[str, Any] = json.loads(project.envkit("status", "--format", "json").stdout)
    return str(said["keepers"][0]["services"][0]["why"])


def push_new(engine: Engine, registry: Registry, name: str, size: int = 1 << 20) -> str:
    """Have an image in the registry that the engine has nothing of, and that is no server's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("content")
        info.size = size
        archive.addfile(info, io.BytesIO(os.urandom(size)))
    made = json.loads(engine.client.api.import_image_from_data(buffer.getvalue()))["status"]
    image = registry.push(engine, made, name)
    assert not engine.has(made)
    return image


def fetch(engine: Engine, image: str, cancelled: threading.Event | None = None) -> list[Layers]:
    """Pull, and what was reported meanwhile."""
    told: list[Layers] = []
    pull(
        engine.client,
        image,
        where=engine.url,
        report=told.append,
        cancelled=cancelled or threading.Event(),
    )
    return told


# -- what is fetched -------------------------------------------------------------------------------


def test_image_that_is_not_there_is_fetched_and_used(
    on_engine: Project, here: Engine, registry: Registry
) -> None:
    image = registry.push(here, engines().REDIS, "team/redis:9")
    ask_for(on_engine, image)
    ended = on_engine.envkit("up")
    assert ended.returncode == 0, ended.stderr
    assert why(on_engine) == f"image {image}, pulled, backend docker"
    assert here.has(image)


def test_image_named_by_its_digest_is_found(here: Engine, registry: Registry) -> None:
    image = push_new(here, registry, "team/by-digest:1")
    digest = here.client.images.get_registry_data(image).id
    named = f"{image.rpartition(':')[0]}@{digest}"
    fetch(here, named)
    assert here.has(named)


def test_image_that_is_there_is_not_asked_for_again(
    on_engine: Project, here: Engine, closed_port: str
) -> None:
    image = f"{closed_port}/redis:9"
    here.client.api.tag(engines().REDIS, f"{closed_port}/redis", "9")
    try:
        ask_for(on_engine, image)
        ended = on_engine.envkit("up")
        assert ended.returncode == 0, ended.stderr
        assert why(on_engine) == f"image {image}, built by envkit, backend docker"
        on_engine.envkit("down")
    finally:
        here.client.api.remove_image(image)


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


def test_progress_tells_how_large_a_layer_is(here: Engine, registry: Registry) -> None:
    told = fetch(here, push_new(here, registry, "team/large:1", size=20 << 20))
    assert [status for status, _, _ in told[-1].values()] == ["Pull complete"]
    assert max(total for layers in told for _, _, total in layers.values()) >= 20 << 20


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


def test_never_fetches_nothing(on_engine: Project, here: Engine, registry: Registry) -> None:
    image = registry.push(here, engines().REDIS, "forbidden:1")
    ask_for(on_engine, image, pull="never")
    error = error_of(on_engine)
    assert "[docker.image.missing]" in error
    assert "pull is 'never'" in error
    assert not here.has(image)


def test_nobody_waits_for_a_pull_that_was_given_up(here: Engine, registry: Registry) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        fetch(here, push_new(here, registry, "team/given-up:1"), cancelled)


# -- which registry is asked, and as whom ----------------------------------------------------------


def test_registry_of_the_configuration_is_asked_for_the_official_image(
    on_engine: Project, here: Engine, registry: Registry
) -> None:
    image = registry.push(here, engines().REDIS, "mirror/redis:8")
    ask_for(on_engine, "", registry=f"{registry.address}/mirror", pull="always")
    ended = on_engine.envkit("up")
    assert ended.returncode == 0, ended.stderr
    assert why(on_engine) == f"image {image}, pulled, backend docker"


def test_registry_of_the_configuration_goes_before_names_that_have_none(
    on_engine: Project, here: Engine, registry: Registry
) -> None:
    image = registry.push(here, engines().REDIS, "mirrored/redis:9")
    ask_for(on_engine, "redis:9", registry=f"{registry.address}/mirrored", pull="always")
    done = ran(on_engine)
    assert done.returncode == 0, done.stderr
    assert here.has(image)


def test_login_of_the_docker_command_is_used(
    on_engine: Project,
    here: Engine,
    closed_registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login = {"username": "tester", "password": "secret"}
    image = closed_registry.push(here, engines().REDIS, "redis:9", **login)
    word = base64.b64encode(b"tester:secret").decode()
    auths = {"auths": {closed_registry.address: {"auth": word}}}
    (tmp_path / "config.json").write_text(json.dumps(auths))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    ask_for(on_engine, image)
    done = ran(on_engine)
    assert done.returncode == 0, done.stderr


def test_registry_that_wants_a_login_is_named(
    on_engine: Project, closed_registry: Registry
) -> None:
    ask_for(on_engine, f"{closed_registry.address}/redis:9")
    error = error_of(on_engine)
    assert "[docker.pull.denied]" in error
    assert "→ docker login" in error


def test_registry_that_cannot_be_reached_is_named(on_engine: Project, closed_port: str) -> None:
    ask_for(on_engine, f"{closed_port}/redis:1")
    error = error_of(on_engine)
    assert "[docker.image.missing]" in error
    assert "its registry cannot be reached" in error
    assert closed_port in error


def test_registry_that_does_not_answer_is_named(on_engine: Project, silent_port: str) -> None:
    ask_for(on_engine, f"{silent_port}/redis:1")
    error = error_of(on_engine)
    assert "[docker.image.missing]" in error
    assert "does not answer" in error
    assert silent_port in error


# -- what the registry does not have, or what is no server's ---------------------------------------


def test_unknown_tag_is_named_with_what_to_set(
    on_engine: Project, here: Engine, registry: Registry
) -> None:
    image = registry.push(here, engines().REDIS, "team/redis:9")
    ask_for(on_engine, image.replace(":9", ":99"))
    error = error_of(on_engine)
    assert "[docker.image.tag-unknown]" in error
    assert f"no tag '99' of {registry.address}/team/redis" in error
    assert "set version or image in the service's table" in error


def test_start_that_fails_for_its_image_is_told_beside_its_service(
    on_engine: Project, registry: Registry
) -> None:
    ask_for(on_engine, f"{registry.address}/team/redis:99")
    ended = on_engine.envkit("up")
    assert ended.returncode == 3
    assert re.search(r"redis +failed \[docker\.image\.tag-unknown\]", ended.stderr)


def test_unknown_repository_is_told_as_its_registry_tells_it(
    on_engine: Project, registry: Registry
) -> None:
    ask_for(on_engine, f"{registry.address}/nobody/knows:1")
    error = error_of(on_engine)
    assert "[docker.image.tag-unknown]" in error
    assert f"{registry.address}/nobody/knows" in error


def test_fetched_image_that_is_no_server_is_told_and_leaves_no_container(
    on_engine: Project, here: Engine, registry: Registry
) -> None:
    ask_for(on_engine, push_new(here, registry, "team/no-redis:1"))
    ended = on_engine.envkit("up")
    assert ended.returncode == 3
    assert re.search(r"redis +failed \[docker\.", ended.stderr)
    assert "Traceback" not in ended.stderr
    assert here.left(on_engine) == []


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


# -- what happens meanwhile ------------------------------------------------------------------------


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
