"""What would start a server that does not run: a command, where this machine surely has it.

Reads files and runs nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from envkit.dsn import Dsn
from envkit.model import ServiceName

__all__ = ["start_command"]

# https://docs.docker.com/compose/intro/compose-application-model/#the-compose-file, and our own
_FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_OUR_FILE: Final = "compose/compose.yaml"
# docker/cli, cli-plugins/manager/manager_unix.go
_PLUGINS: Final = tuple(
    f"/usr/{place}/docker/cli-plugins" for place in ("local/lib", "local/libexec", "lib", "libexec")
)
# https://docs.docker.com/reference/compose-file/interpolation/
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<name>\w+)(?::?-(?P<default>[^}]*))?\}|(?P<bare>\w+))")
# https://www.freedesktop.org/software/systemd/man/systemd.unit.html
_UNITS: Final = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
# This machine's, and where packages have Postgres put its socket.
_LOCAL: Final = ("localhost", "::1", "/run/postgresql", "/var/run/postgresql")
_NAMES: Final[dict[ServiceName, tuple[int, tuple[str, ...]]]] = {
    "postgres": (5432, ("postgresql",)),
    "redis": (6379, ("redis-server", "redis", "valkey-server", "valkey")),
    "clickhouse": (8123, ("clickhouse-server",)),
}


def start_command(
    target: Dsn, root: Path, environ: Mapping[str, str], machine: Path = Path("/")
) -> str:
    """What to type, for the server that is meant to listen there; empty where nobody knows.

    Args:
        target: Where a connection was refused.
        root: The project's directory.
        environ: Of whoever would type it.
        machine: Stands in for the root of the file system.
    """
    if target.host not in _LOCAL and not target.host.startswith("127."):
        return ""
    return (
        ("" if target.is_socket else _by_compose(target.port, root, environ, machine))
        or (_by_cluster(target.port, machine, environ) if target.service == "postgres" else "")
        or _by_systemd(target, machine)
    )


# -- Docker Compose -------------------------------------------------------------------------------


def _by_compose(port: int, root: Path, environ: Mapping[str, str], machine: Path) -> str:
    names = [*[name for name in _FILES if (root / name).is_file()][:1], _OUR_FILE]
    if not _has_compose(environ, machine):
        return ""
    for name in names:
        for service in _published_at(port, root / name, environ):
            # Beside its file Compose finds it by itself.
            file = ["-f", name] if name == _OUR_FILE else []
            return shlex.join(["docker", "compose", *file, "up", "--wait", service])
    return ""


def _has_compose(environ: Mapping[str, str], machine: Path) -> bool:
    own = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME", "/"), ".docker"))
    places = [Path(own, "cli-plugins"), *(machine / place[1:] for place in _PLUGINS)]
    return shutil.which("docker", path=environ.get("PATH")) is not None and any(
        os.access(place / "docker-compose", os.X_OK) for place in places
    )


def _published_at(port: int, file: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Services of a compose file that publish this port of the machine."""
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    services = document.get("services") if isinstance(document, dict) else None
    for name, service in services.items() if isinstance(services, dict) else ():
        ports = service.get("ports") if isinstance(service, dict) else None
        if isinstance(ports, list) and any(_published(one, environ) == str(port) for one in ports):
            yield str(name)


def _published(port: Any, environ: Mapping[str, str]) -> str:
    """https://docs.docker.com/reference/compose-file/services/#ports, without ranges."""
    if isinstance(port, dict):
        return _filled(str(port.get("published", "")), environ)
    _, _, published = _filled(str(port), environ).rpartition(":")[0].rpartition(":")
    return published


def _filled(text: str, environ: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return environ.get(found["name"] or found["bare"]) or found["default"] or ""

    return _VARIABLE.sub(value, text)


# -- services of this machine ---------------------------------------------------------------------


def _by_cluster(port: int, machine: Path, environ: Mapping[str, str]) -> str:
    """Debian's clusters: https://manpages.debian.org/pg_ctlcluster."""
    if shutil.which("pg_ctlcluster", path=environ.get("PATH")) is None:
        return ""
    for file in sorted((machine / "etc/postgresql").glob("*/*/postgresql.conf")):
        try:
            said = re.findall(r"^\s*port\s*=?\s*'?(\d+)", file.read_text("utf-8", "replace"), re.M)
        except OSError:
            continue
        if (said or ["5432"])[-1] == str(port):
            return _as_root("pg_ctlcluster", *file.parent.parts[-2:], "start")
    return ""


def _by_systemd(target: Dsn, machine: Path) -> str:
    usual, names = _NAMES[target.service]
    # https://www.freedesktop.org/software/systemd/man/sd_booted.html
    if target.port != usual or not (machine / "run/systemd/system").is_dir():
        return ""
    for name in names:
        if any((machine / at / f"systemd/system/{name}.service").is_file() for at in _UNITS):
            return _as_root("systemctl", "start", name)
    return ""


def _as_root(*words: str) -> str:
    return shlex.join(words if os.geteuid() == 0 else ("sudo", *words))
