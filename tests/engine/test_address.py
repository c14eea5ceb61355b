"""Where the container engine is looked for, apart from docker's contexts."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envkit.engine.address import EngineAddress, engine_address
from envkit.model import DockerSettings


@pytest.fixture
def listening() -> Iterator[Callable[[Path], Path]]:
    """Makes sockets."""
    made: list[socket.socket] = []

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].bind(str(path))
        return path

    yield make
    for one in made:
        one.close()


def test_usual_socket_is_the_default(home: Path) -> None:
    address = engine_address()
    assert (address.url, address.origin) == (f"unix://{home}/var.sock", "the default socket")


def test_docker_host_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2375")
    address = engine_address()
    assert (address.url, address.origin) == ("tcp://192.0.2.7:2375", "DOCKER_HOST")


def test_docker_host_of_the_client_wins_over_that_of_the_keeper(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://keeper.example:2375")
    settings = DockerSettings(host="tcp://client.example:2375")
    assert engine_address(settings).url == "tcp://client.example:2375"


def test_client_without_docker_host_does_not_get_that_of_the_keeper(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://keeper.example:2375")
    assert engine_address(DockerSettings()).url == f"unix://{home}/var.sock"


def test_ssh_address_loses_the_path_that_the_docker_package_does_not_take(home: Path) -> None:
    settings = DockerSettings(host="ssh://me@box.example:2222/run/docker.sock")
    assert engine_address(settings).url == "ssh://me@box.example:2222"


def test_property_of_testcontainers_wins_over_docker_host(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2375")
    (home / ".testcontainers.properties").write_text("# x\nother=1\ntc.host = tcp://cloud:99\n")
    address = engine_address()
    assert (address.url, address.origin) == ("tcp://cloud:99", "~/.testcontainers.properties")


@pytest.mark.parametrize(
    ("variables", "certificates", "verify"),
    [
        ({}, "", False),
        ({"DOCKER_CERT_PATH": "/certs"}, "", False),
        ({"DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": "1"}, "/certs", True),
        ({"DOCKER_CERT_PATH": "/certs", "DOCKER_TLS_VERIFY": ""}, "/certs", False),
        ({"DOCKER_TLS_VERIFY": "1"}, "HOME/.docker", True),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": "/config"}, "/config", True),
    ],
    ids=str,
)
def test_tls_is_used_as_the_docker_command_uses_it(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    certificates: str,
    verify: bool,
) -> None:
    for name, value in {"DOCKER_HOST": "tcp://192.0.2.7:2376", **variables}.items():
        monkeypatch.setenv(name, value)
    address = engine_address()
    assert address.certificates == certificates.replace("HOME", str(home))
    assert (address.verify if address.certificates else False) == verify


def test_environment_leads_the_docker_package_to_the_same_engine() -> None:
    address = EngineAddress(url="tcp://box:2376", origin="test", certificates="/certs")
    assert address.environment() == {
        "DOCKER_HOST": "tcp://box:2376",
        "DOCKER_CERT_PATH": "/certs",
        "DOCKER_TLS_VERIFY": "1",
    }


@pytest.mark.parametrize(
    "place", ["run/docker.sock", ".docker/run/docker.sock", "run/podman/podman.sock"]
)
def test_engine_without_root_is_found_where_the_usual_socket_is_missing(
    home: Path, listening: Callable[[Path], Path], place: str
) -> None:
    path = listening(home / place)
    assert engine_address().url == f"unix://{path}"


def test_rootless_docker_goes_before_podman(home: Path, listening: Callable[[Path], Path]) -> None:
    listening(home / "run/podman/podman.sock")
    path = listening(home / "run/docker.sock")
    assert engine_address().url == f"unix://{path}"


def test_usual_socket_goes_before_those_without_root(
    home: Path, listening: Callable[[Path], Path]
) -> None:
    listening(home / "run/docker.sock")
    path = listening(home / "var.sock")
    assert engine_address().url == f"unix://{path}"


@pytest.mark.parametrize(
    ("url", "where", "hostname"),
    [
        ("unix:///run/docker.sock", "/run/docker.sock", ""),
        ("tcp://192.0.2.7:2375", "", "192.0.2.7"),
        ("ssh://me@box.example:22", "", "box.example"),
        ("tcp://[2001:db8::1]:2375", "", "2001:db8::1"),
    ],
)
def test_address_tells_a_socket_from_another_machine(url: str, where: str, hostname: str) -> None:
    address = EngineAddress(url=url, origin="test")
    assert (address.socket, address.hostname) == (where, hostname)
