"""A URL where nothing listens, and what would start a server there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envkit.doctor.probes.starters import start_command
from envkit.dsn import read
from tests.doctor.live.visits import Visits
from tests.gate.gated import nobody_listens

if TYPE_CHECKING:
    from tests.conftest import Project

SUDO = [] if os.geteuid() == 0 else ["sudo"]
COMPOSE = """\
services:
  app:
    ports: ["8000"]
  cache:
    ports: ["127.0.0.1:7000-7001:7000-7001", {target: 6379, published: "6390"}]
  db:
    image: postgres:18
    ports:
      - "127.0.0.1:${DB_PORT:-5444}:5432"
"""


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of a machine that has docker with its plugin, and nothing else."""
    program(tmp_path / "bin/docker")
    program(tmp_path / "home/.docker/cli-plugins/docker-compose")
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


def command(project: Project, url: str, environ: dict[str, str]) -> list[str]:
    service: Any = "redis" if url.startswith("redis") else "postgres"
    machine = project.root / "machine"
    return shlex.split(start_command(read(service, url, "a test"), project.root, environ, machine))


def test_without_a_server_to_start_envkits_own_stands_in(project: Project) -> None:
    with nobody_listens() as port:
        visits = Visits(project, "redis", f"redis://127.0.0.1:{port}/0")
        found = visits.first()
    assert found["slug"] == "net.refused"
    assert found["fix"]["command"] == "unset ENVKIT_REDIS_URL"
    assert project.envkit("doctor").returncode == 0  # without it


def test_where_attaching_is_asked_for_nothing_stands_in(project: Project) -> None:
    with nobody_listens() as port:
        visits = Visits(project, "redis", f"redis://127.0.0.1:{port}/0")
        project.write("envkit.toml", 'services = ["redis"]\nbackend = "attach"\n')
        assert visits.first()["fix"]["command"] == ""


def test_socket_that_is_not_there(project: Project) -> None:
    place = f"{project.root}/none"
    found = Visits(project, "postgres", f"postgresql:///app_test?host={place}").first()
    assert found["title"] == f"nothing listens at {place}/.s.PGSQL.5432"
    assert found["fix"]["command"] == "unset ENVKIT_POSTGRES_URL"


@pytest.mark.parametrize("name", ["compose.yaml", "docker-compose.yml"])
@pytest.mark.parametrize(("port", "service"), [(5444, "db"), (6390, "cache"), (5432, "")])
def test_service_of_a_compose_file_that_publishes_the_port(
    project: Project, environ: dict[str, str], name: str, port: int, service: str
) -> None:
    project.write(name, COMPOSE)
    expected = ["docker", "compose", "up", "--wait", service] if service else []
    assert command(project, f"postgresql://a@localhost:{port}/a_test", environ) == expected


def test_port_of_a_compose_file_may_be_a_variable(
    project: Project, environ: dict[str, str]
) -> None:
    project.write("compose.yaml", COMPOSE)
    url = "postgresql://a@localhost:5445/a_test"
    assert command(project, url, environ) == []
    assert command(project, url, environ | {"DB_PORT": "5445"})[-1] == "db"


def test_compose_file_of_our_own(project: Project, environ: dict[str, str]) -> None:
    project.write("envkit.toml", 'services = ["postgres", "redis"]\n')
    project.envkit("compose", "render")
    assert command(project, "redis://127.0.0.1:6379/0", environ) == [
        *("docker", "compose", "-f", "compose/compose.yaml", "up", "--wait", "redis")
    ]


@pytest.mark.parametrize("missing", ["bin/docker", "home/.docker/cli-plugins/docker-compose"])
def test_without_compose_there_is_no_such_command(
    project: Project, environ: dict[str, str], tmp_path: Path, missing: str
) -> None:
    (tmp_path / missing).unlink()
    project.write("compose.yaml", COMPOSE)
    assert command(project, "postgresql://a@localhost:5444/a_test", environ) == []


def test_other_machines_are_not_ours_to_start(project: Project, environ: dict[str, str]) -> None:
    project.write("compose.yaml", COMPOSE)
    assert command(project, "postgresql://a@db.example.test:5444/a_test", environ) == []


def test_cluster_of_debian_with_that_port(project: Project, environ: dict[str, str]) -> None:
    program(Path(environ["PATH"]) / "pg_ctlcluster")
    for version, port in (("15", "5433"), ("17", "5434\t# (change requires restart)")):
        conf = f"#port = 1\nport = {port}\n"
        project.write(f"machine/etc/postgresql/{version}/main/postgresql.conf", conf)
    url = "postgresql://a@localhost:{}/a_test"
    start = [*SUDO, "pg_ctlcluster", "17", "main", "start"]
    assert command(project, url.format(5434), environ) == start
    assert command(project, url.format(5432), environ) == []
    assert command(project, "postgresql:///a_test?host=/run/postgresql&port=5434", environ) == start


def test_unit_of_systemd_at_the_usual_port(project: Project, environ: dict[str, str]) -> None:
    project.write("machine/lib/systemd/system/redis-server.service", "[Unit]\n")
    url = "redis://localhost:6379/0"
    assert command(project, url, environ) == []  # systemd itself does not run
    project.write("machine/run/systemd/system/a.mount", "[Unit]\n")
    assert command(project, url, environ) == [*SUDO, "systemctl", "start", "redis-server"]
    assert command(project, "redis://localhost:6380/0", environ) == []
