"""Each outcome, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from envkit.categories.account import read_account
from tests.conftest import Project
from tests.gate.gated import LIGHT, PASSES, declare, results, said

MODULE_SKIP = "import pytest\npytest.skip('no licence', allow_module_level=True)\n"


class Case(Struct, frozen=True, kw_only=True):
    """A category of its own.

    Attributes:
        code: Of its one file.
        lines: Of its configuration.
        cause: Without what differs from run to run.
    """

    code: str
    outcome: str
    cause: str
    lines: str = ""
    counts: Mapping[str, int] = {}


CASES = {
    "passes": Case(code=PASSES, outcome="passed", cause="", counts={"passed": 1}),
    "fails": Case(
        code=f"{PASSES}def test_two(): assert 1 == 2\ndef test_three(): assert 0\n",
        outcome="failed",
        cause="tests/fails/test_it.py::test_two: assert 1 == 2",
        counts={"passed": 1, "failed": 2},
    ),
    "teardown": Case(
        code="import pytest\n@pytest.fixture\ndef broken():\n    yield\n    raise OSError('no')\n"
        "def test_it(broken): pass\n",
        outcome="failed",
        cause="tests/teardown/test_it.py::test_it: OSError: no",
        counts={"passed": 1, "error": 1},
    ),
    "deselected": Case(
        code=PASSES,
        lines='args = ["-k", "agent"]',
        outcome="empty",
        cause="0 of 1 selected by -k 'agent'",
    ),
    "nothing": Case(code="x = 1\n", outcome="empty", cause="no test was found in tests/nothing"),
    "markers": Case(
        code=PASSES,
        lines='args = ["--markers"]',
        outcome="empty",
        cause="pytest was asked to run no test",
    ),
    "planned": Case(
        code=PASSES,
        lines='args = ["--collect-only"]',
        outcome="empty",
        cause="1 of 1 selected, and pytest was asked to run none",
    ),
    "module": Case(code=MODULE_SKIP, outcome="empty", cause="every test was skipped: no licence"),
    "skipped": Case(
        code="import pytest\n@pytest.mark.skip(reason='no licence')\ndef test_it(): pass\n",
        outcome="empty",
        cause="every test was skipped: no licence",
        counts={"skipped": 1},
    ),
    "usage": Case(
        code=PASSES,
        lines='args = ["--no-such-option"]',
        outcome="error",
        cause="pytest does not know --no-such-option",
    ),
    "collection": Case(
        code="import no_such_module\n",
        outcome="error",
        cause="1 file could not be collected, first tests/collection/test_it.py: "
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "crash": Case(
        code=f"{PASSES}def test_two():\n    import os\n    os.abort()\n",
        outcome="error",
        cause="pytest was ended by SIGABRT, while tests/crash/test_it.py::test_two was running",
        counts={"passed": 1},
    ),
    "leaves": Case(
        code="def test_it():\n    import os\n    os._exit(0)\n",
        outcome="error",
        cause="pytest's process ended with exit code 0 before its run was over, "
        "while tests/leaves/test_it.py::test_it was running",
    ),
    "asks": Case(
        code="import pytest\ndef test_it(): pytest.exit('the licence has run out')\n",
        outcome="error",
        cause="pytest stopped: the licence has run out",
    ),
    "hangs": Case(
        code=f"{PASSES}def test_two():\n    import time\n    time.sleep(60)\n",
        lines='timeout = "4s"',
        outcome="error",
        cause="took longer than its timeout of 4 s, "
        "while tests/hangs/test_it.py::test_two was running",
        counts={"passed": 1},
    ),
    "internal": Case(
        code=PASSES,
        lines='args = ["-p", "broken_plugin"]',
        outcome="error",
        cause="pytest stopped: RuntimeError: a plugin's own fault",
    ),
    "forgiven": Case(
        code=f"{PASSES}def test_two(): assert 1 == 2\n",
        lines='args = ["-p", "forgiving_plugin"]',
        outcome="failed",
        cause="tests/forgiven/test_it.py::test_two: assert 1 == 2 "
        "(and pytest ended with exit code 0 all the same)",
        counts={"passed": 1, "failed": 1},
    ),
    "forks": Case(
        code=f"{PASSES}def test_two():\n    import os\n    if not os.fork():\n"
        "        raise SystemExit(1)\n    os.wait()\n",
        outcome="passed",
        cause="",
        counts={"passed": 2},
    ),
    "quits": Case(
        code=f"{PASSES}import pytest\ndef test_two(): pytest.exit('enough', returncode=0)\n",
        outcome="error",
        cause="pytest stopped: enough",
        counts={"passed": 1},
    ),
    "breaks": Case(
        code="import os\nos._exit(1)\n",
        outcome="error",
        cause="pytest's process ended with exit code 1 before its run was over, "
        "before its tests were collected",
    ),
    "version": Case(
        code=PASSES,
        lines='args = ["--version"]',
        outcome="empty",
        cause="pytest was asked to run no test",
    ),
    "versions": Case(
        code=PASSES,
        lines='args = ["-VV"]',
        outcome="empty",
        cause="pytest was asked to run no test",
    ),
    "refused": Case(
        code=PASSES,
        lines='args = ["-c", "no-such.ini"]',
        outcome="error",
        cause="no-such.ini' not found. Check your '-c/--config-file' option.",
    ),
    "slow": Case(
        code=PASSES,
        lines='budget = "1ms"',
        outcome="passed",
        cause="of a budget of 0.001 s; slowest: tests/slow/test_it.py::test_one",
        counts={"passed": 1},
    ),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """All of them in one run: none waits for another."""
    project = Project(tmp_path_factory.mktemp("outcomes"))
    declare(project, **{name: case.lines for name, case in CASES.items()})
    for name, case in CASES.items():
        project.write(f"tests/{name}/test_it.py", case.code)
    project.write(
        "broken_plugin.py",
        'def pytest_collection_finish():\n    raise RuntimeError("a plugin\'s own fault")\n',
    )
    project.write(
        "forgiving_plugin.py", "def pytest_sessionfinish(session): session.exitstatus = 0\n"
    )
    found = results(project)
    project.envkit("down")
    return found


@pytest.mark.parametrize("name", CASES)
def test_outcome(outcomes: Mapping[str, dict[str, Any]], name: str) -> None:
    case, found = CASES[name], outcomes[name]
    assert found["outcome"] == case.outcome
    assert case.cause in found["cause"]
    assert bool(case.cause) == bool(found["cause"])
    if name != "hangs":  # it may have got far enough to report the interruption
        assert found["counts"] == case.counts


def test_collection_error_carries_what_the_doctor_says(project: Project) -> None:
    declare(project, database="")
    project.write("tests/database/test_it.py", "import clickhouse_driver\n")
    [found] = said(project)["categories"]
    assert found["outcome"] == "error"
    assert found["finding"]["slug"] == "driver.missing"
    assert "clickhouse-driver" in found["finding"]["fix"]["command"]


def test_lines_that_were_cut_off_are_left_out(tmp_path: Path) -> None:
    events = tmp_path / "events"
    begun = '{"is": "begun", "test": "a"}\n'
    events.write_text(f'{begun}{{"is": "test", "te{begun.replace("a", "b")}{begun[:9]}')
    assert read_account(events).running == ["a"]


def test_name_may_be_longer_than_that_of_a_file(project: Project) -> None:
    project.write("envkit.toml", f'[categories.{"n" * 300}]\npaths = ["tests"]\n')
    project.write("tests/test_it.py", PASSES)
    assert said(project, **LIGHT)["exit_code"] == 0


@pytest.fixture
def silent_redis() -> Iterator[int]:
    """A port that takes connections, and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_server_that_does_not_answer_is_not_checked(project: Project, silent_redis: int) -> None:
    declare(project, database='needs = ["redis"]', integration='after = ["database"]')
    project.write("tests/database/test_it.py", PASSES)
    url = f"redis://127.0.0.1:{silent_redis}/0"

    report = said(project, ENVKIT_REDIS_URL=url, **LIGHT)

    assert [one["outcome"] for one in report["categories"]] == ["not-checked", "not-checked"]
    assert report["categories"][0]["cause"].startswith("Redis could not be checked")
    assert report["exit_code"] == 3


def test_services_that_cannot_be_had_after_all_block(project: Project) -> None:
    """Nothing was declared that the doctor could have asked about."""
    declare(project, database="", integration='after = ["database"]')
    project.write("tests/database/test_it.py", "def test_it(real_redis): pass\n")
    project.write("tests/integration/test_it.py", PASSES)

    report = said(project, CI="true", ENVKIT_REDIS_URL="redis://127.0.0.1:1/0")

    database, integration = report["categories"]
    assert database["outcome"] == integration["outcome"] == "blocked"
    assert database["cause"] == "nothing listens at 127.0.0.1:1"
    assert database["finding"]["slug"] == "net.refused"
    assert database["finding"]["fix"]["command"] == "unset ENVKIT_REDIS_URL"
    assert integration["finding"] == database["finding"]
    assert database["counts"] == {}
    assert report["exit_code"] == 1
