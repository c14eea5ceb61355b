"""Services that Docker Compose runs for a project, from a file of `envkit.export.compose`.

Asks a local engine directly, as `envkit.engine.look` does and for its reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from envkit.engine.address import EngineAddress
from envkit.engine.look import SocketConnection
from envkit.engine.words import unreachable
from envkit.model import SERVICES, ServiceName

__all__ = ["LABEL", "endpoints"]

#: On every container of such a file; its value is the service.
LABEL: Final = "envkit.compose"
_LIMIT_S = 3.0
_PROJECT: Final = "com.docker.compose.project"
_DIRECTORY: Final = "com.docker.compose.project.working_dir"
_FILES: Final = "com.docker.compose.project.config_files"


class _Kind(Struct, frozen=True, kw_only=True):
    """How to read a service's container.

    Attributes:
        variables: Beginning of the names of its credentials' variables.
        user: If no variable names one.
        database: If no variable names one; empty takes the user's name, as Postgres does.
    """

    port: int
    scheme: str
    variables: str
    user: str
    database: str


_KINDS: Final[dict[ServiceName, _Kind]] = {
    "postgres": _Kind(
        port=5432, scheme="postgresql", variables="POSTGRES", user="postgres", database=""
    ),
    "redis": _Kind(port=6379, scheme="redis", variables="REDIS", user="", database="0"),
    "clickhouse": _Kind(
        port=8123, scheme="http", variables="CLICKHOUSE", user="default", database="default"
    ),
}


class _Engine(Struct, frozen=True, kw_only=True):
    """The three questions there are to ask.

    Attributes:
        containers: Those that run and have the label.
        inspect: One of them by its id; None if it is gone.
        file: A file in it, as a tar archive; None if there is none.
    """

    containers: Callable[[], list[dict[str, Any]]]
    inspect: Callable[[str], dict[str, Any] | None]
    file: Callable[[str, str], bytes | None]


def endpoints(address: EngineAddress, root: Path) -> dict[ServiceName, tuple[str, str]]:
    """Where the services are that Compose runs from a file in ``root`` or below it.

    Of several projects the one made last wins, service by service. A container that publishes no
    port is passed over.

    Args:
        address: Of the engine.
        root: The project's directory.

    Returns:
        For each service the URL with the credentials that its container has, and in words where
        that comes from.

    Raises:
        DockerDenied, DockerDown: The engine cannot be asked; see `unreachable`.
        EngineRefused: It refused something; see `in_our_words`.
    """
    if address.socket:
        return _over_socket(address, root)
    return _over_package(address, root)


def _over_socket(address: EngineAddress, root: Path) -> dict[ServiceName, tuple[str, str]]:
    with contextlib.closing(SocketConnection(address.socket)) as connection:

        def get(what: str) -> bytes | None:
            connection.request("GET", what)
            response = connection.getresponse()
            body = response.read()
            if response.status == 404:
                return None
            if response.status != 200:
                raise OSError(f"HTTP {response.status}: {body[:200].decode(errors='replace')}")
            return body

        def get_json(what: str) -> Any:
            return json.loads(get(what) or b"null")

        filters = quote(json.dumps({"label": [LABEL], "status": ["running"]}))
        engine = _Engine(
            containers=lambda: get_json(f"/containers/json?filters={filters}") or [],
            inspect=lambda name: get_json(f"/containers/{name}/json"),
            file=lambda name, path: get(f"/containers/{name}/archive?path={quote(path)}"),
        )
        try:
            return _found(engine, address, root)
        except (OSError, HTTPException, ValueError) as error:
            raise unreachable(error, address.url) from None


def _over_package(address: EngineAddress, root: Path) -> dict[ServiceName, tuple[str, str]]:
    from docker.errors import NotFound

    from envkit.engine.client import new_client
    from envkit.engine.words import in_our_words

    client = new_client(address, timeout=_LIMIT_S)

    def inspect(name: str) -> dict[str, Any] | None:
        try:
            said: dict[str, Any] = client.api.inspect_container(name)
        except NotFound:
            return None
        return said

    def file(name: str, path: str) -> bytes | None:
        with contextlib.suppress(NotFound):
            return b"".join(client.api.get_archive(name, path)[0])
        return None

    filters = {"label": LABEL, "status": "running"}
    engine = _Engine(
        containers=lambda: client.api.containers(filters=filters), inspect=inspect, file=file
    )
    with contextlib.closing(client), in_our_words(address.url):
        return _found(engine, address, root)


def _found(
    engine: _Engine, address: EngineAddress, root: Path
) -> dict[ServiceName, tuple[str, str]]:
    found: dict[ServiceName, tuple[str, str]] = {}
    for listed in sorted(engine.containers(), key=_age, reverse=True):
        labels = listed["Labels"]
        service = next((name for name in SERVICES if name == labels[LABEL]), None)
        if service is None or service in found or not _is_of(labels, root):
            continue
        said = engine.inspect(listed["Id"])
        url = _url(engine, said, _KINDS[service], address) if said else ""
        if url:
            found[service] = (url, f"compose project {labels.get(_PROJECT, '?')}")
    return {name: found[name] for name in SERVICES if name in found}


def _age(listed: dict[str, Any]) -> tuple[int, str]:
    return listed["Created"], listed["Id"]


def _is_of(labels: dict[str, str], root: Path) -> bool:
    places = [labels.get(_DIRECTORY, ""), *labels.get(_FILES, "").split(",")]
    root = root.resolve()
    return any(Path(place).resolve().is_relative_to(root) for place in places if place)


def _url(engine: _Engine, said: dict[str, Any], kind: _Kind, address: EngineAddress) -> str:
    bindings = (said["NetworkSettings"].get("Ports") or {}).get(f"{kind.port}/tcp") or []
    if not bindings:
        return ""
    pairs: list[str] = said["Config"]["Env"] or []
    environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def named(what: str) -> str:
        name = f"{kind.variables}_{what}"
        if environment.get(name) or not environment.get(f"{name}_FILE"):
            return environment.get(name, "")
        return _content(engine.file(said["Id"], environment[f"{name}_FILE"]))

    user = named("USER") or kind.user
    database = named("DB") or kind.database or user
    port = bindings[0]["HostPort"]
    credentials = f"{quote(user, safe='')}:{quote(named('PASSWORD'), safe='')}"
    where = f"{_host(bindings[0]['HostIp'], address)}:{port}"
    return f"{kind.scheme}://{credentials}@{where}/{quote(database, safe='')}"


def _host(published_on: str, address: EngineAddress) -> str:
    """Where a published port is for this process."""
    if address.hostname:
        host = address.hostname
    elif published_on in ("", "0.0.0.0", "::"):  # noqa: S104 - what the engine says of all of them
        host = "127.0.0.1"
    else:
        host = published_on
    return f"[{host}]" if ":" in host else host


def _content(archive: bytes | None) -> str:
    """Of the one file in a tar archive, as a shell's ``$(cat …)`` would have it."""
    if archive is None:
        return ""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            if (file := opened.extractfile(member)) is not None:
                return file.read().decode(errors="replace").rstrip("\n")
    return ""
