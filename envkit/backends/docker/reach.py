"""Under which address the tests reach a container."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from envkit.engine.address import EngineAddress
from envkit.errors import UsageError

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Reach", "way_to"]

_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - asked for by whoever runs the engine on another machine


class Reach(Struct, frozen=True, kw_only=True):
    """How to get to containers.

    Attributes:
        host: Where their published ports are; empty to go to their own address and port.
        publish_on: The address of the engine's machine on which ports are published.
        network: Of the containers; empty takes the engine's default.
    """

    host: str = _LOOPBACK
    publish_on: str = _LOOPBACK
    network: str = ""


def way_to(address: EngineAddress, client: DockerClient) -> Reach:
    """The way from this process to containers of an engine.

    TESTCONTAINERS_HOST_OVERRIDE (or TC_HOST) and TESTCONTAINERS_CONNECTION_MODE decide, then the
    engine's address, then whether this process is itself in one of the engine's containers:
    https://testcontainers-python.readthedocs.io/en/latest/features/configuration.html.

    Raises:
        UsageError: TESTCONTAINERS_CONNECTION_MODE is none that testcontainers knows.
    """
    override = os.environ.get("TC_HOST") or os.environ.get("TESTCONTAINERS_HOST_OVERRIDE")
    if override:
        return Reach(host=override, publish_on=_publish_for(override))
    mode = os.environ.get("TESTCONTAINERS_CONNECTION_MODE", "")
    if mode not in ("", "bridge_ip", "gateway_ip", "docker_host"):
        raise UsageError(
            f"TESTCONTAINERS_CONNECTION_MODE is {mode!r}",
            hint="set it to bridge_ip, gateway_ip or docker_host, or unset it",
        )
    if mode == "bridge_ip":
        return Reach(host="", network=_own_network(client))
    if mode == "gateway_ip":
        return Reach(host=_gateway(), publish_on=_EVERYWHERE)
    if address.hostname:
        return Reach(host=address.hostname, publish_on=_publish_for(address.hostname))
    network = "" if mode == "docker_host" else _own_network(client)
    # In one of the engine's containers its loopback is not ours, but its networks are.
    return Reach(host="", network=network) if network else Reach()


def _publish_for(host: str) -> str:
    """Nobody but this machine needs a way in if the tests come over loopback."""
    with contextlib.suppress(OSError, ValueError):
        if ipaddress.ip_address(socket.gethostbyname(host)).is_loopback:
            return _LOOPBACK
    return _EVERYWHERE


def _own_network(client: DockerClient) -> str:
    """The network of the container that this process is in; empty if it is in none of these."""
    from docker.errors import APIError

    for candidate in _own_ids():
        with contextlib.suppress(APIError):  # not one of this engine's: an engine inside ours
            said: dict[str, Any] = client.api.inspect_container(candidate)
            if said["HostConfig"]["NetworkMode"] == "host":
                return ""
            networks = said["NetworkSettings"]["Networks"]
            return next((name for name in networks if name != "none"), "")
    return ""


def _own_ids() -> list[str]:
    """What may be the id of the container that this process is in."""
    if not (Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()):
        return []
    found: list[str] = []
    for source in ("/proc/self/cgroup", "/proc/self/mountinfo"):
        with contextlib.suppress(OSError):
            found += re.findall(
                r"(?:containers/|docker[/-]|libpod-)([0-9a-f]{64})", Path(source).read_text()
            )
    return list(dict.fromkeys([*found, socket.gethostname()]))


def _gateway() -> str:
    """The default gateway of this machine (proc_net_route: addresses in little-endian hex)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000":
                return str(ipaddress.IPv4Address(int(fields[2], 16).to_bytes(4, "little")))
    return _LOOPBACK
