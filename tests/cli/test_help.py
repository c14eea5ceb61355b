"""What the commands say of themselves."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import pytest
from inline_snapshot import snapshot

from envkit.cli import cli

if TYPE_CHECKING:
    from tests.conftest import Project


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
  ci       Print a CI job that brings the services and runs the tests.
  compose  Write the services as a file for Docker Compose.
  doctor   Say what would make the tests fail, why, and what to type.
  down     Stop everything that runs for this project, whoever uses it.
  explain  Say what a finding of the doctor means, and how to mend it.
  export   Print where a long-lived database on what is up can be reached.
  images   Build images of the services where no registry is reachable.
  init     Propose [tool.envkit] for this project, and write it.
  logs     Print the logs of a service's servers.
  prune    Remove what dead runs left behind; never what a living one uses.
  run      Run one command with fresh services in its environment.
  secrets  Look at the declared secrets, and make missing ones.
  shell    Open psql, redis-cli or a ClickHouse prompt.
  status   Show what is running for this project, and why that way.
  test     Run categories of tests in order, each gated by the doctor.
  up       Start services and keep them up until `envkit down`.

  Exit codes: 0 done, 1 a problem, 2 usage or configuration, 3 a service could
  not start, 130 interrupted with Ctrl-C.
-- stderr
""")


def test_help_of_up(project: Project) -> None:
    assert project.shown("up", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit up [OPTIONS] [SERVICE]...

  Start services (or join them) and keep them up until `envkit down`.

Arguments:
  [SERVICE]...  postgres, redis, clickhouse; those of ENVKIT_SERVICES or
                [tool.envkit] if none is named.

Options:
  --backend [auto|embedded|docker|attach]
                                  How services come to be, instead of
                                  ENVKIT_BACKEND and the configuration; or for
                                  each service, as in
                                  postgres=docker,redis=embedded.
  -h, --help                      Show this message and exit.
-- stderr
""")


def test_help_of_run(project: Project) -> None:
    assert project.shown("run", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit run [SERVICE]... [OPTIONS] -- COMMAND...

  Run one command with fresh services in its environment.

  All that follows after `--` is the command. It gets databases of its own
  (DATABASE_URL, PG*, REDIS_URL, CLICKHOUSE_URL, CLICKHOUSE_*), which are
  dropped when it ends. The exit code is the command's; 125 is a failure of
  envkit's own, 126 and 127 mean that the command could not be run.

Arguments:
  [SERVICE]...  postgres, redis, clickhouse; those of ENVKIT_SERVICES or
                [tool.envkit] if none is named.

Options:
  --backend [auto|embedded|docker|attach]
                                  How services come to be, instead of
                                  ENVKIT_BACKEND and the configuration; or for
                                  each service, as in
                                  postgres=docker,redis=embedded.
  --template NAME                 The template of that name from the
                                  configuration, or 'empty' for none at all,
                                  instead of the usual one.
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

Arguments:
  [SERVICE]...  postgres, redis, clickhouse; those of ENVKIT_SERVICES or
                [tool.envkit] if none is named.

Options:
  --format [shell|dotenv|json|github|gitlab]
                                  shell: for eval "$(envkit export)"; dotenv:
                                  for a file .env; github: appends to
                                  $GITHUB_ENV and masks passwords; gitlab: for
                                  artifacts:reports:dotenv.  [default: shell]
  -h, --help                      Show this message and exit.
-- stderr
""")


def test_help_of_shell(project: Project) -> None:
    assert project.shown("shell", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit shell [OPTIONS] postgres|redis|clickhouse

  Open psql, redis-cli or a ClickHouse prompt with credentials in place.

Arguments:
  postgres|redis|clickhouse  Which service.

Options:
  --lease ID  That of a test, as the test's report names it, instead of the
              database of `envkit export`.
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
  --format [text|json]  For people, or for programs.  [default: text]
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

Arguments:
  postgres|redis|clickhouse  Which service.

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
  --all       Stop what runs for all your projects, deleted ones included.
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
  --older-than AGE      Also remove what cannot be proven dead, if it is older
                        than this: 30s, 30m, 12h or 7d.
  --format [text|json]  For people, or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_init(project: Project) -> None:
    assert project.shown("init", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit init [OPTIONS]

  Propose [tool.envkit] from this project's dependencies, files and code, and
  write it.

  Each line is shown with what speaks for it; what is not certain is a note,
  and left out. The project's code is read and never run, and nothing but the
  table is written.

Options:
  --yes       Write without asking.
  -h, --help  Show this message and exit.
-- stderr
""")


def test_help_of_test(project: Project) -> None:
    assert project.shown("test", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit test [CATEGORY]... [OPTIONS] [-- PYTEST ARGUMENTS...]

  Run categories of tests in order, each gated by the doctor.

  Those named run, after what they come after. A category whose services or
  secrets are not there is blocked: nothing of it runs, and the cause is said
  with what to type. What follows after `--` goes to pytest, in every
  category.

  Exit codes: 0 passed (or empty beside passed), 1 failed or blocked, 3 could
  not be run or checked, 5 no test was selected at all.

Arguments:
  [CATEGORY]...  Names from [tool.envkit.categories]; all if none is named.

Options:
  --require-tests       Fail if no test of a category was selected, unless it
                        has allow_empty.
  --keep-going          Also run what comes after a category that failed.
  --fail-fast           Run nothing more at all after a category that failed.
  --junit FILE          Write a JUnit file with a suite for each category.
  --format [text|json]  For people, or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_ci(project: Project) -> None:
    assert project.shown("ci", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit ci [OPTIONS] {github|gitlab}

  Print a CI job that brings the services and runs the tests.

  It is made from the project's configuration file alone: services, versions,
  secrets, categories, and what pyproject.toml says the tests need. A file
  that envkit did not make is not overwritten.

Arguments:
  github|gitlab  Whose: GitHub Actions, or GitLab CI/CD.

Options:
  --services [own|containers]  own: the servers of the embedded extra;
                               containers: the CI's own service containers.
                               [default: own]
  --python VERSION,...         Versions of Python to run with; several make a
                               matrix.  [default: one that requires-python
                               allows]
  --write                      Write it to where that CI looks for it, instead
                               of printing it.
  -h, --help                   Show this message and exit.
-- stderr
""")


def test_help_of_doctor(project: Project) -> None:
    assert project.shown("doctor", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit doctor [OPTIONS] [-- PYTEST ARGUMENTS]...

  Say what would make the tests fail, why, and what to type.

  Looks at configuration, secrets, container engine, programs, drivers and
  services, all at once, and changes nothing without --fix. Exit codes: 0
  healthy, 1 a problem, 3 something could not be checked.

Arguments:
  [-- PYTEST ARGUMENTS]...  Also see whether pytest finds tests with these,
                            such as -k EXPR or a file.

Options:
  --category NAME                 Also see whether pytest finds tests of this
                                  category of the configuration.
  --log FILE                      Read the log or JUnit file of a run instead
                                  of looking at this machine ('-': standard
                                  input).
  --format [text|json|github|junit|html]
                                  text: for people; json: for programs;
                                  github: annotations and the step summary;
                                  junit: for CI; html: one file for a browser.
                                  [default: text]
  --fix                           Mend what is safe to mend, asking before
                                  each thing, and look again.
  --yes                           With --fix: do not ask.
  --ascii                         Write ASCII characters only.
  -v, --verbose                   Show every check with what it saw, not only
                                  those that failed.
  -h, --help                      Show this message and exit.
-- stderr
""")


def test_help_of_explain(project: Project) -> None:
    assert project.shown("explain", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit explain [OPTIONS] [SLUG]

  Say what a finding of the doctor means, and how to mend it.

Arguments:
  [SLUG]  The name in brackets, such as net.refused, or the beginning of
          several, such as net; all are listed if none is named.

Options:
  --format [text|json]  For people, or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_secrets(project: Project) -> None:
    assert project.shown("secrets", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit secrets [OPTIONS] COMMAND [ARGS]...

  The secrets of [tool.envkit.secrets].

  No value is ever shown.

Options:
  -h, --help  Show this message and exit.

Commands:
  check     Say what is wrong with the declared secrets.
  generate  Make values for missing secrets, in the first of env_files.
-- stderr
""")


def test_help_of_secrets_check(project: Project) -> None:
    assert project.shown("secrets", "check", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit secrets check [OPTIONS]

  Say what is wrong with the declared secrets, and what to do about it.

  They are looked for in the environment, in the file that NAME_FILE names, in
  env_files and in secret_dirs. Exit code 1: something is wrong. Warnings
  alone are 0.

Options:
  --format [text|json]  For people, or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_secrets_generate(project: Project) -> None:
    assert project.shown("secrets", "generate", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit secrets generate [OPTIONS]

  Make values for missing secrets, and append them to the first of env_files.

  What stands there already is never changed. The file gets mode 0600, and git
  is told to ignore it. Exit code 1: something is still wrong.

Options:
  --format [text|json]  For people, or for programs.  [default: text]
  -h, --help            Show this message and exit.
-- stderr
""")


def test_help_of_compose(project: Project) -> None:
    assert project.shown("compose", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit compose [OPTIONS] COMMAND [ARGS]...

  The project's services as a file for Docker Compose.

  It is made from the project's configuration file alone: versions, images,
  settings, memory. What ENVKIT_* say is this machine's and not part of it.

Options:
  -h, --help  Show this message and exit.

Commands:
  check   Compare the compose file with what would be rendered now.
  render  Write the compose file.
-- stderr
""")


def test_help_of_compose_render(project: Project) -> None:
    assert project.shown("compose", "render", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit compose render [OPTIONS]

  Write the compose file.

  A file that envkit did not make is not overwritten.

Options:
  --output FILE|-  Where to write it, - for standard output.  [default:
                   compose/compose.yaml of the project]
  -h, --help       Show this message and exit.
-- stderr
""")


def test_help_of_compose_check(project: Project) -> None:
    assert project.shown("compose", "check", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit compose check [OPTIONS]

  Compare the compose file with what would be rendered now.

  Exit code 0: the same. 1: it is missing or differs, and the difference is
  shown.

Options:
  --output FILE  The file to compare.  [default: compose/compose.yaml of the
                 project]
  -h, --help     Show this message and exit.
-- stderr
""")


def test_help_of_images(project: Project) -> None:
    assert project.shown("images", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit images [OPTIONS] COMMAND [ARGS]...

  Images of the services, made from this machine's wheels and programs.

  They have the interface of the official images of postgres, redis and
  clickhouse, and are built without a download.

Options:
  -h, --help  Show this message and exit.

Commands:
  build  Build the images of all services, or of some.
-- stderr
""")


def test_help_of_images_build(project: Project) -> None:
    assert project.shown("images", "build", "--help") == snapshot("""\
exit code 0
-- stdout
Usage: envkit images build [OPTIONS] [SERVICE]...

  Build the images of all services, or of those named, and put them into the
  engine.

  The engine is the one that DOCKER_HOST or the current docker context names.
  An image that is there with the same content stays as it is.

Arguments:
  [SERVICE]...  postgres, redis, clickhouse; all if none is named.

Options:
  --variant [plain|ready|all]  plain: as the official image; ready (tag NAME-
                               ready): as much of the first start as possible
                               is done beforehand; all: both.  [default: all]
  --force                      Build again what is there with the same
                               content.
  --format [text|json]         For people, or for programs.  [default: text]
  -h, --help                   Show this message and exit.
-- stderr
""")


def _commands(group: click.Group, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{above}{name}"
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above}{name} ")


def test_help_of_every_command_is_looked_at() -> None:
    for name in _commands(cli):
        assert f"test_help_of_{name.replace(' ', '_')}" in globals()


def test_no_help_text_is_cut_short(project: Project) -> None:
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.", "", project.envkit("--help").stdout)


@pytest.mark.parametrize("command", cli.commands)
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
