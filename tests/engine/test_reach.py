"""How the containers of an engine are reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from envkit.backends.docker.reach import Reach, way_to
from envkit.engine.address import EngineAddress
from envkit.errors import (
    UsageError,
)


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """Of an engine that must not be asked anything."""
    made = docker.DockerClient("unix:///none", version="1.41")
    yield made
    made.close()


LOCAL = EngineAddress(url="unix:///run/docker.sock", origin="test")


def remote(url: str) -> EngineAddress:
    return EngineAddress(url=url, origin="test")


@pytest.mark.parametrize("variable", ["TESTCONTAINERS_HOST_OVERRIDE", "TC_HOST"])
@pytest.mark.parametrize(
    ("host", "publish_on"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("192.0.2.7", "0.0.0.0")],
)
def test_override_says_where_ports_are(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: docker.DockerClient,
    variable: str,
    host: str,
    publish_on: str,
) -> None:
    monkeypatch.setenv(variable, host)
    way = way_to(remote("tcp://elsewhere.invalid:2375"), client)
    assert way == Reach(host=host, publish_on=publish_on)


@pytest.mark.parametrize("url", ["tcp://192.0.2.7:2375", "ssh://me@192.0.2.7"])
def test_ports_of_an_engine_elsewhere_are_on_its_machine(
    home: Path, client: docker.DockerClient, url: str
) -> None:
    assert way_to(remote(url), client) == Reach(host="192.0.2.7", publish_on="0.0.0.0")


def test_ports_of_an_engine_behind_a_tunnel_are_for_this_machine_only(
    home: Path, client: docker.DockerClient
) -> None:
    way = way_to(remote("tcp://127.0.0.1:2375"), client)
    assert way == Reach(host="127.0.0.1", publish_on="127.0.0.1")


def test_connection_mode_docker_host_takes_published_ports(
    home: Path, monkeypatch: pytest.MonkeyPatch, client: docker.DockerClient
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    assert way_to(LOCAL, client) == Reach(host="127.0.0.1", publish_on="127.0.0.1")


def test_connection_mode_gateway_ip_goes_over_the_default_gateway(
    home: Path, monkeypatch: pytest.MonkeyPatch, client: docker.DockerClient
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "gateway_ip")
    way = way_to(LOCAL, client)
    assert ipaddress.ip_address(way.host).version == 4
    assert way.publish_on == "0.0.0.0"


def test_unknown_connection_mode_is_refused_with_those_that_there_are(
    home: Path, monkeypatch: pytest.MonkeyPatch, client: docker.DockerClient
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_CONNECTION_MODE", "bridge")
    with pytest.raises(UsageError, match="is 'bridge'") as caught:
        way_to(LOCAL, client)
    assert caught.value.hint == "set it to bridge_ip, gateway_ip or docker_host, or unset it"
