"""What is kept after a run, and what processes of tests cannot take away."""

from __future__ import annotations

import os
import signal
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
