"""Faults of a real engine, provoked."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.errors import APIError, ImageNotFound

from tests.doctor.live.said import of_error, of_text, slugs_of, visit

if TYPE_CHECKING:
    from docker.models.networks import Network

    from tests.conftest import Project
    from tests.engines import Engine, OwnEngine

pytest_plugins = ["tests.engines"]

REDIS = "envkit/redis:9"

ON_DOCKER = 'services = ["redis"]\nbackend = "docker"\n'


@pytest.fixture
def docker_project(project: Project) -> Project:
    project.write("envkit.toml", ON_DOCKER)
    return project


@pytest.fixture
def socket_path() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="ekd-", dir="/tmp"))
    yield directory / "d.sock"
    shutil.rmtree(directory)


def said_by(*command: str, engine: Engine) -> str:
    """What the docker command says that fails."""
    if shutil.which("docker") is None:
        pytest.skip("no docker command")
    done = subprocess.run(
        ["docker", *command],
        env=os.environ | {"DOCKER_HOST": engine.url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_engine_that_is_not_there(docker_project: Project, socket_path: Path) -> None:
    report = visit(docker_project, DOCKER_HOST=f"unix://{socket_path}")
    assert slugs_of(report)[0] in ("docker.daemon.down", "docker.socket.missing")
    assert len(report["findings"]) == 1
    assert report["findings"][0]["evidence"].endswith("No such file or directory")


def test_engine_that_died_and_left_its_socket(docker_project: Project, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    report = visit(docker_project, DOCKER_HOST=f"unix://{socket_path}")
    assert slugs_of(report) == ["docker.daemon.down"]
    assert report["status"] == "problems"


def test_engine_that_is_elsewhere(
    docker_project: Project, socket_path: Path, local_engine: Engine
) -> None:
    home = socket_path.parent / "home"
    desktop = home / ".docker/run/docker.sock"
    desktop.parent.mkdir(parents=True)
    desktop.symlink_to(local_engine.url.removeprefix("unix://"))
    report = visit(docker_project, DOCKER_HOST=f"unix://{socket_path}", HOME=str(home))
    assert slugs_of(report) == ["docker.socket.missing"]
    export, _, setting = report["findings"][0]["fix"]["command"].partition(" ")
    name, _, value = setting.partition("=")
    assert (export, name) == ("export", "DOCKER_HOST")
    assert visit(docker_project, DOCKER_HOST=value, HOME=str(home))["findings"] == []


def test_engine_that_accepts_and_never_answers(docker_project: Project, socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(socket_path))
        silent.listen()
        report = visit(docker_project, DOCKER_HOST=f"unix://{socket_path}")
    assert slugs_of(report) == ["docker.daemon.down"]
    assert report["status"] == "incomplete"
    assert report["findings"][0]["severity"] == "warning"
    (check,) = (one for one in report["checks"] if one["name"] == "Container engine")
    assert check["status"] == "not-checked"


def test_absent_engine_is_none_of_embedded_services_business(
    project: Project, socket_path: Path
) -> None:
    for backend in ("auto", "embedded"):
        report = visit(project, DOCKER_HOST=f"unix://{socket_path}", ENVKIT_BACKEND=backend)
        assert report["findings"] == []
        (check,) = (one for one in report["checks"] if one["name"] == "Container engine")
        assert check["status"] == "skipped"


def test_socket_that_is_closed_to_this_user(docker_project: Project, socket_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can make a socket of somebody else's")
    without = "-dac_override,-dac_read_search"  # what lets root pass by permissions
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(socket_path))
        closed.listen()
        os.chown(socket_path, 64001, 64001)
        socket_path.chmod(0o660)
        done = subprocess.run(
            [
                *("setpriv", "--bounding-set", without, "--inh-caps", without),
                *(sys.executable, "-m", "envkit", "doctor", "--format", "json"),
            ],
            cwd=docker_project.root,
            env=os.environ | {"DOCKER_HOST": f"unix://{socket_path}"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    report = json.loads(done.stdout)
    assert slugs_of(report) == ["docker.socket.denied"]
    assert report["findings"][0]["fix"]["command"] == "sudo usermod -aG docker $USER"


def test_docker_package_without_an_engine(socket_path: Path) -> None:
    assert of_text(raised_by_the_docker_package(socket_path)).slug == "docker.socket.missing"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    assert of_text(raised_by_the_docker_package(socket_path)).slug == "docker.daemon.down"


def raised_by_the_docker_package(path: Path) -> str:
    # In a process of its own: it leaves a socket open.
    code = f"import docker; docker.DockerClient(base_url='unix://{path}')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "docker.errors.DockerException" in done.stderr
    return done.stderr


def test_port_of_another_program(local_engine: Engine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        made = local_engine.client.containers.create(REDIS, ports={"6379/tcp": ("127.0.0.1", port)})
        try:
            with pytest.raises(APIError) as caught:
                made.start()
            found = of_error(caught.value)
            assert found.slug == "docker.port.in-use"
            assert str(port) in found.title
            text = said_by("start", made.id, engine=local_engine)
            assert of_text(text).slug == "docker.port.in-use"
        finally:
            made.remove(force=True, v=True)


def test_port_and_name_of_another_container(local_engine: Engine) -> None:
    ports = {"6379/tcp": ("127.0.0.1", None)}
    first = local_engine.client.containers.run(REDIS, detach=True, ports=ports)
    try:
        first.reload()
        port = int(first.ports["6379/tcp"][0]["HostPort"])
        said = said_by("run", "--rm", "-p", f"127.0.0.1:{port}:6379", REDIS, engine=local_engine)
        assert of_text(said).slug == "docker.port.in-use"
        with pytest.raises(APIError) as caught:
            local_engine.client.containers.create(REDIS, name=first.name)
        found = of_error(caught.value)
        assert found.slug == "docker.name.conflict"
        command = shlex.split(found.fix.command)
    finally:
        removed = first.name
        first.remove(force=True, v=True)
    assert command == ["docker", "rm", "-f", removed]


def test_image_that_is_not_there(project: Project, local_engine: Engine) -> None:
    project.write(
        "envkit.toml",
        ON_DOCKER + '[docker]\npull = "never"\n[redis]\nimage = "nosuch/redis:1"\n',
    )
    assert slugs_of(visit(project, DOCKER_HOST=local_engine.url)) == ["docker.image.missing"]
    with pytest.raises(ImageNotFound) as caught:
        local_engine.client.images.get("nosuch/redis:1")
    assert of_error(caught.value).slug == "docker.image.missing"
    said = said_by("run", "--rm", "--pull", "never", "nosuch/redis:1", engine=local_engine)
    assert of_text(said).slug == "docker.image.missing"


def test_paused_container(docker_project: Project, local_engine: Engine) -> None:
    environment = {"DOCKER_HOST": local_engine.url}
    assert docker_project.envkit("up", **environment).returncode == 0
    made = local_engine.the_container(docker_project)
    made.pause()
    try:
        report = visit(docker_project, **environment)
        assert slugs_of(report) == ["docker.container.paused"]
        assert [one["slug"] for one in report["findings"][0]["consequences"]] == ["net.timeout"]
        command = report["findings"][0]["fix"]["command"]
        assert command == f"docker unpause {made.name}"
        if shutil.which("docker"):
            subprocess.run(
                shlex.split(command),
                env=os.environ | environment,
                check=True,
                timeout=60,
                stdout=subprocess.DEVNULL,
            )
            assert visit(docker_project, **environment)["findings"] == []
    finally:
        with contextlib.suppress(APIError):
            made.unpause()
        docker_project.envkit("down", **environment)


def test_container_out_of_memory(local_engine: Engine) -> None:
    made = local_engine.client.containers.run(
        REDIS,
        ["sh", "-c", "x=x; while :; do x=$x$x; done"],
        entrypoint="",
        detach=True,
        mem_limit="16m",
        memswap_limit="16m",
    )
    try:
        made.wait(timeout=30)
        said = said_by("inspect", made.id, "nosuch", engine=local_engine)
        assert of_text(said).slug == "docker.container.oom"
    finally:
        made.remove(force=True, v=True)


def test_container_whose_program_is_missing(local_engine: Engine) -> None:
    said = said_by("run", "--rm", "--entrypoint", "/nosuch", REDIS, engine=local_engine)
    assert of_text(said).slug == "docker.container.exited"


def test_image_for_another_machine(local_engine: Engine) -> None:
    other = local_engine.load("envkit-test/other:1", b"\x7fELF\x02\x01\x01" + bytes(60), "s390x")
    try:
        said = said_by("run", "--rm", other, engine=local_engine)
        found = [line for line in said.splitlines() if "exec format error" in line]
        assert of_text(found[0]).slug == "docker.image.platform"
    finally:
        local_engine.client.images.remove(other, force=True)


def test_file_that_is_not_in_the_context(tmp_path: Path, local_engine: Engine) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY missing.txt /\n")
    said = said_by("build", str(tmp_path), engine=local_engine)
    found = of_text(said)
    assert found.slug == "docker.build.copy-missing"
    assert "missing.txt" in found.title


def test_engine_without_a_swarm(local_engine: Engine) -> None:
    said = said_by("service", "ls", engine=local_engine)
    assert of_text(said).slug == "swarm.not-manager"


def test_engine_whose_disk_is_full(docker_project: Project, own_engine: OwnEngine) -> None:
    environment = {"DOCKER_HOST": own_engine.url}
    assert visit(docker_project, ENVKIT_REDIS_IMAGE=REDIS, **environment)["findings"] == []
    with own_engine.filled():
        report = visit(docker_project, ENVKIT_REDIS_IMAGE=REDIS, **environment)
        assert slugs_of(report) == ["docker.disk.full"]
        with pytest.raises(APIError) as caught:
            own_engine.client.containers.run(REDIS, detach=True)
        assert of_error(caught.value).slug == "docker.disk.full"


def test_engine_that_is_suspended(docker_project: Project, own_engine: OwnEngine) -> None:
    with own_engine.suspended():
        report = visit(docker_project, DOCKER_HOST=own_engine.url)
    assert slugs_of(report) == ["docker.daemon.down"]
    assert report["status"] == "incomplete"


def test_engine_without_address_ranges(docker_project: Project, own_engine: OwnEngine) -> None:
    made: list[Network] = []
    try:
        error: APIError | None = None
        while error is None:
            try:
                made.append(own_engine.client.networks.create(f"ek-{len(made)}"))
            except APIError as refusal:
                error = refusal
        assert of_error(error).slug == "docker.net.pool"
        environment = {"DOCKER_HOST": own_engine.url, "ENVKIT_REDIS_IMAGE": REDIS}
        report = visit(docker_project, **environment)
        assert slugs_of(report) == ["docker.net.pool"]
        assert report["status"] == "ok"  # envkit itself makes no networks
        command = shlex.split(report["findings"][0]["fix"]["command"])
        if shutil.which("docker"):
            subprocess.run(
                command,
                env=os.environ | environment,
                check=True,
                timeout=60,
                stdout=subprocess.DEVNULL,
            )
            made.clear()
            assert visit(docker_project, **environment)["findings"] == []
    finally:
        for network in made:
            network.remove()


def test_what_a_killed_run_left(docker_project: Project, own_engine: OwnEngine) -> None:
    import msgspec

    from envkit.backends.docker.labels import labels_of
    from envkit.owner import Owner

    owner = msgspec.structs.replace(Owner.this_process(), pid=2**22 - 1, started=1)
    labels = labels_of(owner, service="redis", key="0" * 12, project=str(docker_project.root))
    own_engine.client.containers.create(REDIS, labels=labels)
    environment = {"DOCKER_HOST": own_engine.url, "ENVKIT_REDIS_IMAGE": REDIS}
    report = visit(docker_project, **environment)
    assert slugs_of(report) == ["envkit.leftovers"]
    assert report["findings"][0]["fix"]["command"] == "envkit prune"
    assert docker_project.envkit("prune", **environment).returncode == 0
    assert visit(docker_project, **environment)["findings"] == []
