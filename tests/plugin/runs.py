"""Runs of pytest with the plugin in a project of their own."""

from __future__ import annotations

import re
import sys

import pytest

# Other plugins are not loaded: they take most of the time of such a small run.
OPTIONS = (
    *("--disable-plugin-autoload", "-p", "envkit"),
    *("-p", "no:cacheprovider", "-W", "error", "-rs"),
)
#: Title of a report's section about the services of the test.
SERVICES = "envkit: services of this test"
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


def sections(result: pytest.RunResult) -> list[tuple[str, str]]:
    """Title and text of our sections in the order of the output, without what changes each time."""
    found: list[tuple[str, str]] = []
    title, text = "", ""
    for line in [*result.outlines, "---- end ----"]:
        if re.match(r"(---|===|___|\[gw)|E? +File |!!!", line):
            if title == SERVICES or " log " in title:
                found.append((title, _steady(text)))
            title, text = line.strip("-_= "), ""
        else:
            text += f"{line}\n"
    return found


def _steady(text: str) -> str:
    text = re.sub(r"lease_(\d+_)?[0-9a-f]{6,10}", "LEASE", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"\b(Valkey|Redis|PostgreSQL) [\d.]+", "PRODUCT VERSION", text)
    text = re.sub(r"(?m)^\d\d:\d\d:\d\d\.\d{3} UTC", "TIME", text)
    return re.sub(r"(?m)^TIME \[\d+\]", "TIME [PID]", text)
