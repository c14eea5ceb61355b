"""Clients of the container engine."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envkit.engine.address import EngineAddress, configuration, engine_address
from envkit.engine.words import in_our_words
from envkit.errors import EngineRefused, ImageFailed

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["architecture", "connected", "new_client"]

_TIMEOUT_S = 120
_KNOCK_S = 3.0


def new_client(address: EngineAddress, timeout: float = _TIMEOUT_S) -> DockerClient:
    """A client of the docker package's for an engine.

    Args:
        address: Of the engine.
        timeout: Seconds that a call without progress may take.

    Raises:
        DockerDenied, DockerDown, EngineRefused: See `in_our_words`.
    """
    import docker

    with in_our_words(address.url):
        knock(address)
        ssh = address.url.startswith("ssh://")
        # The program, as the docker command does; paramiko reads standard input.
        try:
            return docker.from_env(
                timeout=timeout, environment=address.environment(), use_ssh_client=ssh
            )
        except (AttributeError, TypeError, LookupError) as error:
            # What the docker package makes of JSON that is not what it expects.
            raise EngineRefused(
                "the docker package cannot use its configuration",
                detail=f"{type(error).__name__}: {error}",
                hint=f"correct {configuration()}",
            ) from None


def knock(address: EngineAddress) -> None:
    """Connect once: the docker package leaves a socket open when this fails, and hides why.

    Raises:
        OSError: Nobody is there.
    """
    if address.socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_KNOCK_S)
            sock.connect(address.socket)


@contextmanager
def connected() -> Iterator[tuple[DockerClient, str]]:
    """A client of the engine, which must run this machine's kind of programs, and its address.

    Raises:
        DockerDenied, DockerDown, EngineRefused: See `in_our_words`; also from what is done with the
            client inside the ``with`` block.
        ImageFailed: It runs something else.
    """
    address = engine_address()
    where = address.url
    client = new_client(address)
    try:
        with in_our_words(where):
            said = client.version()
            if said.get("Os") != "linux" or said.get("Arch") != architecture():
                raise ImageFailed(
                    f"the engine at {where} runs {said.get('Os')}/{said.get('Arch')} containers, "
                    f"and this machine's programs are linux/{architecture()}",
                    hint="unset DOCKER_HOST, or run this on a machine like the engine's",
                )
            yield client, where
    finally:
        client.close()


def architecture() -> str:
    """This machine's, in the words of image manifests."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
