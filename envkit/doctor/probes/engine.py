"""The container engine: whether it answers, has room, and what lies about on it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from envkit.config import Config
from envkit.doctor.model import Symptom
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.doctor.probes.measures import mebibytes
from envkit.engine.address import EngineAddress, engine_address
from envkit.engine.facts import is_absent
from envkit.errors import DockerDown, EnvkitError
from envkit.model import ServiceName

if TYPE_CHECKING:
    from envkit.engine.state import EngineState

__all__ = ["PROBES"]

_NAME: Final = "Container engine"
_LIMIT_S: Final = 1.0
#: Of the engine's answers; a little less than the probe's own, so that its words are heard.
_ANSWER_S: Final = 0.8
#: A container's own layer and log of each service fit into this; below it nothing starts.
_NO_ROOM: Final = 32 << 20
#: What three servers with a small schema write into their containers, twice.
_LITTLE_ROOM: Final = 128 << 20
#: Address ranges that may be left before it is said: a compose project takes one or two.
_FEW_POOLS: Final = 1
#: Made for one of these, an image does not run on another of them without emulation. (arm on arm64
#: and 386 on amd64 do.)
_DIFFERENT: Final = frozenset(("amd64", "arm64", "ppc64le", "riscv64", "s390x"))
#: Sockets of engines that the docker command finds through a context, and others do not.
_ELSEWHERE: Final = (
    "/var/run/docker.sock",
    "{run}/docker.sock",
    "{home}/.docker/run/docker.sock",
    "{home}/.docker/desktop/docker.sock",
    "{home}/.colima/default/docker.sock",
    "{home}/.rd/docker.sock",
    "{home}/.orbstack/run/docker.sock",
    "{run}/podman/podman.sock",
)


def _look(context: Context) -> Looked:
    if context.config is None:
        return Looked(status="skipped", detail="the configuration cannot be read")
    settings = context.config.settings
    # A service that runs already, or is meant to run as a process, needs no engine.
    using = {
        service: settings.backend_of(service)
        for service in settings.services
        if settings.backend_of(service) == "docker"
        or (settings.backend_of(service) in ("auto", "attach") and not settings.of(service).url)
    }
    if not using:
        return Looked(status="skipped", detail="no service is planned to use it")
    asked = [service for service, backend in using.items() if backend == "docker"]
    try:
        address = engine_address(settings.docker)
        if is_absent(address) and not asked:
            return Looked(status="skipped", detail=f"none at {address.url}, and none is asked for")
        from envkit.engine.state import engine_state

        state = engine_state(address, _ANSWER_S)
    except TimeoutError:
        return _hung(address)
    except OSError as error:
        return _away(error, address, context.environ, needed=bool(asked))
    except EnvkitError as error:
        if "timed out" in error.detail:
            return _hung(address)
        if not asked and isinstance(error, DockerDown):
            return Looked(status="skipped", detail=error.observed)
        raise
    return Looked(
        detail=f"{state.version} at {address.url} ({address.origin})",
        symptoms=tuple(_judge(state, address, context.config, list(using))),
    )


def _images(config: Config, services: list[ServiceName]) -> dict[ServiceName, str]:
    """The images of services that an engine serves, by the same plan as the keeper's."""
    from envkit.keeper.target import planned
    from envkit.services import load

    found: dict[ServiceName, str] = {}
    for service in services:
        if config.settings.backend_of(service) == "attach":
            continue
        try:
            choice = planned(load(service), config.settings, str(config.root))
        except EnvkitError:
            continue  # the probe of the service says so
        if choice.image is not None and choice.image.here:
            found[service] = choice.image.reference
    return found


def _hung(address: EngineAddress) -> Looked:
    text = f"the container engine at {address.url} does not answer within {_ANSWER_S:g} s"
    data = {"where": address.url, "restart": _typed("restart", address)}
    return Looked(
        status="not-checked",
        detail=f"no answer from {address.url} within {_ANSWER_S:g} s",
        symptoms=(Symptom(source="docker", code="HUNG", text=text, check=_NAME, data=data),),
    )


def _away(
    error: OSError, address: EngineAddress, environ: Mapping[str, str], *, needed: bool
) -> Looked:
    if not needed:
        return Looked(
            status="skipped", detail=f"none answers at {address.url}, and none is asked for"
        )
    data = {"where": address.url}
    if isinstance(error, PermissionError):
        code = "DENIED"
        data["where"] = address.socket
    elif isinstance(error, FileNotFoundError) and (other := _other(address, environ)):
        code = "NO_SOCKET"
        data = {"where": address.socket, "other": other}
    else:
        code = "DOWN"
        data["start"] = _typed("start", address)
        if address.origin != "the default socket":
            data["hint"] = f"start the engine, or correct {address.origin}"
    text = f"{address.url} ({address.origin}): {error.strerror or error}"
    symptom = Symptom(source="docker", code=code, text=text, check=_NAME, data=data)
    return Looked(detail=text, symptoms=(symptom,))


def _other(address: EngineAddress, environ: Mapping[str, str]) -> str:
    """An engine's socket that is there, beside the one asked for that is not."""
    run = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    for pattern in _ELSEWHERE:
        path = pattern.format(run=run, home=environ.get("HOME", ""))
        if path == address.socket or not Path(path).is_socket():
            continue
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(0.1)
                one.connect(path)
        except OSError:
            continue
        return f"unix://{path}"
    return ""


def _typed(verb: str, address: EngineAddress) -> str:
    """What starts or restarts the engine of this machine; empty where that is not known."""
    if address.origin != "the default socket" or sys.platform != "linux":
        return ""
    # https://www.freedesktop.org/software/systemd/man/sd_booted.html
    if not Path("/run/systemd/system").is_dir():
        return ""
    return f"sudo systemctl {verb} docker" if shutil.which("dockerd") else ""


def _judge(
    state: EngineState, address: EngineAddress, config: Config, services: list[ServiceName]
) -> Iterator[Symptom]:
    from envkit.engine.state import architectures

    images = _images(config, services)
    if images:
        yield from _room(state)
    yield from _few_pools(state)
    made = architectures(address, _ANSWER_S, images.values()) if images else {}
    for service, image in images.items():
        made_for = made.get(image, "")
        if made_for != state.architecture and {made_for, state.architecture} <= _DIFFERENT:
            yield Symptom(
                source="docker",
                code="EMULATED",
                text=f"{image} is made for {made_for}, the engine's machine is "
                f"{state.architecture}",
                service=service,
                check=_NAME,
                data={"image": made_for, "host": state.architecture},
            )
    yield from _left(state)
    yield from _paused(state, config)


def _room(state: EngineState) -> Iterator[Symptom]:
    if not state.is_here or not state.root:
        return
    try:
        free = shutil.disk_usage(state.root).free
    except OSError:
        return
    if free < _LITTLE_ROOM:
        yield Symptom(
            source="docker",
            code="DISK_FULL" if free < _NO_ROOM else "DISK_LOW",
            text=f"{state.root} has {mebibytes(free)} free",
            check=_NAME,
            data={"place": state.root, "free": mebibytes(free)},
        )


def _few_pools(state: EngineState) -> Iterator[Symptom]:
    pools = state.pools
    if pools is not None and pools.used and pools.total - pools.used <= _FEW_POOLS:
        yield Symptom(
            source="docker",
            code="POOL_LOW",
            text=f"{pools.used} of {pools.total} address ranges for networks are taken",
            check=_NAME,
            data={"used": str(pools.used), "pools": str(pools.total)},
        )


def _left(state: EngineState) -> Iterator[Symptom]:
    from envkit.backends.docker.labels import leftovers_among

    dead = [one.name for one in leftovers_among(state.containers) if one.owner.is_dead]
    if dead:
        yield Symptom(
            source="docker",
            code="LEFTOVERS",
            text="containers of envkit runs that are dead: " + ", ".join(sorted(dead)),
            check=_NAME,
            data={"what": f"{len(dead)} container{'s' if len(dead) > 1 else ''}"},
        )


def _paused(state: EngineState, config: Config) -> Iterator[Symptom]:
    """Containers that a service of this project is in, by our labels or the port of its URL."""
    for one in state.containers:
        if one.get("State") != "paused":
            continue
        service = _service_of(one, config)
        if service is None:
            continue
        name = (one.get("Names") or [one["Id"][:12]])[0].lstrip("/")
        yield Symptom(
            source="docker",
            code="PAUSED",
            text=f"container {name}: {one.get('Status') or 'paused'}",
            service=service,
            check=_NAME,
            data={"name": name},
        )


def _service_of(container: dict[str, Any], config: Config) -> ServiceName | None:
    from envkit.dsn import read
    from envkit.errors import DsnMalformed
    from envkit.keeper.record import name_of

    labels = container.get("Labels") or {}
    ports = {one["PublicPort"] for one in container.get("Ports") or () if one.get("PublicPort")}
    for service in config.settings.services:
        if labels.get("envkit.project") == name_of(config.root):
            if labels.get("envkit.service") == service:
                return service
            continue
        table = config.settings.of(service)
        if not table.url:
            continue
        try:
            target = read(service, table.url, table.url_origin)
        except DsnMalformed:
            continue
        if target.port in ports and target.host in ("localhost", "127.0.0.1", "::1", "0.0.0.0"):  # noqa: S104 - compared
            return service
    return None


PROBES: Final = (Probe(name=_NAME, group="Container engine", limit=_LIMIT_S, look=_look),)
