"""What the summary says of failures: which are the environment's, why, and what to type."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from inline_snapshot import snapshot

from tests.plugin.runs import OPTIONS, passes, run

WRONG_PASSWORD = """
import psycopg
def connect(server):
    return psycopg.connect(host=server.host, port=server.port, user="app",
                           password="not-the-right-one", dbname="app")
"""
TWO_WORKERS = ("-p", "xdist", "-n", "2")


def summary(result: pytest.RunResult) -> str:
    """What envkit says at the end, without what differs from run to run."""
    said = result.stdout.str()
    _, found, after = said.partition(" envkit: the environment ")
    if not found:
        return ""
    lines = after.splitlines()[1:]
    end = next(n for n, line in enumerate(lines) if line.startswith(("===", "!!!")))
    text = "\n".join(lines[:end]) + "\n"
    text = re.sub(r"test_[a-z_]+\.py", "FILE", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)


def only_envkit_lines(result: pytest.RunResult) -> list[str]:
    return [line for line in result.stdout.lines if line.startswith("envkit: ")]


# -- failures --------------------------------------------------------------------------------------


def test_wrong_password_of_the_application_is_said_once(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        WRONG_PASSWORD
        + """
import pytest
def test_first(real_postgres): connect(real_postgres)
def test_second(real_postgres): connect(real_postgres)
@pytest.fixture
def connection(real_postgres): return connect(real_postgres)
def test_third(connection): pass
def test_of_the_application(): assert 1 == 2
"""
    )
    result = run(suite)
    result.assert_outcomes(failed=3, errors=1)
    said = summary(result)
    assert said.count("[pg.auth.password]") == 1
    assert "explains 3 tests, first FILE::test_" in said
    assert "→ " in said
    assert "1 == 2" not in said
    assert "not-the-right-one" not in said


def test_server_that_is_gone_is_named(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import os, redis, time
        def test(real_redis):
            end = time.monotonic() + 30
            with redis.Redis.from_url(real_redis.url) as client:
                os.kill(client.info()["process_id"], 9)
                while time.monotonic() < end:
                    try:
                        client.ping()
                    except redis.ConnectionError as error:
                        # The connection that was open says less than one that is tried later.
                        if "refused" in str(error):
                            raise
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=1)
    assert "[net.refused]" in summary(result)


def test_what_the_server_says_of_a_lease_that_failed_is_told(suite: pytest.Pytester) -> None:
    suite.makefile(
        ".toml",
        envkit='services = ["postgres"]\n[postgres]\nsuperuser = true\npool = 0\n'
        "[postgres.settings]\nmax_connections = 8\nsuperuser_reserved_connections = 0",
    )
    suite.makepyfile(
        """
        import envkit, psycopg
        tenant = envkit.lease_fixture("postgres")
        def test(real_postgres, request):
            with real_postgres.connect() as boss:
                boss.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'postgres' AND backend_type = 'client backend'"
                )
            taken = []
            try:
                while len(taken) < 20:
                    taken.append(psycopg.connect(real_postgres.url))
            except psycopg.OperationalError:
                pass
            request.getfixturevalue("tenant")
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=1)
    assert "[pg.conn.too-many]" in summary(result)


def test_failures_of_the_application_are_not_mentioned(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def call(a): pass
        def test_assertion(): assert 1 == 2
        def test_arguments(): call(b=1)
        def test_fixture(nobody_has_this): pass
        def test_value(): int("x")
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=3, errors=1)
    result.stdout.no_fnmatch_line("*envkit: the environment*")


def test_run_that_passes_does_not_import_the_doctor(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import sys
        def pytest_unconfigure():
            print("loaded:", [name for name in sys.modules if name.startswith("envkit.doctor")])
        """
    )
    result = passes(suite, "def test(real_redis): pass")
    result.stdout.fnmatch_lines(["loaded: []"])


def test_declared_secret_that_is_not_set_is_told(suite: pytest.Pytester) -> None:
    suite.path.joinpath("envkit.toml").write_text("[secrets]\nJWT_SECRET = {}\n")
    suite.makepyfile(
        """
import os
def test_reads_it(): os.environ["JWT_SECRET"]
def test_of_the_application(): {}["JWT"]
"""
    )
    result = run(suite)
    result.assert_outcomes(failed=2)
    said = summary(result)
    assert "JWT_SECRET is not set [secret.missing]" in said
    assert "explains 1 test: " in said


def test_words_that_an_assertion_compares_are_no_evidence(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(): assert 'Connection refused' == 'FATAL: no such role'")
    result = run(suite)
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*envkit: the environment*")


def test_expected_failure_is_none(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest, redis
        @pytest.mark.xfail
        def test(): redis.Redis(port=1).ping()
        """
    )
    result = run(suite)
    result.assert_outcomes(xfailed=1)
    result.stdout.no_fnmatch_line("*envkit: the environment*")


def test_missing_driver_of_a_file_is_told(suite: pytest.Pytester) -> None:
    suite.makepyfile("import clickhouse_driver\ndef test(): pass")
    result = run(suite)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert summary(result) == snapshot("""\
clickhouse_driver is not installed [driver.missing]
  explains 1 failure: FILE
  Why: it is not installed in the environment that runs the tests
  → python -m pip install 'clickhouse-driver'
    install it with the Python that runs the tests
""")


def test_fixture_of_a_plugin_that_is_missing_is_told(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_one(mocker): pass\ndef test_two(mocker): pass")
    result = run(suite)
    result.assert_outcomes(errors=2)
    assert summary(result) == snapshot("""\
there is no fixture mocker [pytest.fixture.missing]
  explains 2 tests, first FILE::test_one
  Why: pytest-mock, which has it, is not installed or not loaded
  → python -m pip install pytest-mock
    install the plugin
""")


QUERY = "def test(real_postgres): real_postgres.connect().execute('SELECT * FROM users')"


def test_table_that_nothing_makes_is_told_with_the_key_that_would(suite: pytest.Pytester) -> None:
    suite.makepyfile(QUERY)
    result = run(suite)
    result.assert_outcomes(failed=1)
    assert summary(result) == snapshot("""\
there is no table users [pg.schema.table-missing]
  explains 1 test: FILE::test
  Why, probably: nothing has made it, or search_path or the database is another one
  → say how: migrate = "alembic upgrade head" or schema = ["db/schema.sql"] in the table of postgres
""")


def test_table_that_the_migrations_do_not_make_is_told_with_what_made_the_others(
    suite: pytest.Pytester,
) -> None:
    suite.path.joinpath("make.py").write_text(
        "def it(url):\n    import psycopg\n    with psycopg.connect(url) as db:\n"
        "        db.execute('CREATE TABLE other ()')\n"
    )
    suite.path.joinpath("envkit.toml").write_text("[postgres]\nmigrate = 'make:it'\n")
    suite.makepyfile(QUERY)
    result = run(suite)
    result.assert_outcomes(failed=1)
    assert summary(result) == snapshot("""\
there is no table users [pg.schema.table-missing]
  explains 1 test: FILE::test
  Why, probably: 'make:it' does not make it, or search_path or the database is another one
  → add what makes it, or see which database the connection names
""")


def test_passwords_in_the_words_of_an_error_are_masked(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test():
            raise ConnectionRefusedError(111, "Connection refused", "redis://:sesame-77@127.0.0.1:1")
        """
    )
    result = run(suite, "--tb=no", "-r", "N")
    assert "[net.refused]" in summary(result)
    result.stdout.no_fnmatch_line("*sesame-77*")


# -- under xdist -----------------------------------------------------------------------------------


def test_controller_says_it_once_for_all_workers(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest, redis
        @pytest.mark.parametrize("number", range(6))
        def test(number): redis.Redis(port=1).ping()
        """
    )
    result = run(suite, *TWO_WORKERS)
    result.assert_outcomes(failed=6)
    said = result.stdout.str()
    assert said.count("envkit: the environment") == 1
    assert "explains 6 tests, first " in said
    assert said.count("[net.refused]") == 1


def test_worker_that_died_is_told(suite: pytest.Pytester) -> None:
    suite.makepyfile("import os\ndef test_dies(): os._exit(1)")
    result = run(suite, *TWO_WORKERS, "--max-worker-restart=0")
    assert "[pytest.xdist.crash]" in summary(result)


# -- services that cannot come up ------------------------------------------------------------------


def test_run_that_cannot_begin_says_what_its_log_means(suite: pytest.Pytester) -> None:
    suite.makefile(
        ".toml", envkit='services = ["postgres"]\n[postgres.settings]\nshared_buffers = "900GB"'
    )
    suite.makepyfile("def test_one(real_postgres): pass\ndef test_two(real_postgres): pass")
    result = run(suite)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "Postgres ended with exit code 1 while starting [[]envkit.keeper.start-failed[]]",
            "*could not map anonymous shared memory: Cannot allocate memory",
            "Why: *",
            "→ *",
            "*[[]pg.mem[]]",
            "  what these words mean",
        ]
    )
    assert result.stdout.str().count("[pg.mem]") == 1


# -- nothing selected ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-k", "agent"], "by -k 'agent'"),
        (["-m", "real_services"], "by -m 'real_services'"),
        (["-k", "agent", "-m", "not slow"], "by -k 'agent' -m 'not slow'"),
        (["--collect-only", "-q", "-k", "agent"], "by -k 'agent'"),
        (["-k", "agent", *TWO_WORKERS], "by -k 'agent'"),
    ],
)
def test_nothing_selected_is_called_that(
    suite: pytest.Pytester, arguments: list[str], said: str
) -> None:
    suite.makepyfile("".join(f"def test_{n}(real_redis): pass\n" for n in range(12)))
    result = run(suite, *arguments)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert only_envkit_lines(result) == [f"envkit: 0 of 12 tests selected {said}"]


def test_conftest_that_deselects_everything_is_called_that(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        def pytest_collection_modifyitems(config, items):
            config.hook.pytest_deselected(items=list(items))
            items.clear()
        """
    )
    suite.makepyfile("def test(): pass")
    assert only_envkit_lines(run(suite)) == [
        "envkit: 0 of 1 test selected (deselected by a plugin or a conftest.py)"
    ]


def test_expression_without_any_test_is_told(suite: pytest.Pytester) -> None:
    assert only_envkit_lines(run(suite, "-k", "agent")) == [
        "envkit: no test was found that -k 'agent' could select"
    ]


def test_directory_without_tests_is_pytests_own_to_tell(suite: pytest.Pytester) -> None:
    result = run(suite)
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert only_envkit_lines(result) == []


def test_failure_beside_deselected_tests_is_no_empty_selection(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_one(): assert False\ndef test_two(): pass")
    assert only_envkit_lines(run(suite, "-k", "one")) == []


def test_terminal_without_the_signs_does_not_break_the_summary(suite: pytest.Pytester) -> None:
    suite.makepyfile("import redis\ndef test(): redis.Redis(port=1).ping()")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "-q"],
        cwd=suite.path,
        env=os.environ | {"PYTHONIOENCODING": "ascii:backslashreplace"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert r"\u2192 start the server" in done.stdout
