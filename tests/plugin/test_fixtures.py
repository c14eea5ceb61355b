# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What the plugin's fixtures give, and how long."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot

from envkit import lease_fixture
from envkit.errors import UsageError
from tests.plugin.runs import passes, run


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


def test_report_of_a_failing_test_shows_no_password_of_isolated_env(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile("def test(isolated_env): assert isolated_env == {}")
    result = run(suite)
    result.assert_outcomes(failed=1)
    assert "redis://" not in result.stdout.str().replace("redis://:***@", "")


def test_every_redis_of_a_run_begins_with_what_the_seed_put_there(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["redis"]\n[redis]\nseed = ["seed.redis"]')
    suite.makefile(".redis", seed="SET greeting hello")
    passes(
        suite,
        """
        import pytest
        @pytest.mark.parametrize("n", range(3))
        def test(real_redis, n):
            redis = real_redis.client(decode_responses=True)
            assert redis.keys() == ["greeting"]
            redis.set("greeting", n)
            redis.set("mine", n)
        """,
        passed=3,
    )
