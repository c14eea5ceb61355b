"""Runs of pytest with the plugin in a project of their own."""

from __future__ import annotations

import sys

import pytest

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


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess(*OPTIONS, *arguments, timeout=60)


def envkit(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.run(sys.executable, "-m", "envkit", *arguments, timeout=60)


def passes(suite: pytest.Pytester, code: str, *arguments: str, passed: int = 1) -> pytest.RunResult:
    suite.makepyfile(code)
    result = run(suite, *arguments)
    result.assert_outcomes(passed=passed)
    return result
