"""Faults of selection, collection and usage, provoked in real runs of pytest."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from envkit.doctor.model import Facts
from envkit.doctor.symptoms import from_text
from envkit.doctor.triage import findings_of

if TYPE_CHECKING:
    from tests.conftest import Project

TWO = "def test_one(): pass\ndef test_two(): pass\n"
PLAIN = "def test(): pass\n"


class Fault(Struct, frozen=True, kw_only=True):
    """A project in which a command of pytest's goes wrong.

    Attributes:
        arguments: Of the command.
        title: What is said of it, if that has to be exact.
        at_collection: Whether collecting alone shows it.
    """

    slug: str
    files: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    title: str = ""
    at_collection: bool = True


FAULTS = {
    "everything deselected": Fault(
        slug="pytest.select.empty",
        files={"test_it.py": TWO},
        arguments=("-k", "agent"),
        title="0 of 2 tests selected by -k 'agent'",
    ),
    "no test with the marker": Fault(
        slug="pytest.select.empty",
        files={"test_it.py": TWO},
        arguments=("-m", "slow and fast"),
        title="0 of 2 tests selected by -m 'slow and fast'",
    ),
    "no test at all": Fault(slug="pytest.select.empty", files={"test_it.py": "x = 1\n"}),
    "all skipped": Fault(
        slug="pytest.select.all-skipped",
        files={"test_it.py": "import pytest\npytest.importorskip('nosuch')\n" + PLAIN},
    ),
    "missing path": Fault(
        slug="pytest.path.missing",
        files={"tests/test_it.py": PLAIN},
        arguments=("test",),
        title="there is no file or directory test",
    ),
    "missing test": Fault(
        slug="pytest.node.missing",
        files={"test_it.py": PLAIN},
        arguments=("test_it.py::test_gone",),
    ),
    "expression that cannot be read": Fault(
        slug="pytest.select.bad-expr",
        files={"test_it.py": PLAIN},
        arguments=("-k", "one and"),
    ),
    "missing plugin": Fault(
        slug="pytest.plugin.missing",
        files={"test_it.py": PLAIN},
        arguments=("--timeout=3", "--reruns", "2"),
        title="pytest does not know --timeout, --reruns: pytest-timeout and pytest-rerunfailures "
        "are not loaded",
    ),
    "missing plugin in addopts": Fault(
        slug="pytest.plugin.missing",
        files={"test_it.py": PLAIN, "pytest.ini": "[pytest]\naddopts = --cov=src\n"},
        title="pytest does not know --cov: pytest-cov is not loaded",
    ),
    "unknown option": Fault(
        slug="pytest.usage.unknown-option",
        files={"test_it.py": PLAIN},
        arguments=("--run-slo",),
    ),
    "plugin that cannot be imported": Fault(
        slug="pytest.plugin.import",
        files={"test_it.py": PLAIN},
        arguments=("-p", "pytest_nosuch"),
    ),
    "pytest too old": Fault(
        slug="pytest.version.old",
        files={"test_it.py": PLAIN, "pytest.ini": "[pytest]\nminversion = 99\n"},
    ),
    "unknown configuration key": Fault(
        slug="pytest.config.unknown-key",
        files={"test_it.py": PLAIN, "pytest.ini": "[pytest]\nasyncio_mode = auto\n"},
    ),
    "unregistered marker": Fault(
        slug="pytest.marker.unregistered",
        files={"test_it.py": "import pytest\n@pytest.mark.slow\n" + PLAIN},
        arguments=("--strict-markers",),
        title="the marker slow is not registered",
    ),
    "duplicate basename": Fault(
        slug="pytest.collect.import-mismatch",
        files={"a/test_it.py": PLAIN, "b/test_it.py": PLAIN},
    ),
    "Test class with a constructor": Fault(
        slug="pytest.collect.init-class",
        files={
            "test_it.py": "class TestAgent:\n    def __init__(self): pass\n"
            "    def test(self): pass\n"
        },
        title="the tests of TestAgent are not collected (test_it.py)",
    ),
    "broken conftest": Fault(
        slug="pytest.conftest.import",
        files={"test_it.py": PLAIN, "conftest.py": "limits = {}\nlimits['open']\n"},
    ),
    "conftest that lacks a module": Fault(
        slug="pytest.collect.module-missing",
        files={"test_it.py": PLAIN, "conftest.py": "import nosuch\n"},
        title="there is no module nosuch",
    ),
    "missing module": Fault(
        slug="pytest.collect.module-missing",
        files={"test_it.py": "import nosuch.deep\n"},
        title="there is no module nosuch",
    ),
    "missing name": Fault(
        slug="pytest.collect.import-name",
        files={"test_it.py": "from os import nosuch\n"},
    ),
    "error of the code": Fault(
        slug="pytest.collect.interrupted", files={"test_it.py": "def test(:\n"}
    ),
    "broken hook": Fault(
        slug="pytest.internal",
        files={
            "test_it.py": PLAIN,
            "conftest.py": "def pytest_collection_modifyitems(): raise OSError('no')\n",
        },
    ),
    "sys.exit in a module": Fault(
        slug="pytest.internal", files={"test_it.py": "import sys\nsys.exit(3)\n"}
    ),
    "run that gives up": Fault(
        slug="pytest.exit-collision",
        files={"test_it.py": "import pytest\ndef test(): pytest.exit('no', returncode=3)\n"},
        at_collection=False,
    ),
    "missing fixture": Fault(
        slug="pytest.fixture.missing",
        files={"test_it.py": "def test(mocker): pass\n"},
        title="there is no fixture mocker",
        at_collection=False,
    ),
    "async without a plugin": Fault(
        slug="pytest.async.no-plugin",
        files={"test_it.py": "async def test(): pass\n"},
        at_collection=False,
    ),
    "too many warnings": Fault(
        slug="pytest.max-warnings",
        files={"test_it.py": "import warnings\ndef test(): warnings.warn('x')\n"},
        arguments=("--max-warnings=0",),
        at_collection=False,
    ),
    "wrong arguments": Fault(
        slug="app.signature-drift",
        files={"test_it.py": "def call(a): pass\ndef test(): call(b=1)\n"},
        at_collection=False,
    ),
    "closed output": Fault(
        slug="pytest.capture.closed",
        files={"test_it.py": "import sys\ndef test(): sys.stdout.close()\n"},
        at_collection=False,
    ),
    "parameters that differ": Fault(
        slug="pytest.xdist.collection-diff",
        files={
            "test_it.py": "import os, pytest\n@pytest.mark.parametrize('pid', [os.getpid()])\n"
            "def test(pid): pass\n"
        },
        arguments=("-p", "xdist", "-n", "2"),
        at_collection=False,
    ),
    "worker that dies": Fault(
        slug="pytest.xdist.crash",
        files={"test_it.py": "import os\ndef test(): os._exit(1)\n"},
        arguments=("-p", "xdist", "-n", "1"),
        title="an xdist worker died in test_it.py::test",
        at_collection=False,
    ),
    "loop that is closed": Fault(
        slug="async.loop-mismatch",
        files={
            "test_it.py": "import asyncio\ndef test():\n    loop = asyncio.new_event_loop()\n"
            "    loop.close()\n    loop.call_soon(print)\n"
        },
        at_collection=False,
    ),
}
AT_COLLECTION = [name for name, fault in FAULTS.items() if fault.at_collection]


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def lay(project: Project, fault: Fault) -> None:
    project.write("envkit.toml", "[categories.all]\n")
    if "pytest.ini" not in fault.files:
        project.write("pytest.ini", "[pytest]\n")
    for name, content in fault.files.items():
        (project.root / name).parent.mkdir(exist_ok=True)
        project.write(name, content)


def run(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=project.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )


def doctor(project: Project, *arguments: str) -> dict[str, Any]:
    done = project.envkit("doctor", "--format", "json", *arguments)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("name", FAULTS)
def test_output_of_a_run_is_read(project: Project, name: str) -> None:
    fault = FAULTS[name]
    lay(project, fault)
    ended = run(project, *fault.arguments)
    found = findings_of(from_text(ended.stdout), Facts())
    assert [one.slug for one in found][:1] == [fault.slug], ended.stdout


@pytest.mark.parametrize("name", AT_COLLECTION)
def test_doctor_finds_it_before_any_test_runs(project: Project, name: str) -> None:
    fault = FAULTS[name]
    lay(project, fault)
    report = doctor(project, "--category", "all", "--", *fault.arguments)
    first = report["findings"][0]
    assert first["slug"] == fault.slug
    assert fault.title in ("", first["title"])


def test_category_whose_tests_are_all_there_is_healthy(project: Project) -> None:
    project.write("envkit.toml", '[categories.some]\npaths = ["tests"]\nmarkers = "not slow"\n')
    (project.root / "tests").mkdir()
    project.write("tests/test_it.py", TWO)
    report = doctor(project, "--category", "some")
    assert (report["status"], report["findings"]) == ("ok", [])
    [check] = [one for one in report["checks"] if one["name"] == "Test selection"]
    assert check["detail"] == "2 of 2 tests selected by -m 'not slow'"


def test_environment_may_be_exported_where_tests_are_looked_for(project: Project) -> None:
    project.write("envkit.toml", 'export_env = true\nservices = ["redis"]\n')
    project.write("test_it.py", PLAIN)
    done = project.envkit("doctor", "--", "-k", "test")
    assert done.returncode == 0, done.stdout


def test_category_that_may_be_empty_is_healthy(project: Project) -> None:
    project.write("envkit.toml", "[categories.some]\nallow_empty = true\n")
    project.write("test_it.py", TWO)
    assert doctor(project, "--category", "some", "--", "-k", "agent")["findings"] == []


def test_misspelt_path_of_a_category_is_corrected(project: Project) -> None:
    project.write("envkit.toml", '[categories.some]\npaths = ["tests/databse"]\n')
    (project.root / "tests" / "database").mkdir(parents=True)
    [found] = doctor(project, "--category", "some")["findings"]
    assert found["fix"]["text"] == "did you mean tests/database?"


def test_unknown_category_is_a_usage_error(project: Project) -> None:
    project.write("envkit.toml", "[categories.some]\n")
    done = project.envkit("doctor", "--category", "sum")
    assert done.returncode == 2
    assert "there is no category 'sum'" in done.stderr
    assert "name one of some" in done.stderr


def test_selection_waits_for_a_configuration_that_can_be_read(project: Project) -> None:
    project.write("envkit.toml", "nonsense = 1\n")
    report = doctor(project, "--category", "some")
    assert [one["slug"] for one in report["findings"]] == ["envkit.config.unknown-key"]
    (selection,) = (one for one in report["checks"] if one["name"] == "Test selection")
    assert selection["status"] == "skipped"


def test_plugin_that_is_installed_and_kept_out_is_not_installed_again(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\n")
    project.write("test_it.py", PLAIN)
    [found] = doctor(project, "--", "-p", "no:xdist", "-n", "2")["findings"]
    assert found["slug"] == "pytest.plugin.missing"
    assert "is installed, but kept out" in found["cause"]
    assert found["fix"]["command"] == ""


def test_error_of_the_code_is_told(project: Project) -> None:
    lay(project, FAULTS["error of the code"])
    [found] = doctor(project, "--category", "all")["findings"]
    assert "SyntaxError" in found["cause"]


def test_command_for_a_stale_copy_mends_it(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\nnorecursedirs =\n")
    project.write("test_it.py", PLAIN)
    (project.root / "build" / "lib").mkdir(parents=True)
    project.write("build/lib/test_it.py", PLAIN)
    [found] = doctor(project, "--", "-q")["findings"]
    assert found["slug"] == "pytest.collect.import-mismatch"
    subprocess.run(shlex.split(found["fix"]["command"]), check=True)
    assert doctor(project, "--", "-q")["status"] == "ok"


def test_fixture_of_the_project_under_one_of_our_names_is_told(project: Project) -> None:
    project.write("conftest.py", "import pytest\n@pytest.fixture\ndef real_redis(): return 1\n")
    project.write("test_it.py", "def test(real_redis): pass\n")
    [found] = doctor(project, "--", "-p", "envkit")["findings"]
    assert (found["slug"], found["severity"]) == ("pytest.fixture.shadowed", "warning")
    assert found["title"] == "conftest.py has a fixture of its own named real_redis"


def test_fixture_that_adds_to_ours_is_no_fault(project: Project) -> None:
    project.write(
        "conftest.py", "import pytest\n@pytest.fixture\ndef real_redis(real_redis): return 1\n"
    )
    project.write("test_it.py", "def test(real_redis): pass\n")
    assert doctor(project, "--", "-p", "envkit")["findings"] == []


def test_look_changes_nothing(project: Project) -> None:
    project.write("envkit.toml", "[categories.all]\n")
    project.write("pytest.ini", "[pytest]\naddopts = --junitxml=report.xml\n")
    project.write("test_it.py", TWO)
    before = sorted(path.name for path in project.root.rglob("*"))
    doctor(project, "--category", "all", "--", "--lf")
    assert sorted(path.name for path in project.root.rglob("*")) == before


def test_what_collecting_started_does_not_outlive_it(project: Project) -> None:
    project.write(
        "conftest.py",
        "import subprocess\nfrom pathlib import Path\n"
        "child = subprocess.Popen(['sleep', '600'])\nPath('child').write_text(str(child.pid))\n",
    )
    project.write("test_it.py", PLAIN)
    doctor(project, "--", "-q")
    pid = int((project.root / "child").read_text())
    end = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether it still runs; where nobody reaps the dead, they stay as zombies."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_doctor_that_is_ended_while_it_collects_leaves_no_process(
    project: Project, end: signal.Signals
) -> None:
    project.write("envkit.toml", '[categories.unit]\npaths = ["."]\n')
    project.write(
        "test_it.py",
        "import os, pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "pathlib.Path('pids').write_text(f'{os.getpid()} {child.pid} ')\n"
        "time.sleep(60)\n",
    )
    doctor = project.spawn("doctor", "--category", "unit")
    noted = project.root / "pids"
    pids: list[str] = []
    while len(pids) < 2:
        assert doctor.poll() is None
        time.sleep(0.05)
        pids = noted.read_text().split() if noted.exists() else []
    doctor.send_signal(end)
    doctor.communicate(timeout=20)
    until = time.monotonic() + 10
    while left := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def _is_alive(pid: str) -> bool:
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())  # a zombie has none
    except OSError:
        return False
