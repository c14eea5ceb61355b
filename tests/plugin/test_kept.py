"""What is kept after a run, and what processes of tests cannot take away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.runs import envkit, passes, run

if TYPE_CHECKING:
    from tests.conftest import Leftovers


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


def kept(result: pytest.RunResult) -> dict[str, list[str]]:
    """Whose leases were kept, each with the command that leads there."""
    lines = [line for line in result.outlines if line.startswith("kept for ")]
    split = [line.removeprefix("kept for ").partition(": envkit ") for line in lines]
    return {whose.partition(".py::")[2]: command.split() for whose, _, command in split}


def typed(suite: pytest.Pytester, command: list[str], text: str) -> list[str]:
    """What a shell answers to a line from a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "envkit", *command],
        cwd=suite.path,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_tests_that_fail_around_the_call_are_kept_too(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.fixture
        def fails_before(real_redis):
            real_redis.client().set("left", "before")
            assert False
        @pytest.fixture
        def fails_after(real_redis):
            yield
            real_redis.client().set("left", "after")
            assert False
        def test_setup(fails_before): pass
        def test_teardown(fails_after): pass
        def test_passes(real_redis): pass
        """
    )
    result = run(suite, "--envkit-keep=failed")
    result.assert_outcomes(passed=2, errors=2)
    found = kept(result)
    assert list(found) == ["test_setup", "test_teardown"]
    for name, left in (("test_setup", "before"), ("test_teardown", "after")):
        assert typed(suite, found[name], "GET left\n") == [left]
    envkit(suite, "down")


def test_failure_after_the_fixtures_own_end_is_seen(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.fixture
        def fails_last():
            yield
            assert False
        def test(fails_last, real_redis): real_redis.client().set("left", "here")
        """
    )
    [command] = kept(run(suite, "--envkit-keep=failed")).values()
    assert typed(suite, command, "GET left\n") == ["here"]
    envkit(suite, "down")


def test_leases_of_tests_that_passed_are_gone(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(3))
        def test_passes(real_redis, number): pass
        def test_fails(real_redis): assert False
        """
    )
    run(suite, "--envkit-keep=failed").assert_outcomes(passed=3, failed=1)
    [keeper] = json.loads(envkit(suite, "status", "--format", "json").stdout.str())["keepers"]
    assert [service["leases"] for service in keeper["services"]] == [1]
    envkit(suite, "down")


def test_every_lease_of_a_failed_test_is_kept(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import envkit
        tenant = envkit.lease_fixture("redis")
        shared = envkit.lease_fixture("redis", scope="module")
        unused = envkit.lease_fixture("redis", scope="module")
        def test_passes(shared, unused): pass
        def test_fails(real_redis, tenant, shared): assert False
        def test_passes_too(shared): pass
        """
    )
    found = kept(run(suite, "--envkit-keep=failed"))
    assert list(found) == ["test_fails", "test_fails (tenant)", "test_fails (shared)"]
    envkit(suite, "down")


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_shared_lease_of_a_run_that_stops_at_a_failure_is_kept(
    suite: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    suite.makepyfile(
        """
        import envkit
        shared = envkit.lease_fixture("redis", scope="session")
        def test_fails(shared):
            shared.client().set("left", "here")
            assert False
        def test_never(shared): pass
        """
    )
    found = kept(run(suite, "-x", "--envkit-keep=failed", *workers))
    assert list(found) == ["test_fails (shared)"]
    assert typed(suite, found["test_fails (shared)"], "GET left\n") == ["here"]
    envkit(suite, "down")


def test_kept_leases_of_workers_are_told(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(4))
        def test(real_redis, number):
            real_redis.client().set("number", number)
            assert number == 2
        """
    )
    result = run(suite, "--envkit-keep=failed", "-p", "xdist", "-n", "2")
    found = kept(result)
    assert sorted(found) == ["test[0]", "test[1]", "test[3]"]
    for name, command in found.items():
        assert typed(suite, command, "GET number\n") == [name[5]]
    assert result.stdout.str().count("all of them stay until: envkit down") == 1
    envkit(suite, "down")


def test_kept_postgres_can_be_looked_into(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", envkit='services = ["postgres"]')
    suite.makepyfile(
        """
        def test(real_postgres):
            with real_postgres.connect() as connection:
                connection.execute("CREATE TABLE orders AS SELECT 42 AS id")
            assert False
        """
    )
    [command] = kept(run(suite, "--envkit-keep=failed")).values()
    assert "42" in " ".join(typed(suite, command, "SELECT id FROM orders;\n"))
    envkit(suite, "down")


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
