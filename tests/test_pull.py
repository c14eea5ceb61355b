"""Fetching images, from a registry of the suite's own, through the engine."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envkit.backends.docker.pull import Layers, pull
from envkit.errors import ImageMissing, ImageTagUnknown, PullDenied
from envkit.wait import Cancelled

if TYPE_CHECKING:
    from envkit.backends.images import Built
    from tests.conftest import Engine, Project

LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
USER = re.compile(r"provisioning with default user.* password=(\S+) user=(\S+)")


class Registry:
    """Debian's docker-registry, at a port of its own choice.

    Args:
        place: For its images, password file and log.
        closed: Whether it wants a user and password.
    """

    def __init__(self, place: Path, *, closed: bool) -> None:
        place.mkdir()
        access = f"auth: {{htpasswd: {{realm: tests, path: {place}/htpasswd}}}}\n"
        (place / "config.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {place}/images}}}}\n"
            f'http: {{addr: "127.0.0.1:0"}}\n{access if closed else ""}'
        )
        self.program = subprocess.Popen(
            ["docker-registry", "serve", str(place / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.program.stderr is not None
        self.user = self.password = ""
        for line in self.program.stderr:
            if found := USER.search(line):
                self.password, self.user = found.groups()
            if found := LISTENING.search(line):
                self.address = found[1]
                break
        else:
            pytest.fail("docker-registry ended while starting")
        threading.Thread(target=self.program.stderr.read, daemon=True).start()

    def stop(self) -> None:
        self.program.kill()
        self.program.communicate()

    @property
    def credentials(self) -> dict[str, str]:
        return {"username": self.user, "password": self.password}


class Registries:
    """Those of this worker's tests."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._made: list[Registry] = []

    def new(self, *, closed: bool) -> Registry:
        self._made.append(Registry(self._place / f"{len(self._made)}", closed=closed))
        return self._made[-1]

    def has(self, image: str) -> bool:
        return any(image.startswith(f"{one.address}/") for one in self._made)

    def stop(self) -> None:
        for one in self._made:
            one.stop()


@pytest.fixture(scope="module")
def registries(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    if not shutil.which("docker-registry"):
        engine.lacks("no docker-registry is on PATH: apt-get install docker-registry")
    if not engine.address.socket:
        pytest.skip("the engine may be on another machine, and could not reach a registry here")
    made = Registries(tmp_path_factory.mktemp("registries"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def registry(registries: Registries) -> Registry:
    """One that is open to everybody."""
    return registries.new(closed=False)


@pytest.fixture(scope="module")
def closed(registries: Registries) -> Registry:
    """One that wants a password."""
    return registries.new(closed=True)


@pytest.fixture
def engine_of(engine: Engine, registries: Registries) -> Iterator[Engine]:
    """The engine, without images of these registries afterwards."""
    yield engine
    # Not images.list(), which asks about each: others may remove theirs meanwhile.
    for image in engine.client.api.images():
        for tag in filter(registries.has, image["RepoTags"] or ()):
            engine.client.images.remove(tag, force=True)


def put(engine: Engine, registry: Registry, name: str, source: str) -> str:
    """Have an image in the registry, and not in the engine under that name."""
    image = f"{registry.address}/{name}"
    repository, _, tag = image.rpartition(":")
    engine.client.api.tag(source, repository, tag)
    said = engine.client.api.push(
        repository, tag, auth_config=registry.credentials, stream=True, decode=True
    )
    assert not [line for line in said if "error" in line]
    engine.client.images.remove(image)
    return image


def put_new(engine: Engine, registry: Registry, name: str, size: int = 1 << 20) -> str:
    """As `put`, with an image that the engine has nothing of."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("content")
        info.size = size
        archive.addfile(info, io.BytesIO(os.urandom(size)))
    said = json.loads(engine.client.api.import_image_from_data(buffer.getvalue()))
    image = put(engine, registry, name, said["status"])
    with pytest.raises(Exception, match="No such image"):
        engine.client.images.get(said["status"])
    return image


def fetch(engine: Engine, image: str, cancelled: threading.Event | None = None) -> list[Layers]:
    """Pull, and what was reported meanwhile."""
    told: list[Layers] = []
    pull(
        engine.client,
        image,
        where=engine.address.url,
        report=told.append,
        cancelled=cancelled or threading.Event(),
    )
    return told


def test_image_is_there_afterwards(engine_of: Engine, registry: Registry) -> None:
    image = put_new(engine_of, registry, "team/thing:1")
    fetch(engine_of, image)
    assert engine_of.client.images.get(image)


def test_image_named_by_its_digest_is_found(engine_of: Engine, registry: Registry) -> None:
    image = put_new(engine_of, registry, "team/thing:2")
    digest = engine_of.client.images.get_registry_data(image).id
    named = f"{image.rpartition(':')[0]}@{digest}"
    fetch(engine_of, named)
    found = engine_of.client.images.get(named)
    engine_of.client.images.remove(found.id)


def test_progress_ends_with_every_layer_complete(engine_of: Engine, registry: Registry) -> None:
    told = fetch(engine_of, put_new(engine_of, registry, "team/thing:3", size=20 << 20))
    assert [status for status, _, _ in told[-1].values()] == ["Pull complete"]
    assert max(total for layers in told for _, _, total in layers.values()) >= 20 << 20


def test_unknown_tag_is_named(engine_of: Engine, registry: Registry) -> None:
    put_new(engine_of, registry, "team/thing:4")
    with pytest.raises(ImageTagUnknown, match=r"no tag '99' of 127.*/team/thing"):
        fetch(engine_of, f"{registry.address}/team/thing:99")


def test_registry_that_wants_a_password_is_named_as_such(
    engine_of: Engine, closed: Registry
) -> None:
    with pytest.raises(PullDenied) as caught:
        fetch(engine_of, put_new(engine_of, closed, "team/thing:5"))
    assert caught.value.hint.startswith("docker login")


def test_registry_that_is_not_there_is_told_from_an_engine_that_is_not(
    engine_of: Engine,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        image = f"127.0.0.1:{taken.getsockname()[1]}/team/thing:1"
        with pytest.raises(ImageMissing, match="its registry cannot be reached"):
            fetch(engine_of, image)


def test_registry_that_never_answers_is_given_up(engine_of: Engine) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        image = f"127.0.0.1:{silent.getsockname()[1]}/team/thing:1"
        with pytest.raises(ImageMissing, match="does not answer"):
            fetch(engine_of, image)


def test_nobody_waits_for_a_pull_that_was_given_up(engine_of: Engine, registry: Registry) -> None:
    image = put_new(engine_of, registry, "team/thing:6")
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        fetch(engine_of, image, cancelled)


# -- as a person sees it ---------------------------------------------------------------------------


@pytest.fixture
def project_of(
    project: Project, with_engine: Engine, engine_of: Engine, registry: Registry
) -> Callable[..., Project]:
    """A project whose Redis comes from the registry."""

    def make(image: str, **docker: str) -> Project:
        tables = "".join(f'docker.{key} = "{value}"\n' for key, value in docker.items())
        named = f'redis.image = "{image}"\n' if image else ""
        project.write("envkit.toml", f'services = ["redis"]\nbackend = "docker"\n{tables}{named}')
        return project

    return make


def reference(images: list[Built], service: str) -> str:
    return next(one.reference for one in images if one.service == service)


def why(project: Project) -> str:
    said: dict[str, Any] = json.loads(project.envkit("status", "--format", "json").stdout)
    return str(said["keepers"][0]["services"][0]["why"])


def test_image_that_is_missing_is_fetched_and_used(
    project_of: Callable[..., Project], engine: Engine, registry: Registry, images: list[Built]
) -> None:
    image = put(engine, registry, "team/redis:9", reference(images, "redis"))
    project = project_of(image)
    ended = project.envkit("up")
    assert ended.returncode == 0, ended.stderr
    assert why(project) == f"image {image}, pulled, backend docker"


def test_image_that_was_fetched_is_not_fetched_again(
    project_of: Callable[..., Project], engine: Engine, registry: Registry, images: list[Built]
) -> None:
    image = put(engine, registry, "team/redis:9", reference(images, "redis"))
    project = project_of(image)
    assert project.envkit("run", "--", "true").returncode == 0
    assert project.envkit("up").returncode == 0
    assert why(project) == f"image {image}, built by envkit, backend docker"


def test_registry_of_the_configuration_is_asked_for_the_official_image(
    project_of: Callable[..., Project], engine: Engine, registry: Registry, images: list[Built]
) -> None:
    put(engine, registry, "mirror/redis:8", reference(images, "redis"))
    project = project_of("", registry=f"{registry.address}/mirror", pull="always")
    ended = project.envkit("up")
    assert ended.returncode == 0, ended.stderr
    assert why(project) == f"image {registry.address}/mirror/redis:8, pulled, backend docker"


def test_credentials_of_docker_login_are_used(
    project_of: Callable[..., Project],
    engine: Engine,
    closed: Registry,
    images: list[Built],
    tmp_path: Path,
) -> None:
    image = put(engine, closed, "team/redis:9", reference(images, "redis"))
    login = base64.b64encode(f"{closed.user}:{closed.password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {closed.address: {"auth": login}}}))
    ended = project_of(image).envkit("run", "--", "true", DOCKER_CONFIG=str(tmp_path))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("program", "why"),
    [("echo nonsense", "Expecting value"), ("exit 3", "fails"), ("exec sleep 30", "says nothing")],
)
def test_helper_for_credentials_that_gives_none_is_named(
    project_of: Callable[..., Project],
    registry: Registry,
    tmp_path: Path,
    program: str,
    why: str,
) -> None:
    helper = tmp_path / "docker-credential-fails"
    helper.write_text(f"#!/bin/sh\n{program}\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "fails"}))
    ended = project_of(f"{registry.address}/team/redis:9").envkit(
        "up", DOCKER_CONFIG=str(tmp_path), PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    assert ended.returncode == 3
    assert "cannot be read [docker.pull.denied]" in ended.stderr
    assert why in ended.stderr
    assert f"{tmp_path}/config.json" in ended.stderr


def test_tag_that_does_not_exist_says_what_to_set(
    project_of: Callable[..., Project], registry: Registry
) -> None:
    ended = project_of(f"{registry.address}/team/redis:99").envkit("up")
    assert ended.returncode == 3
    assert re.search(r"redis +failed \[docker\.image\.tag-unknown\]", ended.stderr)
    assert "set version or image in the service's table" in ended.stderr


def test_nothing_is_fetched_where_that_is_forbidden(
    project_of: Callable[..., Project], engine: Engine, registry: Registry, images: list[Built]
) -> None:
    image = put(engine, registry, "team/redis:9", reference(images, "redis"))
    ended = project_of(image, pull="never").envkit("up")
    assert ended.returncode == 3
    assert "[docker.image.missing]" in ended.stderr
    with pytest.raises(Exception, match="No such image"):
        engine.client.images.get(image)


def test_fetched_image_that_is_no_server_is_quoted(
    project_of: Callable[..., Project], engine: Engine, registry: Registry
) -> None:
    ended = project_of(put_new(engine, registry, "team/no-redis:1")).envkit("up")
    assert ended.returncode == 3
    assert re.search(r"redis +failed \[docker\.", ended.stderr)
    assert "Traceback" not in ended.stderr
    assert engine.containers() == []
