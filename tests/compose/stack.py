"""Docker Compose itself, and projects whose compose file it runs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sysconfig
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import psycopg
import redis

from envkit.engine.address import EngineAddress
from envkit.engine.compose_project import endpoints
from envkit.export.compose import render
from envkit.model import SERVICES, ServiceName, Settings

if TYPE_CHECKING:
    import docker

# Read before the suite hides the machine's engine from the tests.
ENGINE = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
ADDRESS = EngineAddress(url=ENGINE, origin="the environment")
COMPOSE = str(Path(sysconfig.get_path("scripts"), "docker-compose"))
# Read wrongly by at least one of YAML, Compose, a shell, a tar archive, a URL or a server's file.
ODD = """a$b ${HOME} $$ $(id) 'q' "d" \\ back {password} #x: - ö € 🦀 %d"""
PASSWORD = f"{ODD} pw"


def compose(directory: Path, *arguments: str, **environment: str) -> str:
    """What Docker Compose prints for a directory's file."""
    done = subprocess.run(
        [COMPOSE, "--progress", "quiet", *arguments],
        cwd=directory,
        env=os.environ | {"DOCKER_HOST": ENGINE} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def unused_ports() -> dict[str, str]:
    with contextlib.ExitStack() as stack:
        found = {}
        for service in SERVICES:
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            found[f"{service.upper()}_PORT"] = str(bound.getsockname()[1])
        return found


class Stack:
    """A project whose compose file is run."""

    def __init__(self, root: Path, images: dict[str, str], **environment: str) -> None:
        self.root = root
        self.name = f"envkit-test-{uuid.uuid4().hex[:8]}"
        self.ports = unused_ports()
        self.environment = {
            **images,
            **self.ports,
            "COMPOSE_PROJECT_NAME": self.name,
            **environment,
        }
        root.mkdir(parents=True, exist_ok=True)

    def write(self, settings: Settings) -> None:
        (self.root / "compose.yaml").write_text(render(settings))

    def run(self, *arguments: str) -> str:
        return compose(self.root, *arguments, **self.environment)

    def running(self) -> set[str]:
        return set(self.run("ps", "--services").split())

    def endpoints(self) -> dict[ServiceName, tuple[str, str]]:
        return endpoints(ADDRESS, self.root)

    def url(self, service: ServiceName) -> str:
        return self.endpoints()[service][0]

    def container(self, client: docker.DockerClient, service: str) -> Any:
        return client.containers.get(f"{self.name}-{service}-1")

    def end(self) -> None:
        self.run("--profile", "*", "down", "-v", "--timeout", "0")


def answer(service: ServiceName, url: str) -> object:
    """One query with nothing but the URL; no second try."""
    if service == "postgres":
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT 1").fetchone()
    if service == "redis":
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            return client.ping()
    with contextlib.closing(clickhouse_connect.get_client(dsn=url)) as client:
        return client.command("SELECT 1")
