"""Services in containers, as a person sees them: chosen, shown, and gone without a trace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from envkit.host import image_name, look_for
from envkit.model import SERVICES, DockerSettings, ServiceSettings
from envkit.services import load

if TYPE_CHECKING:
    from tests.conftest import Engine, Leftovers, Project


@pytest.fixture
def docker(project: Project, with_engine: Engine) -> Project:
    """A project with all three services in containers."""
    project.write("envkit.toml", 'backend = "docker"\n')
    return project


def test_run_leaves_neither_container_nor_volume(docker: Project, leftovers: Leftovers) -> None:
    shows = f"{sys.executable} -m envkit status --format json"
    ended = docker.envkit("run", "--", "sh", "-c", shows)
    [keeper] = json.loads(ended.stdout)["keepers"]
    assert {one["backend"] for one in keeper["services"]} == {"docker"}
    assert leftovers.all() == []


def test_status_names_the_container(docker: Project, with_engine: Engine) -> None:
    docker.write("envkit.toml", 'services = ["redis"]\nbackend = "docker"\n')
    assert docker.envkit("up").returncode == 0
    [keeper] = json.loads(docker.envkit("status", "--format", "json").stdout)["keepers"]
    [service] = keeper["services"]
    [name] = with_engine.containers()
    assert with_engine.client.containers.get(name).short_id == service["container"]
    assert service["pid"] is None


def test_container_is_named_and_labelled_for_its_keeper(
    docker: Project, with_engine: Engine
) -> None:
    docker.write("envkit.toml", 'services = ["redis"]\nbackend = "docker"\n')
    docker.envkit("up")
    [keeper] = json.loads(docker.envkit("status", "--format", "json").stdout)["keepers"]
    [name] = with_engine.containers()
    labels = with_engine.client.containers.get(name).labels
    assert name.startswith(f"envkit-{keeper['key']}-")
    assert labels["envkit.key"] == keeper["key"]
    assert labels["envkit.project"] == str(docker.root)
    assert labels["envkit.service"] == "redis"
    assert json.loads(labels["envkit.owner"])["pid"] == keeper["pid"]


def test_no_password_is_where_everybody_who_may_ask_the_engine_sees_it(
    docker: Project, with_engine: Engine
) -> None:
    docker.envkit("up")
    configs = [
        with_engine.client.containers.get(name).attrs["Config"] for name in with_engine.containers()
    ]
    words = [word for one in configs for word in (*one["Env"], *(one["Cmd"] or ()))]
    assert len(configs) == len(SERVICES)
    assert [word for word in words if re.search("(?i)password=|requirepass", word)] == []


def test_auto_takes_the_image_that_is_here(project: Project, with_engine: Engine) -> None:
    ended = project.envkit("run", "--", "true")
    assert "(docker)" in ended.stderr


def test_same_project_with_and_without_engine_has_two_keepers(
    project: Project, with_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.envkit("up")
    monkeypatch.setenv("DOCKER_HOST", "unix:///none")
    project.envkit("up")
    keepers = json.loads(project.envkit("status", "--format", "json").stdout)["keepers"]
    backends = [one["backend"] for keeper in keepers for one in keeper["services"]]
    assert sorted(backends) == ["docker", "embedded"]


def test_user_without_a_name_and_a_home_can_use_docker(
    docker: Project, with_engine: Engine
) -> None:
    namespace = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no user namespaces")
    variables = {"PATH": os.environ["PATH"], **with_engine.environment}
    done = subprocess.run(
        [
            *namespace,
            *("env", "-i", *(f"{name}={value}" for name, value in variables.items())),
            *(sys.executable, "-m", "envkit", "run", "redis", "--", "env"),
        ],
        cwd=docker.root,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "REDIS_URL=" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("table", "pull"),
    [({}, "always"), ({"image": "mine/redis:1"}, "missing"), ({"version": "7"}, "missing")],
    ids=["pull", "image", "version"],
)
def test_programs_are_looked_for_where_the_images_that_are_here_may_not_do(
    engine: Engine, images: object, table: dict[str, str], pull: str
) -> None:
    spec = load("redis")
    facts = look_for(
        "auto",
        programs=spec.programs,
        image=spec.image,
        settings=ServiceSettings(**table),  # type: ignore[arg-type] # parametrised
        docker=DockerSettings(host=engine.address.url, pull=pull),  # type: ignore[arg-type] # as above
        target=None,
    )
    assert facts.engine is not None
    assert facts.engine.images
    assert facts.programs


@pytest.mark.parametrize("service", SERVICES)
def test_look_tells_what_the_images_are(engine: Engine, images: object, service: str) -> None:
    spec = load(service)  # type: ignore[arg-type] # parametrised
    docker = DockerSettings(host=engine.address.url)
    facts = look_for(
        "docker",
        programs=(),
        image=spec.image,
        settings=ServiceSettings(),
        docker=docker,
        target=None,
    )
    assert facts.image == image_name(spec.image, ServiceSettings(), docker)
    assert facts.engine is not None
    built = [image for image in facts.engine.images if image.built]
    assert len(built) >= 2
    assert all(image.version and image.product and image.volumes for image in built)


def test_engine_is_hidden_from_those_who_do_not_ask(engine: Engine, project: Project) -> None:
    assert engine.client.ping()
    assert project.envkit("up", "--backend", "docker").returncode == 3
