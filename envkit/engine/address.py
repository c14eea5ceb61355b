"""Where the container engine is, found as the docker command and testcontainers find it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from envkit.errors import DockerDown
from envkit.model import DockerSettings

__all__ = ["EngineAddress", "configuration", "engine_address"]

_DEFAULT = "/var/run/docker.sock"
# Of engines that need no root, in the order in which they are looked for where the usual socket is
# missing: rootless Docker, Docker Desktop, Podman.
_ROOTLESS = ("{run}/docker.sock", "{home}/.docker/run/docker.sock", "{run}/podman/podman.sock")


class EngineAddress(Struct, frozen=True, kw_only=True):
    """How to reach an engine.

    Attributes:
        url: ``unix://…``, ``tcp://…``, ``http(s)://…``, ``ssh://…`` or ``npipe://…``.
        origin: What names it, in words.
        certificates: Directory with ca.pem, cert.pem and key.pem; empty for no TLS.
        verify: Whether the engine's certificate is checked.
    """

    url: str
    origin: str
    certificates: str = ""
    verify: bool = True

    @property
    def socket(self) -> str:
        """The path of its Unix socket; empty if it has none."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else ""

    @property
    def hostname(self) -> str:
        """The machine it runs on; empty for this one."""
        return "" if self.socket else urlsplit(self.url).hostname or ""

    def environment(self) -> dict[str, str]:
        """The variables that lead the docker package to it."""
        found = {"DOCKER_HOST": self.url}
        if self.certificates:
            found["DOCKER_CERT_PATH"] = self.certificates
            found["DOCKER_TLS_VERIFY"] = "1" if self.verify else ""
        return found


def engine_address(settings: DockerSettings | None = None) -> EngineAddress:
    """The engine that DOCKER_HOST, testcontainers' properties or the docker context name.

    Args:
        settings: With DOCKER_HOST and DOCKER_CONTEXT as the client had them; this process's
            environment if not given.

    Raises:
        DockerDown: There is no such context.
    """
    host = settings.host if settings else os.environ.get("DOCKER_HOST", "")
    context = settings.context if settings else os.environ.get("DOCKER_CONTEXT", "")
    # As the docker command: TLS where DOCKER_TLS_VERIFY is set to anything at all.
    certificates = os.environ.get("DOCKER_CERT_PATH") or _config_directory()
    secure = certificates if "DOCKER_TLS_VERIFY" in os.environ else ""
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    # https://java.testcontainers.org/features/configuration/: this one wins over DOCKER_HOST
    if named := _testcontainers_property("tc.host"):
        return EngineAddress(url=named, origin="~/.testcontainers.properties")
    if host:
        return EngineAddress(
            url=_without_path(host), origin="DOCKER_HOST", certificates=secure, verify=verify
        )
    name = context or _current_context()
    if name and name != "default":
        return _of_context(name)
    return EngineAddress(url=f"unix://{_socket()}", origin="the default socket")


def _socket() -> str:
    if Path(_DEFAULT).exists():
        return _DEFAULT
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    home = os.environ.get("HOME", "")
    for pattern in _ROOTLESS:
        path = pattern.format(run=run, home=home)
        if Path(path).is_socket():
            return path
    return _DEFAULT


def _without_path(host: str) -> str:
    """An ssh address without the path that the docker package does not take."""
    try:
        parts = urlsplit(host)
    except ValueError as error:
        raise DockerDown(
            f"{host} cannot be the address of a container engine",
            detail=str(error),
            hint="correct or unset DOCKER_HOST",
        ) from None
    return f"ssh://{parts.netloc}" if parts.scheme == "ssh" else host


def _testcontainers_property(name: str) -> str:
    try:
        text = (Path.home() / ".testcontainers.properties").read_text()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return ""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == name:
            return value.strip()
    return ""


def _current_context() -> str:
    """What ``docker context use`` wrote; read here because the docker package takes 110 ms."""
    try:
        said = json.loads(configuration().read_bytes())
    except (OSError, ValueError):
        return ""
    name = said.get("currentContext", "") if isinstance(said, dict) else ""
    return name if isinstance(name, str) else ""


def configuration() -> Path:
    """The docker command's own configuration file."""
    return Path(_config_directory(), "config.json")


def _config_directory() -> str:
    return os.environ.get("DOCKER_CONFIG") or f"{os.environ.get('HOME', '')}/.docker"


def _of_context(name: str) -> EngineAddress:
    """What ``docker context create`` wrote.

    The docker package finds it only beside a config.json, which nothing writes until a context is
    made the current one.
    """
    place = Path(_config_directory(), "contexts")
    identity = hashlib.sha256(name.encode()).hexdigest()
    try:
        said = json.loads((place / "meta" / identity / "meta.json").read_bytes())
        endpoint = said["Endpoints"]["docker"]
        url = _without_path(endpoint["Host"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DockerDown(
            f"the docker context {name!r} cannot be read",
            detail=str(error),
            hint="docker context ls",
        ) from None
    certificates = place / "tls" / identity / "docker"
    return EngineAddress(
        url=url,
        origin=f"docker context {name}",
        certificates=str(certificates) if (certificates / "ca.pem").is_file() else "",
        verify=not endpoint.get("SkipTLSVerify", False),
    )
