"""What the report of a failed test says about the services that it had."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from inline_snapshot import snapshot

from tests.plugin.runs import OPTIONS, envkit, passes, run

TITLE = "envkit: services of this test"
TWO_WORKERS = ("-p", "xdist", "-n", "2")


def sections(result: pytest.RunResult) -> list[tuple[str, str]]:
    """Title and text of our sections in the order of the output, without what changes each time."""
    found: list[tuple[str, str]] = []
    title, text = "", ""
    for line in [*result.outlines, "---- end ----"]:
        if re.match(r"(---|===|___|\[gw)|E? +File |!!!", line):
            if title == TITLE or " log " in title:
                found.append((title, _steady(text)))
            title, text = line.strip("-_= "), ""
        else:
            text += f"{line}\n"
    return found


def _steady(text: str) -> str:
    text = re.sub(r"lease_\d+_[0-9a-f]{6}", "LEASE", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"\b(Valkey|Redis|PostgreSQL) [\d.]+", "PRODUCT VERSION", text)
    text = re.sub(r"(?m)^\d\d:\d\d:\d\d\.\d{3} UTC", "TIME", text)
    return re.sub(r"(?m)^TIME \[\d+\]", "TIME [PID]", text)


@pytest.fixture
def postgres(suite: pytest.Pytester) -> pytest.Pytester:
    """A project whose tests have Postgres, and a way to make its server write into its log."""
    suite.makefile(".toml", envkit='services = ["postgres"]')
    suite.makepyfile(
        ask="""
        import psycopg
        def ask(services, statement):
            try:
                with psycopg.connect(services.url, autocommit=True) as connection:
                    connection.execute(statement)
            except psycopg.Error:
                pass
        """
    )
    return suite


# -- where the services are ------------------------------------------------------------------------


def test_failed_test_says_where_its_services_were(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pathlib
        def test(real_redis):
            pathlib.Path("password").write_text(real_redis.password)
            assert False
        """
    )
    result = run(suite)
    assert sections(result) == snapshot(
        [
            (
                "envkit: services of this test",
                """\
redis: PRODUCT VERSION at 127.0.0.1:PORT, database 0
    redis://:***@127.0.0.1:PORT/0
gone after the test: --envkit-keep=failed keeps its databases
""",
            )
        ]
    )
    assert (suite.path / "password").read_text() not in result.stdout.str()


@pytest.mark.parametrize("keep", ["failed", "all"])
def test_line_to_paste_is_there_if_the_lease_stays(suite: pytest.Pytester, keep: str) -> None:
    suite.makepyfile("def test(real_redis): assert False")
    [(_, text)] = sections(run(suite, f"--envkit-keep={keep}"))
    assert "    envkit shell redis --lease LEASE\n" in text
    assert "gone" not in text
    envkit(suite, "down")


def test_lease_of_a_second_tenant_is_named_by_its_fixture(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import envkit
        tenant = envkit.lease_fixture("redis")
        def test(real_redis, tenant): assert False
        """
    )
    [(_, text)] = sections(run(suite))
    heads = [line.partition(": ")[0] for line in text.splitlines() if not line.startswith(" ")]
    assert heads == ["redis", "redis (tenant)", "gone after the test"]


def test_test_without_services_says_nothing(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import envkit
        whole = envkit.lease_fixture("redis", scope="module")
        def test_with(whole): pass
        def test_without(): assert False
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=1, failed=1)
    assert sections(result) == []


@pytest.mark.parametrize("scope", ["module", "session"])
def test_shared_lease_is_told_in_each_test_that_uses_it(suite: pytest.Pytester, scope: str) -> None:
    suite.makepyfile(
        f"""
        import envkit, pytest
        shared = envkit.lease_fixture("redis", scope={scope!r})
        @pytest.mark.parametrize("number", [1, 2])
        def test(shared, number): assert False
        """
    )
    result = run(suite)
    result.assert_outcomes(failed=2)
    assert [text.partition(":")[0] for _, text in sections(result)] == ["redis (shared)"] * 2


def test_unittest_classes_are_told_too(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest, unittest
        @pytest.mark.usefixtures("real_services")
        class Test(unittest.TestCase):
            def test(self): self.assertEqual(self.real_services.redis.client().get("a"), b"1")
        """
    )
    assert [title for title, _ in sections(run(suite))] == [TITLE]


def test_services_of_a_failed_setup_are_told(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.fixture
        def filled(real_redis): real_redis.client().incr("a", "b")
        def test(filled): pass
        """
    )
    result = run(suite)
    result.assert_outcomes(errors=1)
    assert [title for title, _ in sections(result)] == [TITLE]


def test_services_of_a_failed_teardown_are_told(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.fixture
        def filled(real_redis):
            yield
            assert False
        def test(filled): pass
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=1, errors=1)
    assert [title for title, _ in sections(result)] == [TITLE]


def test_workers_of_xdist_tell_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(4))
        def test(real_redis, number): assert False
        """
    )
    assert [title for title, _ in sections(run(suite, *TWO_WORKERS))] == [TITLE] * 4


def test_lease_that_could_not_be_had_is_not_told(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(real_redis): pass")
    assert sections(run(suite, "--envkit=require", "--envkit-backend=docker")) == []


def test_keeper_that_is_gone_keeps_nothing(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import envkit, json, os, signal, subprocess, sys
        tenant = envkit.lease_fixture("redis")
        def test(real_redis, request):
            said = subprocess.run([sys.executable, "-m", "envkit", "status", "--format", "json"],
                                  stdout=subprocess.PIPE, check=True).stdout
            os.kill(json.loads(said)["keepers"][0]["pid"], signal.SIGKILL)
            request.getfixturevalue("tenant")
        """
    )
    result = run(suite, "--envkit-keep=failed")
    [(_, text)] = sections(result)
    assert "gone: the process that kept the servers has ended\n" in text
    assert "envkit shell" not in result.stdout.str()


def test_run_that_passes_does_not_import_it(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import sys
        REPORT = "envkit.pytest_report"
        def pytest_unconfigure():
            print("loaded:", [one in sys.modules for one in ("envkit.pytest_run", REPORT)])
        """
    )
    result = passes(suite, "def test(real_redis): pass")
    result.stdout.fnmatch_lines(["loaded: [[]True, False[]]"])


# -- how it is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "titles"),
    [
        ("--show-capture=no", []),
        ("--show-capture=log", ["redis log during this test"]),
        ("--tb=no", []),
        ("-q", [TITLE, "redis log during this test"]),
    ],
)
def test_pytests_own_options_go_for_it(
    suite: pytest.Pytester, option: str, titles: list[str]
) -> None:
    suite.makepyfile(
        """
        def test(real_redis):
            real_redis.client().eval("redis.log(redis.LOG_WARNING, 'here')", 0)
            assert False
        """
    )
    result = run(suite, option)
    result.assert_outcomes(failed=1)
    assert [title for title, _ in sections(result)] == titles


def test_run_without_a_terminal_is_unharmed(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test(real_redis): assert False")
    options = [one for one in OPTIONS if one != "-rs"]  # which is the terminal's
    result = suite.runpytest_subprocess(*options, "-p", "no:terminal", "--envkit-keep=failed")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.stderr.str() == ""
    envkit(suite, "down")


def test_what_a_server_writes_cannot_harm_a_terminal_or_a_file(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        from ask import ask
        def test(real_postgres):
            ask(real_postgres, 'SELECT "\\x1b[31m\\x07\\x85\\u202e<&]]>"')
            assert False
        """
    )
    result = run(postgres, "--junit-xml=junit.xml", "-o", "junit_logging=all")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.stdout.str())
    (_, text) = sections(result)[1]
    assert r'column "\x1b[31m\x07\x85\u202e<&]]>" does not exist' in text
    assert ElementTree.parse(postgres.path / "junit.xml").findall(".//failure")


# -- logs ------------------------------------------------------------------------------------------


def test_server_log_of_the_test_alone_is_shown(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import envkit
        from ask import ask
        def test_before(real_postgres):
            ask(real_postgres, "SELECT 1 FROM before")
        def test(real_postgres):
            ask(real_postgres, "SELECT 1\\nFROM during\\nWHERE true")
            with envkit.lease("postgres") as another:
                ask(another.postgres, "SELECT 1\\nFROM elsewhere")
            ask(real_postgres, "DO $$BEGIN PERFORM 1/0; END$$")
            assert False
        """
    )
    result = run(postgres)
    result.assert_outcomes(passed=1, failed=1)
    assert sections(result)[1:] == snapshot(
        [
            (
                "postgres log during this test",
                """\
TIME [PID] ERROR:  relation "during" does not exist at character 15
TIME [PID] STATEMENT:  SELECT 1
    FROM during
    WHERE true
TIME [PID] ERROR:  division by zero
TIME [PID] CONTEXT:  SQL statement "SELECT 1/0"
    PL/pgSQL function inline_code_block line 1 at PERFORM
TIME [PID] STATEMENT:  DO $$BEGIN PERFORM 1/0; END$$
""",
            )
        ]
    )


def test_each_database_has_its_own_lines(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import envkit
        from ask import ask
        tenant = envkit.lease_fixture("postgres")
        def test(real_postgres, tenant):
            ask(tenant, "SELECT 1 FROM theirs")
            ask(real_postgres, "SELECT 1 FROM mine")
            assert False
        """
    )
    _, *logs = sections(run(postgres))
    assert [(title, re.findall(r'relation "(\w+)"', text)) for title, text in logs] == [
        ("postgres log during this test", ["mine"]),
        ("postgres log during this test (fixture tenant)", ["theirs"]),
    ]


def test_log_of_a_shared_lease_begins_with_the_test(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import envkit
        from ask import ask
        shared = envkit.lease_fixture("postgres", scope="module")
        def test_before(shared): ask(shared, "SELECT 1 FROM before")
        def test(shared):
            ask(shared, "SELECT 1 FROM during")
            assert False
        """
    )
    _, (title, text) = sections(run(postgres))
    assert title == "postgres log during this test (fixture shared)"
    assert text == snapshot("""\
TIME ERROR:  relation "during" does not exist at character 15
TIME STATEMENT:  SELECT 1 FROM during
""")


def test_lines_before_and_after_the_failure_are_told_once_each(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import pytest
        from ask import ask
        @pytest.fixture
        def cleaned(real_postgres):
            yield
            ask(real_postgres, "SELECT 1 FROM at_the_end")
            assert False
        def test(real_postgres, cleaned):
            ask(real_postgres, "SELECT 1 FROM in_the_test")
            assert False
        """
    )
    result = run(postgres)
    result.assert_outcomes(failed=1, errors=1)
    logs = {title: text for title, text in sections(result) if title != TITLE}
    assert [(title, re.findall(r'relation "(\w+)"', text)) for title, text in logs.items()] == [
        ("postgres log since it failed", ["at_the_end"]),
        ("postgres log during this test", ["in_the_test"]),
    ]


def test_death_of_a_server_process_is_about_every_database(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import envkit, os, psycopg, pytest
        def test(real_postgres):
            with envkit.lease("postgres") as another:
                connection = psycopg.connect(another.postgres.url)
                os.kill(connection.info.backend_pid, 9)
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
                connection.close()
            assert False
        """
    )
    _, (_, text) = sections(run(postgres))
    assert "was terminated by signal 9" in text
    assert "checkpoint" not in text


def test_long_log_is_cut_and_says_so(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import psycopg
        def test(real_postgres):
            with psycopg.connect(real_postgres.url, autocommit=True) as connection:
                for number in range(30):
                    try:
                        connection.execute(f"SELECT {'x' * 5 * number} FROM number_{number}")
                    except psycopg.Error:
                        pass
            assert False
        """
    )
    _, (_, text) = sections(run(postgres))
    first, *rest = text.splitlines()
    assert first == "(40 lines before these left out)"
    assert len(rest) == 20
    assert "number_29" in text


def test_long_lines_are_cut_and_say_so(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        from ask import ask
        def test(real_postgres):
            for _ in range(10):
                ask(real_postgres, f"SELECT '{'y' * 10_000}'::int")
            assert False
        """
    )
    _, (_, text) = sections(run(postgres))
    assert len(text) < 4500
    first, *rest = text.splitlines()
    assert first == f"({20 - len(rest)} lines before these left out)"
    assert all(line.endswith("y (…)") for line in rest)


def test_log_that_is_too_long_to_be_read_is_not_counted(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        from ask import ask
        def test(real_postgres):
            for _ in range(20):
                ask(real_postgres, f"SELECT '{'y' * 100_000}'::int")
            assert False
        """
    )
    _, (_, text) = sections(run(postgres))
    assert text.startswith("(at least ")


def test_passwords_in_logs_are_masked(postgres: pytest.Pytester) -> None:
    postgres.makepyfile(
        """
        import pathlib
        from ask import ask
        def test(real_postgres):
            pathlib.Path("password").write_text(real_postgres.password)
            ask(real_postgres, f"SELECT '{real_postgres.password}'::int")
            ask(real_postgres, "CREATE ROLE app PASSWORD 'it''s-sesame'")
            ask(real_postgres, "SELECT 'redis://:sesame@127.0.0.1:1'::int")
            assert False
        """
    )
    result = run(postgres)
    _, (_, text) = sections(result)
    assert text.count("***") == 5
    assert "sesame" not in text
    assert (postgres.path / "password").read_text() not in text


def test_other_prefix_of_the_project_is_shown_as_it_is(postgres: pytest.Pytester) -> None:
    (postgres.path / "envkit.toml").write_text(
        'services = ["postgres"]\n[postgres.settings]\nlog_line_prefix = "<%d> "'
    )
    postgres.makepyfile(
        """
        from ask import ask
        def test(real_postgres):
            ask(real_postgres, "SELECT 1 FROM during")
            assert False
        """
    )
    _, (title, text) = sections(run(postgres))
    assert title == "postgres log during this test (may have other tests' lines)"
    assert '<LEASE> ERROR:  relation "during" does not exist' in text


def test_log_of_a_redis_of_the_tests_own_is_shown(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test(real_redis):
            real_redis.client().eval("redis.log(redis.LOG_WARNING, 'what happened')", 0)
            assert False
        """
    )
    _, (title, text) = sections(run(suite))
    assert title == "redis log during this test"
    [line] = text.splitlines()
    assert line.endswith("what happened")
