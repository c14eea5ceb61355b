"""The pytest plugin of the child in which ``envkit test`` runs a category.

Writes what happens, as lines of JSON, into the file that its orders name: nobody has to parse what
pytest prints, and what was written before a crash stays. xdist's workers load it as well and tell
the controller.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from envkit.pytest_selection import expression_of, has_any
from envkit.selection import ORDERS, PLUGIN

__all__ = ["LIFELINE"]

#: Environment variable with the file descriptor that comes to its end when ``envkit test`` does.
LIFELINE: Final = "_ENVKIT_CATEGORY_LIFELINE"

pytest_plugins = [PLUGIN]

_GRACE_S: Final = 5.0
_MOST_SYMPTOMS: Final = 50  # failed tests that are looked into
_LONGEST: Final = 500
_OUTPUT: Final = "envkit_category"  # of an xdist worker
# Fixtures of ours that do nothing but wait for a lease.
_WAITING: Final = frozenset({"_envkit_lease", "real_services_session"})


class _Events:
    """The file that ``envkit test`` reads."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._process = os.getpid()

    def write(self, what: str, **about: Any) -> None:
        if os.getpid() != self._process:
            return  # a test has forked, and its child goes on as if it were pytest
        line = json.dumps({"is": what, **about})
        os.write(self._file, line.encode("utf-8", "backslashreplace") + b"\n")


class _Category:
    """What happens while pytest runs."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._events: _Events | None = None
        self._begun = 0.0
        self._waited = 0.0
        self._selected = 0
        self._deselected = 0
        self._expression = ""
        self._symptoms = 0
        self._tests: dict[str, tuple[list[str], float, str]] = {}
        self._is_over = False

    # -- before the tests ---------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        if not hasattr(config, "workerinput"):
            self._events = _Events(self._told["events"])
        if self._told["junit"] and not getattr(config.option, "xmlpath", None):
            config.option.xmlpath = self._told["junit"]
        result = yield
        if not has_any(config):
            self._write("elsewhere")
        self._end()  # without a session, as with --markers
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._deselected += len(items)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None, object, object]:
        self._selected = len(session.items)
        self._expression = expression_of(session.config)
        self._say_selected()
        self._begun = time.monotonic()
        return (yield)

    @pytest.hookimpl(specname="pytest_collection_finish")
    def pytest_collection_finished(self) -> None:
        # envkit's own plugin has waited for them by now, as it comes first.
        self._waited += time.monotonic() - self._begun

    def _say_selected(self) -> None:
        self._write(
            "selected",
            selected=self._selected,
            deselected=self._deselected,
            expression=self._expression,
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        if fixturedef.argname not in _WAITING and not hasattr(fixturedef.func, "envkit_need"):
            return (yield)
        begun = time.monotonic()
        try:
            return (yield)
        finally:
            self._waited += time.monotonic() - begun

    # -- reports ------------------------------------------------------------------------------

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write("uncollected", test=report.nodeid, **self._about(report))
        elif report.skipped and isinstance(report.longrepr, tuple):
            self._write("skipped file", test=report.nodeid, why=_reason(report))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write("begun", test=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._events is None:
            return
        outcomes, seconds, why = self._tests.get(report.nodeid, ([], 0.0, ""))
        if outcome := _outcome(report):
            outcomes.append(outcome)
        if report.skipped:
            why = why or _reason(report)
        if report.failed:
            self._write("failed", test=report.nodeid, **self._about(report))
        self._tests[report.nodeid] = (outcomes, seconds + report.duration, why)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        outcomes, seconds, why = self._tests.pop(nodeid, ([], 0.0, ""))
        self._write("test", test=nodeid, outcomes=outcomes, seconds=round(seconds, 4), why=why)

    def _about(self, report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any]:
        self._symptoms += 1
        if self._symptoms > _MOST_SYMPTOMS:
            return {}
        from envkit.pytest_findings import ATTRIBUTE

        return {"said": _said(report), "symptoms": getattr(report, ATTRIBUTE, [])}

    # -- the end ------------------------------------------------------------------------------

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._write("stopped", why=_words(excinfo.value))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        value = excinfo.value
        self._write("stopped", why=str(getattr(value, "msg", "") or value)[:_LONGEST])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._selected = len(ids)
        self._say_selected()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if told is None:  # it died
            return
        # All of them collect the same, and wait at the same time.
        self._deselected, self._expression = told["deselected"], told["expression"]
        self._waited = max(self._waited, told["waited"])

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = {
                "deselected": self._deselected,
                "expression": self._expression,
                "waited": self._waited,
            }
            return (yield)
        try:
            return (yield)  # xdist's workers end in here
        finally:
            if self._expression or self._deselected:
                self._say_selected()
            for nodeid, (outcomes, *_) in list(self._tests.items()):
                if {"failed", "error"} & set(outcomes):  # by the death of an xdist worker
                    self.pytest_runtest_logfinish(nodeid)
            self._write("waited", seconds=round(self._waited, 4))
            if failure := _failure(session.config):
                self._write("no services", error=failure)
            self._end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        report = getattr(config.option, "xmlpath", None)
        if report:
            self._write("junit", path=str(Path(config.invocation_params.dir, report)))

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._write("end")

    def _write(self, what: str, **about: Any) -> None:
        if self._events is not None:
            self._events.write(what, **about)


def _outcome(report: pytest.TestReport) -> str:
    """As pytest counts it; empty if it does not."""
    if report.outcome not in ("passed", "failed", "skipped"):
        return ""  # as pytest-rerunfailures has it of a test that it runs once more
    expected_to_fail = hasattr(report, "wasxfail")
    if report.failed:
        # xdist has "???" for what a worker died of.
        return "error" if report.when in ("setup", "teardown") else "failed"
    if report.skipped:
        return "xfailed" if expected_to_fail else "skipped"
    if report.when != "call" or type(report).__name__ == "SubtestReport":
        return ""
    return "xpassed" if expected_to_fail else "passed"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if not isinstance(report.longrepr, tuple):
        return ""
    return str(report.longrepr[2]).removeprefix("Skipped: ")[:_LONGEST]


def _said(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What the short summary of pytest says of a failure, one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr or "").strip()
    # A file that cannot be imported has the error in the last line, a failed test in the first.
    lines = text.splitlines() or [""]
    return (lines[0] if crash is not None else lines[-1]).removeprefix("E ").strip()[:_LONGEST]


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:_LONGEST]


def _failure(config: pytest.Config) -> dict[str, str] | None:
    """Why envkit's own plugin could not have the services, if so."""
    from envkit import pytest_plugin

    run = config.stash.get(pytest_plugin._RUN, None)
    return run.failure.as_dict() if run is not None and run.failure is not None else None


def _end_with_envkit_test(lifeline: int) -> None:
    """No run outlives who asked for it, not even one that is killed: it tears down, and ends.

    And it removes the files that it was asked to write, which nobody else is there to do.
    """
    scratch = json.loads(os.environ[ORDERS])["scratch"]
    # What a script starts in the background has inherited Ctrl-C as ignored.
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    gentle = signal.SIGTERM if ignored else signal.SIGINT

    def wait() -> None:
        os.read(lifeline, 1)
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)  # after the JUnit file
        os.kill(os.getpid(), gentle)
        time.sleep(_GRACE_S)
        shutil.rmtree(scratch, ignore_errors=True)
        leads = os.getpgrp() == os.getpid()
        (os.killpg if leads else os.kill)(os.getpid(), signal.SIGKILL)

    os.set_inheritable(lifeline, False)
    threading.Thread(target=wait, name="envkit-lifeline", daemon=True).start()


# As early as can be: what the project's conftest.py does may take long.
if LIFELINE in os.environ:
    _end_with_envkit_test(int(os.environ.pop(LIFELINE)))


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    if ORDERS not in os.environ:
        return
    plugin = _Category(json.loads(os.environ[ORDERS]))
    early_config.pluginmanager.register(plugin, "envkit-category")
