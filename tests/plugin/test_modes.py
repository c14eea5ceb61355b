# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What happens where services cannot be had: skipped, failed, or told before anything runs."""

from __future__ import annotations

import json
import os

import pytest
from inline_snapshot import snapshot

from tests.plugin.runs import passes, run

UNAVAILABLE = ("--envkit=auto", "--envkit-backend", "docker")
TWO_TESTS = """
def test_plain(): pass
def test_redis(real_redis): pass
def test_more(real_redis): pass
"""


def told(suite: pytest.Pytester, result: pytest.RunResult) -> str:
    """What was printed from the collection on, and the exit code."""
    said = result.stdout.str().replace(str(suite.path), "PROJECT")
    lines = said.replace(os.environ["DOCKER_HOST"], "NO-ENGINE").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("collected"))
    kept = [
        line.rsplit(" in ", 1)[0].strip("= ") if line.startswith("=") else line.rstrip()
        for line in lines[first:]
    ]
    return f"exit code {int(result.ret)}\n" + "\n".join(kept) + "\n"


def test_auto_skips_and_says_why_where_no_backend_can_serve(suite: pytest.Pytester) -> None:
    suite.makepyfile(TWO_TESTS)
    assert told(suite, run(suite, *UNAVAILABLE)) == snapshot("""\
exit code 0
collected 3 items
envkit: tests that need real services are skipped: no container engine answers at NO-ENGINE [docker.daemon.down]
        [Errno 2] No such file or directory
    → docker info; or the backend embedded, which needs no engine

test_auto_skips_and_says_why_where_no_backend_can_serve.py .ss           [100%]

short test summary info
SKIPPED [1] test_auto_skips_and_says_why_where_no_backend_can_serve.py:2: no container engine answers at NO-ENGINE [docker.daemon.down]     [Errno 2] No such file or directory → docker info; or the backend embedded, which needs no engine
SKIPPED [1] test_auto_skips_and_says_why_where_no_backend_can_serve.py:3: no container engine answers at NO-ENGINE [docker.daemon.down]     [Errno 2] No such file or directory → docker info; or the backend embedded, which needs no engine
1 passed, 2 skipped
""")


def test_auto_skips_a_fixture_asked_for_at_run_time_too(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(request): request.getfixturevalue('real_redis')")
    run(suite, *UNAVAILABLE).assert_outcomes(skipped=1)


def test_require_stops_the_run_once_where_no_backend_can_serve(suite: pytest.Pytester) -> None:
    suite.makepyfile(TWO_TESTS)
    assert told(suite, run(suite, *UNAVAILABLE, "--envkit=require")) == snapshot("""\
exit code 2
collected 3 items

envkit
no container engine answers at NO-ENGINE [docker.daemon.down]
    [Errno 2] No such file or directory
Why: Docker is not started, or the address that DOCKER_HOST or the docker context names leads to a machine or socket where no engine listens. One that takes connections and says nothing hangs.
→ docker info; or the backend embedded, which needs no engine
! Interrupted: envkit: the services that the tests need cannot be had [docker.daemon.down] !
no tests ran
""")


def test_require_fails_a_fixture_asked_for_at_run_time(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(request): request.getfixturevalue('real_redis')")
    result = run(suite, *UNAVAILABLE, "--envkit=require")
    assert told(suite, result) == snapshot("""\
exit code 1
collected 1 item

test_require_fails_a_fixture_asked_for_at_run_time.py F                  [100%]

FAILURES
_____________________________________ test _____________________________________
no container engine answers at NO-ENGINE [docker.daemon.down]
    [Errno 2] No such file or directory
→ docker info; or the backend embedded, which needs no engine
envkit: the environment
no container engine answers at NO-ENGINE [docker.daemon.down]
  explains 1 test: test_require_fails_a_fixture_asked_for_at_run_time.py::test
  Why: Docker is not started, or the address that DOCKER_HOST or the docker context names leads to a machine or socket where no engine listens. One that takes connections and says nothing hangs.
  → docker info; or the backend embedded, which needs no engine
1 failed
""")


def test_off_skips_without_a_look_at_the_machine(suite: pytest.Pytester) -> None:
    suite.makepyfile(TWO_TESTS)
    assert told(suite, run(suite, "--envkit=off")) == snapshot("""\
exit code 0
collected 3 items

test_off_skips_without_a_look_at_the_machine.py .ss                      [100%]

short test summary info
SKIPPED [1] test_off_skips_without_a_look_at_the_machine.py:2: real services are switched off (--envkit=off or USE_REAL_SERVICES=0)
SKIPPED [1] test_off_skips_without_a_look_at_the_machine.py:3: real services are switched off (--envkit=off or USE_REAL_SERVICES=0)
1 passed, 2 skipped
""")


@pytest.mark.parametrize(
    ("variables", "arguments", "code"),
    [
        ({}, [], 0),
        ({"CI": "true"}, [], 2),
        ({"CI": "1"}, [], 2),
        ({"CI": "false"}, [], 0),
        ({"CI": "true", "USE_REAL_SERVICES": "0"}, [], 0),
        ({"CI": "true"}, ["--envkit=auto"], 0),
        ({"USE_REAL_SERVICES": "1"}, [], 2),
        ({"USE_REAL_SERVICES": "true"}, [], 2),
        ({"USE_REAL_SERVICES": "1"}, ["--envkit=off"], 0),
        ({"USE_REAL_SERVICES": "1"}, ["--envkit=auto"], 0),
    ],
    ids=lambda value: json.dumps(value).replace('"', ""),
)
def test_what_is_asked_for_decides_whether_a_missing_service_stops_the_run(
    suite: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: list[str],
    code: int,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (suite.path / "envkit.toml").write_text('backend = "docker"\n')
    suite.makepyfile("def test(real_redis): pass")
    assert run(suite, *arguments).ret == code


def test_senseless_wish_is_a_usage_error(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_REAL_SERVICES", "maybe")
    suite.makepyfile("def test(real_redis): pass")
    result = run(suite)
    assert (int(result.ret), result.stderr.str()) == snapshot(
        (
            4,
            "ERROR: USE_REAL_SERVICES is 'maybe'; expected 1/true (require), 0/false (off) or auto\n",
        )
    )


def test_server_that_cannot_start_stops_the_run_even_in_auto(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\n[redis.settings]\nno-such = 1')
    suite.makepyfile(TWO_TESTS)
    result = run(suite)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*Redis ended with exit code 1 while starting*", "*Bad directive*"]
    )


def test_configuration_error_is_a_usage_error(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='servces = ["redis"]')
    suite.makepyfile("def test(real_redis): pass")
    result = run(suite)
    assert (int(result.ret), result.stderr.str().replace(str(suite.path), "PROJECT")) == snapshot(
        (
            4,
            """\
ERROR: envkit.toml:1: the top level has no key 'servces' [envkit.config.unknown-key]
→ did you mean 'services'? Known keys: services, backend, linger, start_timeout, data_dir, env, export_env, env_files, secret_dirs, secrets, categories, docker, attach, postgres, redis, clickhouse
""",
        )
    )


def test_configuration_error_does_not_touch_runs_without_our_fixtures(
    suite: pytest.Pytester,
) -> None:
    suite.makefile(".toml", envkit='servces = ["redis"]')
    passes(suite, "def test(): pass")


def test_backend_named_on_the_command_line_is_not_skipped_over(suite: pytest.Pytester) -> None:
    suite.makepyfile(TWO_TESTS)
    assert run(suite, "--envkit-backend", "docker").ret == pytest.ExitCode.INTERRUPTED
