"""What the report of a failed test says about the services that it had."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from inline_snapshot import snapshot

from tests.plugin.runs import OPTIONS, SERVICES, envkit, passes, run, sections

TWO_WORKERS = ("-p", "xdist", "-n", "2")


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


def test_subtests_that_fail_are_told_each(suite: pytest.Pytester) -> None:
    pytest.importorskip("_pytest.subtests", reason="pytest 9 has them")
    suite.makepyfile(
        """
        def test(real_redis, subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number == 1
        """
    )
    assert [title for title, _ in sections(run(suite))] == [SERVICES] * 2


def test_expected_failure_is_none(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.xfail
        def test(real_redis): assert False
        """
    )
    result = run(suite, "--envkit-keep=failed")
    result.assert_outcomes(xfailed=1)
    result.stdout.no_fnmatch_line("kept for *")


def test_unittest_classes_are_told_too(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest, unittest
        @pytest.mark.usefixtures("real_services")
        class Test(unittest.TestCase):
            def test(self): self.assertEqual(self.real_services.redis.client().get("a"), b"1")
        """
    )
    assert [title for title, _ in sections(run(suite))] == [SERVICES]


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
    assert [title for title, _ in sections(result)] == [SERVICES]


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
    assert [title for title, _ in sections(result)] == [SERVICES]


def test_workers_of_xdist_tell_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(4))
        def test(real_redis, number): assert False
        """
    )
    assert [title for title, _ in sections(run(suite, *TWO_WORKERS))] == [SERVICES] * 4


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
        ("-q", [SERVICES, "redis log during this test"]),
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
