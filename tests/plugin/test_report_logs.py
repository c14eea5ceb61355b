"""Server logs in the report of a failed test: what was written during the test, and no more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot

from tests.plugin.runs import SERVICES, run, sections

if TYPE_CHECKING:
    from tests.foreign import Foreign


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
    logs = {title: text for title, text in sections(result) if title != SERVICES}
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


@pytest.mark.usefixtures("with_engine")
def test_log_of_a_container_that_tests_share_may_have_others_lines(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test(real_redis):
            real_redis.client().eval("redis.log(redis.LOG_WARNING, 'what happened')", 0)
            assert False
        """
    )
    _, (title, text) = sections(run(suite, "--envkit-backend=docker"))
    assert title == "redis log during this test (may have other tests' lines)"
    assert "what happened" in text


def test_nothing_is_said_of_the_log_of_somebody_elses_server(
    suite: pytest.Pytester, foreign_redis: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVKIT_REDIS_URL", foreign_redis.url)
    suite.makepyfile(
        """
        def test(real_redis):
            real_redis.client().eval("redis.log(redis.LOG_WARNING, 'what happened')", 0)
            assert False
        """
    )
    result = run(suite)
    [(title, text)] = sections(result)
    assert title == SERVICES
    assert f"at {foreign_redis.host}:" in text
    assert foreign_redis.password not in result.stdout.str()
