"""A container engine that is not there, is closed to this user or hangs."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from envkit.engine.address import EngineAddress
from envkit.engine.client import new_client
from envkit.engine.look import look
from envkit.engine.words import unreachable
from envkit.errors import (
    DockerDenied,
    DockerDown,
)


def test_socket_that_does_not_exist() -> None:
    with pytest.raises(DockerDown, match="no container engine answers at unix:///none") as caught:
        new_client(EngineAddress(url="unix:///none", origin="test"))
    assert caught.value.hint == "docker info"


def test_port_that_nobody_listens_on() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DockerDown, match=f"no container engine answers at {url}"):
            new_client(EngineAddress(url=url, origin="test")).ping()


def test_socket_that_is_closed_to_this_user_says_who_that_is() -> None:
    # As urllib3 and requests nest it: among the arguments, not as the cause.
    nested = ConnectionError("Connection aborted.", PermissionError(errno.EACCES, "nested"))
    error = unreachable(docker.errors.DockerException(nested), "unix:///run/docker.sock")
    assert type(error) is DockerDenied
    assert f"(uid {os.getuid()})" in error.observed
    assert error.hint.startswith("sudo usermod -aG docker")


def test_look_says_what_is_wrong_instead_of_raising() -> None:
    facts = look(EngineAddress(url="unix:///none", origin="test"), ["redis:8"], "envkit/redis")
    assert facts.problem["slug"] == "docker.daemon.down"
    assert facts.images == ()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[EngineAddress]:
    """Something that takes connections and never answers, as an engine that hangs."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen()
        yield EngineAddress(url=f"unix://{tmp_path}/silent.sock", origin="test")


def test_engine_that_hangs_is_told_from_one_that_is_not_there(silent: EngineAddress) -> None:
    facts = look(silent, ["redis:8"], "envkit/redis")
    assert facts.problem["slug"] == "docker.daemon.down"
    assert "does not answer within 3 s" in facts.problem["observed"]
