# ruff: noqa: E501 - snapshots hold lines as they are printed
"""`envkit run`: whose exit code it gives, which signals it passes on, what the command sees."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

# Reports for duty on stdout, then waits for a signal.
SLEEPER = """
import os, signal, sys, time
def caught(number, _):
    os.write(1, f"caught {signal.Signals(number).name}\\n".encode())
    sys.exit(40 + number)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, caught)
os.write(1, b"sleeping\\n")  # not print(), which a signal must not enter twice
while True:
    time.sleep(0.1)  # not pause(), which waits for a second signal if the first comes just before it
"""


def printing_environment() -> list[str]:
    return [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


class Hanging:
    """A Redis that never answers.

    Attributes:
        path: The PATH it is found on.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def wait_until_started(self) -> None:
        ready, _, _ = select.select([self._descriptor], [], [], 30)
        assert ready, "it was not started"


@pytest.fixture
def hanging(project: Project) -> Iterator[Hanging]:
    started = project.root / "started"
    os.mkfifo(started)
    server = project.write(
        "bin/redis-server",
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "Redis server v=1.2.3" && exit\n'
        "echo this server hangs\n"
        f"echo > {shlex.quote(str(started))}\n"
        "exec sleep 600\n",
    )
    server.chmod(stat.S_IRWXU)
    project.write("envkit.toml", 'services = ["redis"]\n[redis]\nversion = "1.2"\n')
    descriptor = os.open(started, os.O_RDWR)  # so that neither end waits for the other
    yield Hanging(f"{server.parent}{os.pathsep}{os.environ['PATH']}", descriptor)
    os.close(descriptor)


def lines_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """What a process prints, to the line that begins with this word."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line.rstrip())
        if line.startswith(word):
            return seen
    raise AssertionError(f"{word!r} never came, but: {seen}")


# -- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_exit_code_is_the_commands_own(project: Project, code: int) -> None:
    assert project.envkit("run", "--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_command_killed_by_a_signal_gives_128_and_its_number(
    project: Project, number: signal.Signals
) -> None:
    ended = project.envkit("run", "--", "sh", "-c", f"kill -{number.value} $$")
    assert ended.returncode == 128 + number


def test_command_that_does_not_exist_gives_127_and_starts_nothing(
    project: Project, leftovers: Leftovers
) -> None:
    assert project.shown("run", "--", "no-such-command") == snapshot("""\
exit code 127
-- stdout
-- stderr
envkit run: no-such-command: command not found
""")
    assert not leftovers.all()


def test_path_that_does_not_exist_gives_127(project: Project) -> None:
    assert project.shown("run", "--", "./no/such") == snapshot("""\
exit code 127
-- stdout
-- stderr
envkit run: ./no/such: command not found
""")


def test_file_that_is_not_executable_gives_126_and_starts_nothing(
    project: Project, leftovers: Leftovers
) -> None:
    project.write("script", "#!/bin/sh\n")
    assert project.shown("run", "--", "./script") == snapshot("""\
exit code 126
-- stdout
-- stderr
envkit run: ./script is not executable
""")
    assert not leftovers.all()


def test_directory_as_the_command_gives_126(project: Project) -> None:
    (project.root / "tool").mkdir()
    assert project.shown("run", "--", "./tool") == snapshot("""\
exit code 126
-- stdout
-- stderr
envkit run: ./tool is a directory
""")


def test_script_with_a_missing_interpreter_gives_127(project: Project) -> None:
    script = project.write("script", "#!/no/such/interpreter\n")
    script.chmod(stat.S_IRWXU)
    assert project.shown("run", "--", "./script") == snapshot("""\
exit code 127
-- stdout
-- stderr
redis  ready in N ms  Valkey N.N (embedded)
envkit run: ./script: its interpreter is missing
""")


def test_file_in_no_format_the_kernel_knows_gives_126(project: Project) -> None:
    script = project.write("script", "\x00\x01")
    script.chmod(stat.S_IRWXU)
    assert project.shown("run", "--", "./script") == snapshot("""\
exit code 126
-- stdout
-- stderr
redis  ready in N ms  Valkey N.N (embedded)
envkit run: ./script: Exec format error
""")


def test_command_is_found_on_the_path_of_a_virtual_environment(project: Project) -> None:
    script = project.write("bin/greet", "#!/bin/sh\necho hello\n")
    script.chmod(stat.S_IRWXU)
    path = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    assert project.envkit("run", "--", "greet", PATH=path).stdout == "hello\n"


def test_no_command_gives_125_and_says_where_it_goes(project: Project) -> None:
    assert project.shown("run") == snapshot("""\
exit code 125
-- stdout
-- stderr
error: no command was given: it follows after -- [envkit.usage]
  → envkit run -- pytest
""")


def test_nothing_after_the_dashes_gives_125(project: Project) -> None:
    assert project.shown("run", "redis", "--") == snapshot("""\
exit code 125
-- stdout
-- stderr
error: no command was given: it follows after -- [envkit.usage]
  → envkit run redis -- pytest
""")


def test_forgotten_dashes_are_put_in_the_hint(project: Project) -> None:
    assert project.shown("run", "redis", "pytest", "tests") == snapshot("""\
exit code 125
-- stdout
-- stderr
error: no command was given: it follows after -- [envkit.usage]
  → envkit run redis -- pytest tests
""")


def test_unknown_service_gives_125(project: Project) -> None:
    assert project.shown("run", "mysql", "--", "true") == snapshot("""\
exit code 125
-- stdout
-- stderr
error: there is no service 'mysql'; there are postgres, redis, clickhouse [envkit.usage]
  → name one of postgres, redis, clickhouse
""")


def test_unknown_option_gives_125(project: Project) -> None:
    assert project.shown("run", "--bakend", "x", "--", "true") == snapshot("""\
exit code 125
-- stdout
-- stderr
Usage: envkit run [SERVICE]... [OPTIONS] -- COMMAND...
Try 'envkit run --help' for help.

Error: No such option '--bakend'. Did you mean '--backend'?
""")


def test_unusable_configuration_gives_125(project: Project) -> None:
    project.write("envkit.toml", "services = [")
    assert project.shown("run", "--", "true") == snapshot("""\
exit code 125
-- stdout
-- stderr
error: envkit.toml:1:13: not valid TOML: Invalid value [envkit.config.invalid]
    1 | services = [
                    ^
  → correct line 1 of PROJECT/envkit.toml
""")


def test_services_that_cannot_be_had_give_125(project: Project) -> None:
    assert project.shown("run", "--backend", "docker", "--", "true") == snapshot("""\
exit code 125
-- stdout
-- stderr
redis  failed [docker.daemon.down]
error: no container engine answers at NO-ENGINE [docker.daemon.down]
    [Errno 2] No such file or directory
  → docker info; or the backend embedded, which needs no engine
""")


def test_options_after_the_dashes_belong_to_the_command(project: Project) -> None:
    ended = project.envkit("run", "--", "echo", "--help", "--", "-x")
    assert ended.stdout == "--help -- -x\n"


# -- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signal_sent_to_envkit_reaches_the_command(
    project: Project, leftovers: Leftovers, number: signal.Signals
) -> None:
    running = project.spawn("run", "--", sys.executable, "-c", SLEEPER)
    lines_until(running, "sleeping")
    running.send_signal(number)
    assert running.communicate(timeout=60)[0] == f"caught {number.name}\n"
    assert running.returncode == 40 + number
    assert not leftovers.wait_until_none()


def test_ctrl_c_reaches_the_command_and_we_clean_up(project: Project, leftovers: Leftovers) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "envkit", "run", "--", sys.executable, "-c", SLEEPER],
        cwd=project.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    lines_until(running, "sleeping")
    os.killpg(running.pid, signal.SIGINT)  # what a terminal does
    assert running.communicate(timeout=60)[0] == "caught SIGINT\n"
    assert running.returncode == 40 + signal.SIGINT
    assert not leftovers.wait_until_none()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
@pytest.mark.parametrize("command", [["run", "--", "true"], ["up"]], ids=["run", "up"])
def test_signal_while_services_start_ends_the_start_and_leaves_nothing(
    project: Project,
    leftovers: Leftovers,
    hanging: Hanging,
    command: list[str],
    number: signal.Signals,
    code: int,
) -> None:
    running = project.spawn(*command, PATH=hanging.path)
    hanging.wait_until_started()
    running.send_signal(number)
    said, _ = running.communicate(timeout=60)
    assert (said, running.returncode) == ("interrupted\n" if code == 130 else "", code)
    assert not leftovers.wait_until_none()


def test_command_gets_the_default_answer_to_ctrl_c(project: Project) -> None:
    assert project.envkit("run", "--", "sh", "-c", "kill -INT $$").returncode == 130


# -- what the command sees ------------------------------------------------------------------------


def test_command_reaches_its_services_by_the_environment(project: Project) -> None:
    code = "import os, redis; print(redis.Redis.from_url(os.environ['REDIS_URL']).ping())"
    assert project.envkit("run", "--", sys.executable, "-c", code).stdout == "True\n"


def test_variables_that_would_send_libpq_elsewhere_are_taken_away(project: Project) -> None:
    code = (
        "import os, psycopg; print(psycopg.connect().execute('SELECT current_user').fetchone()[0]);"
        "print(os.environ['PGUSER']); print(*(n for n in os.environ if n.startswith('PG')))"
    )
    ended = project.envkit(
        "run",
        "postgres",
        "--",
        sys.executable,
        "-c",
        code,
        PGHOSTADDR="192.0.2.1",
        PGSERVICE="production",
        PGSSLMODE="verify-full",
        PGOPTIONS="-c no_such_setting=1",
        PGHOST="production.example",
        ENVKIT_START_TIMEOUT="5s",
    )
    connected, named, names = ended.stdout.splitlines()
    assert connected == named
    assert set(names.split()) == {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"}


def test_variables_of_services_that_were_not_asked_for_stay(project: Project) -> None:
    ended = project.envkit("run", "redis", "--", *printing_environment(), PGSERVICE="mine")
    assert json.loads(ended.stdout)["PGSERVICE"] == "mine"


def test_project_gets_the_names_of_variables_that_it_configured(project: Project) -> None:
    project.write(
        "envkit.toml",
        'services = ["redis"]\n[env]\nCACHE_URL = "redis.url"\nCACHE_PORT = "redis.port"\n',
    )
    seen = json.loads(project.envkit("run", "--", *printing_environment()).stdout)
    assert seen["CACHE_URL"] == seen["REDIS_URL"]
    assert seen["CACHE_URL"].endswith(f":{seen['CACHE_PORT']}/0")


def test_command_reads_our_standard_input(project: Project) -> None:
    assert project.envkit("run", "--", "cat", stdin="some data").stdout == "some data"


def test_standard_output_is_the_commands_alone(project: Project) -> None:
    assert project.shown("run", "--", "echo", "hello") == snapshot("""\
exit code 0
-- stdout
hello
-- stderr
redis  ready in N ms  Valkey N.N (embedded)
""")


def test_command_runs_in_the_directory_it_was_started_in(project: Project) -> None:
    below = project.root / "below"
    below.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "envkit", "run", "--", "pwd"],
        cwd=below,
        capture_output=True,
        text=True,
    )
    assert Path(ended.stdout.strip()).samefile(below)


def test_lease_is_the_runs_own_beside_what_is_up(project: Project) -> None:
    project.envkit("up")
    exported = json.loads(project.envkit("export", "--format", "json").stdout)
    seen = json.loads(project.envkit("run", "--", *printing_environment()).stdout)
    assert seen["REDIS_URL"] != exported["services"]["redis"]["url"]


def test_lease_is_given_back_at_the_end_beside_what_is_up(project: Project) -> None:
    project.envkit("up")
    project.envkit("run", "--", "true")
    [keeper] = json.loads(project.envkit("status", "--format", "json").stdout)["keepers"]
    assert keeper["services"][0]["leases"] == 0


def test_nothing_is_left_when_the_command_has_ended(project: Project, leftovers: Leftovers) -> None:
    project.envkit("run", "--", "true")
    assert not leftovers.all()


def test_program_that_outlives_the_command_does_not_hold_the_services(
    project: Project, leftovers: Leftovers
) -> None:
    ended = project.envkit("run", "--", "sh", "-c", "sleep 600 >&- 2>&- <&- & echo $!")
    try:
        assert not leftovers.wait_until_none()
    finally:
        os.kill(int(ended.stdout), signal.SIGKILL)


def test_server_that_never_answers_is_an_error_with_its_log(
    project: Project, leftovers: Leftovers, hanging: Hanging
) -> None:
    shown = project.shown("run", "--", "true", PATH=hanging.path, ENVKIT_START_TIMEOUT="300ms")
    assert shown == snapshot("""\
exit code 125
-- stdout
-- stderr
redis  failed [envkit.keeper.start-failed]
error: Redis did not answer within N.N s; the last try: [Errno 111] Connection refused [envkit.keeper.start-failed]
    this server hangs
  → start_timeout in [tool.envkit] gives it more time
""")
    assert not leftovers.wait_until_none()


def in_shell(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    """A line of shell in the project, with ``envkit`` as its command."""
    envkit = f'envkit() {{ {sys.executable} -m envkit "$@"; }}; '
    return subprocess.run(
        ["sh", "-c", envkit + script],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(
    project: Project, leftovers: Leftovers, closed: str
) -> None:
    assert in_shell(project, f"envkit run -- true {closed}").returncode == 0
    assert in_shell(project, f"envkit up {closed}").returncode == 0
    assert in_shell(project, "envkit down").stderr == "stopped redis\n"
    assert not leftovers.wait_until_none()


def test_exit_code_is_the_commands_although_its_end_is_ignored(project: Project) -> None:
    """A parent that ignores SIGCHLD hands that down."""
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    code = f"{ignoring}os.execv(sys.executable, [sys.executable, *{_RUN_SEVEN!r}])"
    assert subprocess.run([sys.executable, "-c", code], cwd=project.root).returncode == 7


_RUN_SEVEN = ["-m", "envkit", "run", "--", "sh", "-c", "exit 7"]


def test_nohup_keeps_the_command_running_when_the_terminal_goes(project: Project) -> None:
    running = subprocess.Popen(
        ["nohup", sys.executable, "-m", "envkit", "run", "--", "sh", "-c", "echo here; sleep 0.4"],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines_until(running, "here")
    running.send_signal(signal.SIGHUP)
    running.communicate(timeout=30)
    assert running.returncode == 0
