"""How tests say what they want: by marker and by `envkit.lease_fixture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from envkit import services
from envkit.host import find_programs
from tests.plugin.runs import run

TEMPLATES = """
services = ["postgres", "redis"]
[postgres]
schema = ["full.sql"]
[postgres.templates.small]
schema = ["small.sql"]
[redis]
seed = ["seed.redis"]
"""


@pytest.fixture
def templates(suite: pytest.Pytester) -> pytest.Pytester:
    suite.makefile(".toml", envkit=TEMPLATES)
    suite.makefile(
        ".sql", full="CREATE TABLE full_one (x int);", small="CREATE TABLE small (x int);"
    )
    suite.makefile(".redis", seed="SET greeting hello")
    suite.makepyfile(
        ask="""
        def tables(services):
            with services.postgres.connect() as connection:
                found = connection.execute(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
                return [name for (name,) in found]
        """
    )
    return suite


def test_marker_chooses_a_template(templates: pytest.Pytester) -> None:
    templates.makepyfile(
        """
        import pytest
        from ask import tables

        def test_usual(real_services):
            assert tables(real_services) == ["full_one"]
            assert real_services.redis.client().get("greeting") == b"hello"

        @pytest.mark.real_services(template="small")
        def test_other_for_those_that_have_it(real_services):
            assert tables(real_services) == ["small"]
            assert real_services.redis.client().get("greeting") == b"hello"

        @pytest.mark.real_services("postgres", "redis", template="empty")
        class TestNothing:
            def test_none(self, real_services):
                assert tables(real_services) == []
                assert real_services.redis.client().dbsize() == 0
        """
    )
    run(templates).assert_outcomes(passed=3)


def test_one_service_fixtures_follow_the_marker(templates: pytest.Pytester) -> None:
    templates.makepyfile(
        """
        import pytest
        @pytest.mark.real_services(template="empty")
        def test(real_redis):
            assert real_redis.client().dbsize() == 0
        """
    )
    run(templates).assert_outcomes(passed=1)


def test_several_leases_of_different_templates_in_one_test(templates: pytest.Pytester) -> None:
    templates.makepyfile(
        """
        import envkit
        small = envkit.lease_fixture("postgres", template="small")
        bare = envkit.lease_fixture("postgres", template="empty", scope="module")
        def tables(handle):
            with handle.connect() as connection:
                found = connection.execute("SELECT tablename FROM pg_tables"
                                           " WHERE schemaname = 'public'").fetchall()
            return found
        def test(real_postgres, small, bare):
            assert tables(real_postgres) == [("full_one",)]
            assert tables(small) == [("small",)]
            assert tables(bare) == []
        """
    )
    run(templates).assert_outcomes(passed=1)


def test_lease_fixture_alone_takes_no_other_lease(templates: pytest.Pytester) -> None:
    templates.makepyfile(
        """
        import envkit, json, subprocess, sys
        tenant = envkit.lease_fixture("postgres")
        def test(real_redis, tenant):
            said = subprocess.run([sys.executable, "-m", "envkit", "status", "--format", "json"],
                                  stdout=subprocess.PIPE, check=True).stdout
            [keeper] = json.loads(said)["keepers"]
            leases = {one["service"]: one["leases"] for one in keeper["services"]}
            assert leases == {"postgres": 1, "redis": 1}
        """
    )
    run(templates).assert_outcomes(passed=1)


def test_isolation_of_redis_is_chosen_by_test(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import envkit, pytest, redis
        shared = envkit.lease_fixture("redis", isolation="database")

        @pytest.mark.real_services(isolation="database")
        def test_database(real_redis, shared):
            assert real_redis.port == shared.port
            assert real_redis.database != shared.database
            with pytest.raises(redis.exceptions.NoPermissionError):
                real_redis.client().flushall()

        def test_server(real_redis, shared):
            assert real_redis.port != shared.port
            real_redis.client().flushall()
        """
    )
    run(suite).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("template='smal'", "there is no template 'smal' of postgres, redis"),
        ("isolation='process'", "isolation of the marker real_services is 'process'"),
        ("version=18", "version of the marker real_services is 18; expected a version"),
        ("backend='docker'", "takes services and template, version, isolation, not backend"),
    ],
)
def test_marker_that_says_what_it_cannot_is_a_usage_error(
    templates: pytest.Pytester, said: str, told: str
) -> None:
    templates.makepyfile(
        f"""
        import pytest
        @pytest.mark.real_services({said})
        def test(real_services): pass
        """
    )
    result = run(templates)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert told in " ".join(result.stderr.str().split())


def _majors() -> list[str]:
    found = find_programs(services.load("postgres").programs)
    return sorted({one.version.split(".")[0] for one in found}, key=int)


def test_tests_of_postgres_run_with_each_configured_version(suite: pytest.Pytester) -> None:
    majors = _majors()
    if len(majors) < 2:
        pytest.skip(f"only Postgres {', '.join(majors) or 'none'} here: put another on PATH")
    old, new = majors[0], majors[-1]
    Path("schema.sql").write_text("CREATE TABLE t (id serial, x int);")
    suite.makefile(
        ".toml",
        envkit='services = ["postgres", "redis"]\n[postgres]\nschema = ["schema.sql"]\n'
        f'versions = ["{old}", "{new}"]',
    )
    suite.makepyfile(
        f"""
        import envkit, pytest
        OLD, NEW = {old}, {new}
        first = envkit.lease_fixture("postgres", version=str(OLD))

        def major(handle):
            with handle.connect() as connection:
                assert connection.execute("INSERT INTO t VALUES (DEFAULT, 1) RETURNING id"
                                          ).fetchone() == (1,)
                return connection.info.server_version // 10000

        @pytest.mark.parametrize("n", range(4))
        def test_each(real_postgres, request, n):
            assert f"postgres-{{major(real_postgres)}}" in request.node.name

        def test_all_services(real_services):
            assert major(real_services.postgres) in (OLD, NEW)

        def test_redis_runs_once(real_redis): pass

        @pytest.mark.real_services("postgres", version=str(OLD))
        def test_one_of_them(real_services, first):
            assert major(real_services.postgres) == major(first) == OLD
        """
    )
    run(suite).assert_outcomes(passed=2 * 4 + 2 + 1 + 1)
