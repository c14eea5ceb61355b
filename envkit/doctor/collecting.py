"""The pytest plugin of the child in which the doctor collects tests.

Writes what was collected, and what was in the way, as one line of JSON into the pipe that
`VARIABLE` names, so that nobody has to parse what pytest prints.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from envkit.doctor.pytest_plugins import owner_of_fixture
from envkit.pytest_selection import expression_of
from envkit.selection import PLUGIN

__all__ = ["LIFELINE", "VARIABLE"]

#: Environment variable with the number of the file descriptor to write to.
VARIABLE: Final = "_ENVKIT_COLLECTING_FD"
#: Environment variable with the file descriptor that comes to its end when the doctor does.
LIFELINE: Final = "_ENVKIT_COLLECTING_LIFELINE"
pytest_plugins = [PLUGIN]

# Together they fit into a pipe that nobody reads before the child has ended (64 KiB on Linux).
_MOST: Final = 12
_LONGEST: Final = 1500


class _Seen:
    """What happens while pytest collects."""

    def __init__(self) -> None:
        self.deselected = 0
        self.skipped: list[str] = []
        self.symptoms: list[dict[str, Any]] = []
        self.shadowed: dict[str, str] = {}

    def add(self, symptoms: list[dict[str, Any]]) -> None:
        self.symptoms += symptoms[: _MOST - len(self.symptoms)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += len(items)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skipped.append(str(report.longrepr[2]).removeprefix("Skipped: "))
        call = getattr(report, "call", None)
        if report.failed and call is not None and call.excinfo is not None:
            self.add(_symptoms_of(call.excinfo.value, report.nodeid, len(self.symptoms) + 1))
        return report

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, nodeid: str
    ) -> None:
        category = warning_message.category.__name__
        if category.startswith("Pytest"):  # others are the application's
            text = f"{warning_message.filename}:{warning_message.lineno}: {category}: "
            text += str(warning_message.message)
            self.add([{"source": "pytest", "text": text[:_LONGEST], "where": nodeid}])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.pluginmanager.has_plugin("envkit"):
            for item in session.items:
                self._look_for_shadows(item)

    def _look_for_shadows(self, item: pytest.Item) -> None:
        info = getattr(item, "_fixtureinfo", None)
        for name, definitions in (info.name2fixturedefs if info is not None else {}).items():
            nearest = definitions[-1]
            theirs = getattr(nearest.func, "__module__", "") != "envkit.pytest_plugin"
            ours = owner_of_fixture(name) == "envkit-services"
            # One that asks for the fixture of its own name adds to ours.
            if ours and theirs and name not in nearest.argnames:
                code = getattr(nearest.func, "__code__", None)
                self.shadowed[name] = code.co_filename if code else str(nearest.func)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        config = session.config
        told = {
            "exit_code": int(exitstatus),
            "selected": len(session.items) if hasattr(session, "items") else 0,
            "deselected": self.deselected,
            "skipped": self.skipped[:_MOST],
            "expression": expression_of(config),
            "shadowed": {name: _short(path, config) for name, path in self.shadowed.items()},
            "symptoms": self.symptoms,
        }
        with open(int(os.environ[VARIABLE]), "wb", closefd=False) as pipe:
            pipe.write(json.dumps(told).encode() + b"\n")


def _symptoms_of(error: BaseException, nodeid: str, block: int) -> list[dict[str, Any]]:
    import msgspec

    from envkit.doctor.symptoms import from_exception

    return [
        msgspec.to_builtins(msgspec.structs.replace(one, text=one.text[:_LONGEST]))
        for one in from_exception(error, where=nodeid, block=block)
    ]


def _short(path: str, config: pytest.Config) -> str:
    try:
        return str(Path(path).relative_to(config.rootpath))
    except ValueError:
        return path


def _end_with_the_doctor(lifeline: int) -> None:
    """Nothing of a look outlives who looks, not even one that is killed."""

    def wait() -> None:
        os.read(lifeline, 1)
        os.killpg(0, signal.SIGKILL)  # this process and all that it has started

    os.set_inheritable(lifeline, False)
    threading.Thread(target=wait, name="envkit-lifeline", daemon=True).start()


# As early as can be: the project's conftest.py is imported before pytest_configure is called.
if LIFELINE in os.environ:
    _end_with_the_doctor(int(os.environ.pop(LIFELINE)))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if VARIABLE in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Seen(), "envkit-collecting")
    # A look changes nothing: neither the report of the last run nor what pytest remembers of it.
    config.option.xmlpath = None


def pytest_sessionstart(session: pytest.Session) -> None:
    cache = getattr(session.config, "cache", None)
    if cache is not None:
        cache.set = lambda key, value: None  # noqa: ARG005 - as of pytest's Cache
