# ruff: noqa: E501 - snapshots hold lines as they are printed
"""`envkit export` is read by those it is written for, `envkit shell` reaches the same database."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Project

# What is on PATH here is the machine's; without it, the wheels are what is there.
NO_CLIENTS = {"PATH": os.path.dirname(sys.executable)}  # noqa: PTH120 - as PATH is written


@pytest.fixture
def up(project: Project) -> Project:
    project.envkit("up")
    return project


def endpoint(project: Project, service: str = "redis") -> dict[str, str]:
    exported = json.loads(project.envkit("export", "--format", "json").stdout)
    found: dict[str, str] = exported["services"][service]
    return found


# -- export ---------------------------------------------------------------------------------------


def test_shell_export_is_read_by_a_shell(up: Project) -> None:
    script = f'eval "$({sys.executable} -m envkit export)" && echo "$REDIS_URL"'
    said = subprocess.run(["sh", "-c", script], cwd=up.root, capture_output=True, text=True).stdout
    assert said == endpoint(up)["url"] + "\n"


def test_dotenv_export_is_read_by_python_dotenv(up: Project) -> None:
    text = up.envkit("export", "--format", "dotenv").stdout
    assert dotenv_values(stream=io.StringIO(text)) == {"REDIS_URL": endpoint(up)["url"]}


def test_json_export_has_the_fields_of_the_contract(up: Project) -> None:
    text = up.envkit("export", "--format", "json").stdout
    assert json.loads(text)["project"] == str(up.root)
    assert up.steady(text.replace(str(endpoint(up)["port"]), "PORT")) == snapshot("""\
{
  "version": 1,
  "project": "PROJECT",
  "services": {
    "redis": {
      "backend": "embedded",
      "product": "Valkey",
      "version": "N.N",
      "host": "N.N",
      "port": PORT,
      "user": "default",
      "password": "PASSWORD",
      "database": "0",
      "url": "redis://:PASSWORD@127.0.0.1:PORT/0",
      "started_ms": N.N
    }
  }
}
""")


def test_github_export_appends_to_the_steps_file_and_masks_passwords(up: Project) -> None:
    target = up.write("github-env", "BEFORE=1\n")
    said = up.envkit("export", "--format", "github", GITHUB_ENV=str(target)).stdout
    url = endpoint(up)["url"]
    assert target.read_text().startswith("BEFORE=1\nREDIS_URL<<")
    assert f"\n{url}\n" in target.read_text()
    assert said == f"::add-mask::{url}\n"


def test_github_export_masks_before_it_writes_and_masks_bare_passwords(up: Project) -> None:
    up.write("envkit.toml", 'services = ["redis"]\n[env]\nREDIS_PASSWORD = "redis.password"\n')
    target = up.write("github-env", "")
    said = up.envkit("export", "--format", "github", GITHUB_ENV=str(target)).stdout
    assert f"::add-mask::{endpoint(up)['password']}\n" in said


def test_gitlab_export_is_a_dotenv_report(up: Project) -> None:
    assert up.envkit("export", "--format", "gitlab").stdout == f"REDIS_URL={endpoint(up)['url']}\n"


def test_exported_database_is_the_same_at_every_call(up: Project) -> None:
    assert up.envkit("export").stdout == up.envkit("export").stdout


def test_export_is_not_what_tests_and_runs_get(up: Project) -> None:
    given = up.envkit("run", "--", "printenv", "REDIS_URL").stdout.strip()
    assert given != endpoint(up)["url"]


def test_export_with_nothing_up_says_what_to_type(project: Project) -> None:
    assert project.shown("export") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: nothing is running for PROJECT [envkit.keeper.absent]
  → envkit up redis
""")


def test_export_of_a_service_that_is_not_up_says_what_to_type(up: Project) -> None:
    assert up.shown("export", "postgres") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: not running: postgres [envkit.keeper.absent]
  → envkit up postgres
""")


def test_github_export_outside_of_a_workflow_says_so(up: Project) -> None:
    assert up.shown("export", "--format", "github", GITHUB_ENV="") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: GITHUB_ENV is not set, so this is not a step of a GitHub workflow [envkit.usage]
  → envkit export --format dotenv
""")


def test_github_export_to_a_file_that_cannot_be_written_says_so(up: Project) -> None:
    assert up.shown("export", "--format", "github", GITHUB_ENV="/no/such/file") == snapshot("""\
exit code 2
-- stdout
::add-mask::redis://:PASSWORD@127.0.0.1:PORT/0
-- stderr
error: GITHUB_ENV (/no/such/file) cannot be written: No such file or directory [envkit.usage]
  → envkit export --format dotenv
""")


def test_unknown_export_format_is_a_usage_error(project: Project) -> None:
    assert project.shown("export", "--format", "xml") == snapshot("""\
exit code 2
-- stdout
-- stderr
Usage: envkit export [OPTIONS] [SERVICE]...
Try 'envkit export --help' for help.

Error: Invalid value for '--format': 'xml' is not one of 'shell', 'dotenv', 'json', 'github', 'gitlab'.
""")


# -- shell ----------------------------------------------------------------------------------------


def test_redis_prompt_answers_as_redis_cli_does(up: Project) -> None:
    commands = "SET greeting 'hello world'\nGET greeting\nGET nothing\nINCR n\nRPUSH l a b\n"
    commands += "LRANGE l 0 -1\nKEYS nothing*\n\nPING\nquit\nGET greeting\n"
    assert up.shown("shell", "redis", stdin=commands, **NO_CLIENTS) == snapshot("""\
exit code 0
-- stdout
OK
hello world
(nil)
(integer) 1
(integer) 2
1) a
2) b
(empty array)
PONG
-- stderr
""")


def test_redis_prompt_reaches_the_exported_database(up: Project) -> None:
    up.envkit("shell", "redis", stdin="SET a 1\n", **NO_CLIENTS)
    code = "import redis, sys; print(redis.Redis.from_url(sys.argv[1]).get('a'))"
    said = subprocess.run(
        [sys.executable, "-c", code, endpoint(up)["url"]], capture_output=True, text=True
    ).stdout
    assert said == "b'1'\n"


def test_error_in_piped_redis_commands_ends_them_with_exit_code_1(up: Project) -> None:
    shown = up.shown("shell", "redis", stdin="NOSUCH\nSET a 1\n", **NO_CLIENTS)
    assert shown == snapshot("""\
exit code 1
-- stdout
-- stderr
error: unknown command 'NOSUCH', with args beginning with: \n\
""")


def test_unbalanced_quotes_in_a_redis_command_are_an_error(up: Project) -> None:
    assert up.shown("shell", "redis", stdin="SET a 'b\n", **NO_CLIENTS) == snapshot("""\
exit code 1
-- stdout
-- stderr
error: No closing quotation
""")


def test_answer_with_control_characters_does_not_reach_the_terminal(up: Project) -> None:
    commands = "EVAL 'return \"\\27[2J\"' 0\n"
    said = up.envkit("shell", "redis", stdin=commands, **NO_CLIENTS).stdout
    assert said == "\\x1b[2J\n"


def test_clickhouse_prompt_answers_and_ends_at_an_error(project: Project) -> None:
    project.write("envkit.toml", 'services = ["clickhouse"]\n')
    project.envkit("up")
    commands = "CREATE TABLE t (a Int8, b String) ENGINE = Memory;\n"
    commands += "INSERT INTO t VALUES (1, 'one'), (2, 'two')\nSELECT * FROM t ORDER BY a;\n"
    good = project.shown("shell", "clickhouse", stdin=commands, **NO_CLIENTS)
    assert good == snapshot("""\
exit code 0
-- stdout


1	one
2	two
-- stderr
""")
    bad = project.envkit("shell", "clickhouse", stdin="SELECT nope\nSELECT 1\n", **NO_CLIENTS)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("error: ")
    assert "Traceback" not in bad.stderr


def test_postgres_shell_is_the_wheels_psql_with_credentials(project: Project) -> None:
    project.write("envkit.toml", 'services = ["postgres"]\n')
    project.envkit("up")
    misled = NO_CLIENTS | {"PGSERVICE": "production", "PGHOSTADDR": "192.0.2.1"}
    query = "\\pset format unaligned\n\\t\nSELECT current_user = current_database();\n"
    ended = project.envkit("shell", "postgres", stdin=query, **misled)
    assert ended.stdout.splitlines()[-1:] == ["t"], ended.stderr
    assert ended.returncode == 0


def test_shell_of_an_unknown_service_is_a_usage_error(project: Project) -> None:
    assert project.shown("shell", "mysql") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: there is no service 'mysql'; there are postgres, redis, clickhouse [envkit.usage]
  → name one of postgres, redis, clickhouse
""")


def test_shell_with_nothing_up_says_what_to_type(project: Project) -> None:
    assert project.shown("shell", "redis") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: nothing is running for PROJECT [envkit.keeper.absent]
  → envkit up redis
""")


def test_shell_of_an_unknown_lease_names_those_that_exist(up: Project) -> None:
    up.envkit("export")
    assert up.shown("shell", "redis", "--lease", "lease_9") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: there is no lease 'lease_9' [envkit.usage]
  → those that exist: export
""")
