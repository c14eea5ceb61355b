"""A short look at the engine: whether it answers, and which images it has.

Asks a local engine directly, because the plan is made at every start and the docker package takes
110 ms to import; it is used for engines that are not behind a Unix socket.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from envkit.engine.address import EngineAddress
from envkit.engine.facts import EngineFacts
from envkit.engine.words import from_engine, message_of, unreachable
from envkit.errors import DockerDown, EnvkitError
from envkit.recipes import FoundImage

__all__ = ["SocketConnection", "answers", "look"]

_LIMIT_S = 3.0
_MARK = "envkit.image"
_VERSION_VARIABLES = ("PG_VERSION", "REDIS_VERSION", "VALKEY_VERSION", "CLICKHOUSE_VERSION")


def look(address: EngineAddress, names: Sequence[str], repository: str) -> EngineFacts:
    """Ask the engine; never raises for what is wrong with it.

    Args:
        address: Of the engine.
        names: Images to look for.
        repository: All images of this one are looked for as well.
    """
    try:
        if address.socket:
            images = _over_socket(address.socket, names, repository)
        else:
            images = _over_package(address, names, repository)
    except EnvkitError as error:
        return EngineFacts(where=address.url, problem=error.as_dict())
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, TimeoutError):
            hung = DockerDown(
                f"the container engine at {address.url} does not answer within {_LIMIT_S:g} s",
                hint="docker info; if that hangs too, restart the engine",
            )
            return EngineFacts(where=address.url, problem=hung.as_dict())
        return EngineFacts(where=address.url, problem=unreachable(error, address.url).as_dict())
    return EngineFacts(where=address.url, images=images)


def answers(address: EngineAddress, limit: float = _LIMIT_S) -> bool:
    """Whether the engine says anything at all within this many seconds.

    What it does for others does not make it slow in this: it only looks at its own version.
    """
    try:
        if address.socket:
            with contextlib.closing(SocketConnection(address.socket, limit)) as connection:
                connection.request("GET", "/_ping")
                return connection.getresponse().status == 200
        from envkit.engine.client import new_client

        with contextlib.closing(new_client(address, timeout=limit)) as client:
            return bool(client.ping())
    except Exception:  # whatever the docker package makes of it
        return False


class SocketConnection(HTTPConnection):
    """HTTP over a Unix socket, with a limit on every wait."""

    def __init__(self, path: str, limit: float = _LIMIT_S) -> None:
        super().__init__("localhost", timeout=limit)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _over_socket(path: str, names: Sequence[str], repository: str) -> tuple[FoundImage, ...]:
    with contextlib.closing(SocketConnection(path)) as connection:

        def get(what: str, image: str = "") -> Any:
            connection.request("GET", what)
            response = connection.getresponse()
            body = response.read()
            if response.status == 404:
                return None
            if response.status != 200:
                raise from_engine(message_of(body), image)
            return json.loads(body)

        filters = quote(json.dumps({"reference": [repository]}))
        return _found(
            names,
            lambda: get(f"/images/json?filters={filters}"),
            lambda name: get(f"/images/{quote(name, safe='/:@')}/json", name),
        )


def _over_package(
    address: EngineAddress, names: Sequence[str], repository: str
) -> tuple[FoundImage, ...]:
    from docker.errors import ImageNotFound

    from envkit.engine.client import new_client
    from envkit.engine.words import in_our_words

    client = new_client(address, timeout=_LIMIT_S)

    def inspect(name: str) -> Any:
        try:
            return client.api.inspect_image(name)
        except ImageNotFound:
            return None

    with contextlib.closing(client), in_our_words(address.url):
        return _found(names, lambda: client.api.images(name=repository), inspect)


def _found(
    names: Sequence[str], every: Callable[[], Any], inspect: Callable[[str], Any]
) -> tuple[FoundImage, ...]:
    tags = [tag for image in every() or () for tag in image.get("RepoTags") or ()]
    wanted = dict.fromkeys([*names, *sorted(tags)])
    return tuple(_image(name, said) for name in wanted if (said := inspect(name)))


def _image(name: str, said: dict[str, Any]) -> FoundImage:
    config = said.get("Config") or {}
    environment = dict(pair.split("=", 1) for pair in config.get("Env") or () if "=" in pair)
    labels = config.get("Labels") or {}
    tag = name.rpartition(":")[2]
    version = labels.get("org.opencontainers.image.version", "") or next(
        (environment[v] for v in _VERSION_VARIABLES if v in environment), ""
    )
    built = labels.get(_MARK) == "1"
    return FoundImage(
        reference=name,
        here=True,
        version=version or (tag if tag[:1].isdigit() else ""),
        environment=environment,
        volumes=tuple(config.get("Volumes") or ()),
        built=built,
        product=labels.get("org.opencontainers.image.title", "") if built else "",
    )
