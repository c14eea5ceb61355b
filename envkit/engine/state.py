"""A longer look at the engine, for whoever wants to know how it is."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from socket import inet_ntoa
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from envkit.engine.address import EngineAddress
from envkit.engine.look import SocketConnection
from envkit.engine.words import from_engine, message_of

__all__ = ["EngineState", "Pools", "architectures", "engine_state"]

# What moby has where nothing else is configured, each with the size of a network made of it:
# https://github.com/moby/moby/blob/v20.10.24/libnetwork/ipamutils/utils.go
_DEFAULT_POOLS: Final[tuple[dict[str, Any], ...]] = (
    *({"Base": f"172.{n}.0.0/16", "Size": 16} for n in (17, 18, 19)),
    *({"Base": f"172.{n}.0.0/14", "Size": 16} for n in (20, 24, 28)),
    {"Base": "192.168.0.0/16", "Size": 20},
)
#: More networks than this in one pool are not counted: nobody uses them up.
_MANY: Final = 4096

_RTF_GATEWAY: Final = 2  # linux/route.h

_Ask = Callable[[str], Any]


class Pools(Struct, frozen=True, kw_only=True):
    """The address ranges that networks are made of: how many there are, and how many are taken."""

    total: int
    used: int


class EngineState(Struct, frozen=True, kw_only=True):
    """How an engine is.

    Attributes:
        version: Of the engine.
        architecture: Of its machine, in the words of image manifests.
        root: The directory of its images and containers, on its machine; empty if it did not say.
        is_here: Whether its machine is this one, by host name and kernel.
        pools: None if it did not say.
        containers: All, as it lists them.
    """

    version: str
    architecture: str
    root: str = ""
    is_here: bool = False
    pools: Pools | None = None
    containers: tuple[dict[str, Any], ...] = ()


def engine_state(address: EngineAddress, limit: float) -> EngineState:
    """Ask the engine how it is.

    Args:
        address: Of the engine.
        limit: Seconds in all. An engine that answers its first question and is slow with the
            others is described by what it said in time.

    Raises:
        OSError: Nobody is there, or nobody answers; `TimeoutError` if it takes longer.
        EnvkitError: It refused, or cannot be talked to: see `in_our_words`.
    """
    end = time.monotonic() + limit
    with _asking(address, limit) as ask:
        version = ask("/version")
        found: dict[str, Any] = {}
        with contextlib.suppress(TimeoutError):
            for name, question in (
                ("containers", "/containers/json?all=1"),
                ("info", "/info"),
                ("networks", "/networks"),
            ):
                if time.monotonic() > end:
                    break
                found[name] = ask(question)
    info = found.get("info") or {}
    machine = (info.get("Name") or "", info.get("KernelVersion") or "")
    here = bool(address.socket) and machine == (platform.node(), platform.release())
    networks = found.get("networks")
    return EngineState(
        version=version.get("Version", ""),
        architecture=version.get("Arch", ""),
        root=info.get("DockerRootDir") or "",
        is_here=here,
        pools=None
        if networks is None
        else _pools(info.get("DefaultAddressPools"), networks, _routes() if here else []),
        containers=tuple(found.get("containers") or ()),
    )


def architectures(address: EngineAddress, limit: float, images: Iterable[str]) -> dict[str, str]:
    """What kind of machine images are made for, in the words of their manifests.

    Args:
        address: Of the engine.
        limit: Seconds for each answer.
        images: References; those that are not there are left out.

    Raises:
        OSError, EnvkitError: See `engine_state`.
    """
    found: dict[str, str] = {}
    with _asking(address, limit) as ask:
        for image in images:
            said = ask(f"/images/{quote(image, safe='/:@')}/json")
            if said:
                found[image] = said.get("Architecture") or ""
    return found


@contextmanager
def _asking(address: EngineAddress, limit: float) -> Iterator[_Ask]:
    if address.socket:
        with contextlib.closing(SocketConnection(address.socket, limit)) as connection:

            def ask(what: str) -> Any:
                connection.request("GET", what)
                response = connection.getresponse()
                body = response.read()
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise from_engine(message_of(body))
                return json.loads(body)

            yield ask
        return
    from docker.errors import NotFound

    from envkit.engine.client import new_client
    from envkit.engine.words import in_our_words

    client = new_client(address, timeout=limit)

    def ask_package(what: str) -> Any:
        path, _, query = what.partition("?")
        try:
            # The package's own way to ask, in the version of the API that both speak.
            response = client.api.get(
                f"{client.api.base_url}/v{client.api.api_version}{path}?{query}", timeout=limit
            )
            if response.status_code == 404:
                return None
            response.raise_for_status()
        except NotFound:
            return None
        return response.json()

    with contextlib.closing(client), in_our_words(address.url):
        yield ask_package


def _routes() -> list[str]:
    """Networks that this machine's interfaces are in, which an engine leaves alone.

    https://github.com/moby/moby/blob/v28.0.0/libnetwork/netutils/utils_linux.go
    """
    try:
        lines = Path("/proc/net/route").read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        _, destination, _, flags, _, _, _, mask, *_ = line.split()
        # Numbers are in the machine's own order of bytes.
        address, length = (int(one, 16).to_bytes(4, sys.byteorder) for one in (destination, mask))
        if not int(flags, 16) & _RTF_GATEWAY:
            found.append(f"{inet_ntoa(address)}/{inet_ntoa(length)}")
    return found


def _pools(configured: Any, networks: Iterable[dict[str, Any]], routes: Iterable[str]) -> Pools:
    taken = [ip_network(route, strict=False) for route in routes]
    taken += [
        ip_network(config["Subnet"], strict=False)
        for network in networks
        for config in (network.get("IPAM") or {}).get("Config") or ()
        if "." in (config.get("Subnet") or "")
    ]
    total = used = 0
    for pool in configured or _DEFAULT_POOLS:
        base = ip_network(pool["Base"], strict=False)
        size = pool["Size"]
        if base.version != 4 or size < base.prefixlen:
            continue
        number = 2 ** (size - base.prefixlen)
        total += number
        if number <= _MANY:
            near = [one for one in taken if one.overlaps(base)]
            used += sum(
                any(one.overlaps(part) for one in near) for part in base.subnets(new_prefix=size)
            )
    return Pools(total=total, used=used)
