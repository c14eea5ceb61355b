"""What goes wrong while tests run, and is pytest's, a plugin's or xdist's to tell."""

from __future__ import annotations

from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.pytest_plugins import owner_of_fixture, pip_install

__all__: list[str] = []

_NOTHING_RAN: Final = ["pytest.select.empty"]


@rule(
    "pytest.fixture.missing",
    texts=[r"(?:^(?:E\b)?\s*|: )fixture '(?P<fixture>\w+)' not found\s*$"],
    layer="tool",
)
def fixture_missing(seen: Seen) -> Finding:
    """A test asks for a fixture that nobody defines.

    Why: The plugin that has it is not installed or not loaded, or the conftest.py that defines it
    lies in another directory than the test, or the name is misspelt.

    Fix: Install the plugin; a fixture of the project belongs into a conftest.py above the test.
    """
    fixture = seen.get("fixture")
    owner = owner_of_fixture(fixture)
    return seen.finding(
        title=f"there is no fixture {fixture}",
        cause=f"{owner}, which has it, is not installed or not loaded"
        if owner
        else "the conftest.py or plugin that defines it is not loaded, or it is misspelt",
        fix="install the plugin"
        if owner
        else "define it in a conftest.py above the test, or install the plugin that has it",
        command=pip_install(owner),
    )


@rule(
    "pytest.fixture.shadowed",
    source="pytest",
    codes=["SHADOWED"],
    severity="warning",
    layer="tool",
)
def fixture_shadowed(seen: Seen) -> Finding:
    """The project or another plugin defines a fixture under one of envkit's names.

    Why: The nearest definition wins, so tests that ask for this name do not get envkit's servers.

    Fix: Rename one of the two; or let yours ask for the fixture of the same name, and add to it.
    """
    fixture, place = seen.get("fixture"), seen.get("file")
    return seen.finding(
        title=f"{place} has a fixture of its own named {fixture}",
        cause=f"tests there get that one, and not envkit's {fixture}",
        fix=f"rename it, or let it take {fixture} as an argument and add to it",
    )


@rule(
    "pytest.async.no-plugin",
    texts=[
        r"async def functions are not natively supported",
        r"requested an async fixture '(?P<fixture>\w+)'(?: with autouse=True)?, with no plugin or "
        r"hook that handled it",
    ],
    explains=["pytest.select.all-skipped"],
    layer="tool",
)
def no_async_plugin(seen: Seen) -> Finding:
    """An async test or fixture was not run, because no plugin takes care of it.

    Why: pytest-asyncio (or anyio) is not installed; or pytest-asyncio is in strict mode, in which
    each test needs a marker and each fixture pytest_asyncio.fixture. Older pytest skips such tests
    and ends with exit code 0.

    Fix: Install pytest-asyncio, and set asyncio_mode = "auto" in [tool.pytest.ini_options].
    """
    fixture = seen.get("fixture")
    return seen.finding(
        title=f"nothing here runs the async fixture {fixture}"
        if fixture
        else "nothing here runs async tests",
        cause="pytest-asyncio is not installed, or in strict mode, where only what is marked runs",
        fix='pip install pytest-asyncio, and asyncio_mode = "auto" in [tool.pytest.ini_options]',
    )


@rule(
    "pytest.internal",
    texts=[
        r"^INTERNALERROR> (?P<error>(?!Traceback|File )[A-Za-z_][\w.]*(?::.*)?)$",
        r"^mainloop: caught unexpected (?P<error>SystemExit)!",
    ],
    explains=_NOTHING_RAN,
    layer="tool",
)
def internal(seen: Seen) -> Finding | None:
    """Pytest itself or a plugin broke; the tests are not to blame, and not judged.

    Why: A hook in a conftest.py or plugin raised, or a test module called sys.exit while it was
    imported.

    Fix: Look at the last lines of the trace, which name the file; -p no:NAME leaves a plugin out.
    """
    error = seen.get("error")
    if error.startswith("During handling") or error.startswith("The above exception"):
        return None
    if "SystemExit" in error:
        return seen.finding(
            title="a module ended pytest while it was imported",
            cause="it calls sys.exit() at import",
            fix="put the call behind if __name__ == '__main__'; the trace names the file",
        )
    return seen.finding(
        title=f"pytest or a plugin broke: {error}",
        cause="a hook in a conftest.py or plugin raised; this says nothing about the tests",
        fix="the end of the trace names the file; -p no:NAME leaves a plugin out",
    )


@rule(
    "pytest.exit-collision",
    source="pytest",
    codes=["1", "3", "4", "5", "6"],
    texts=[r"^!+ (?:_pytest\.outcomes\.)?Exit: (?P<reason>.*?) !+$"],
    severity="warning",
    confidence="likely",
    explains=_NOTHING_RAN,
    layer="tool",
)
def exit_collision(seen: Seen) -> Finding | None:
    """A test, conftest or plugin ended the run with pytest.exit.

    Why: It chooses the exit code, too. Codes up to 6 mean something else to whoever reads them: 3
    is an internal error, 5 that nothing was selected.

    Fix: Give pytest.exit a returncode of 10 or more.
    """
    if seen.match is None:
        return None
    code = seen.symptom.code if seen.symptom.source == "pytest" else ""
    return seen.finding(
        title=f"pytest.exit ended the run: {seen.get('reason')}",
        cause=f"a test, conftest or plugin called it with returncode={code}, which pytest itself "
        "uses for something else"
        if code
        else "a test, conftest or plugin called it; the rest of the tests did not run",
        fix="see why it gave up; a returncode of 10 or more would not be mistaken for pytest's own",
        confidence="certain" if code else "likely",
    )


@rule(
    "pytest.xdist.collection-diff",
    texts=[r"Different tests were collected between (?P<one>gw\d+) and (?P<two>gw\d+)"],
    explains=_NOTHING_RAN,
    layer="tool",
)
def collection_diff(seen: Seen) -> Finding:
    """The workers of pytest-xdist have found different tests, so nothing was run.

    Why: Parameters of tests come from something that differs in each process: random numbers, the
    time, process ids, the order of a set.

    Fix: Make the parameters the same in each process: sort sets, take a fixed seed, give ids.
    """
    return seen.finding(
        title="pytest-xdist's workers found different tests",
        cause="parameters of a test differ from process to process (the message shows which)",
        fix="sort sets and take a fixed seed where parameters are made, or give them stable ids",
    )


@rule(
    "pytest.xdist.crash",
    texts=[
        r"worker '(?P<worker>gw\d+)' crashed while running '(?P<test>[^']+)'",
        r"(?:maximum crashed workers reached: \d+|Unexpectedly no active workers available)",
    ],
    layer="tool",
)
def worker_crash(seen: Seen) -> Finding:
    """A worker process of pytest-xdist died while it ran a test.

    Why: It was killed for lack of memory, a compiled module crashed, or the test called os._exit.

    Fix: Run that test alone with -p no:xdist; with fewer workers if memory is short.
    """
    test = seen.get("test")
    return seen.finding(
        title=f"an xdist worker died in {test}" if test else "xdist's workers died",
        cause="killed for lack of memory, a crash in a compiled module, or os._exit in the test",
        fix="run that test alone (pytest -p no:xdist); with a lower -n if memory is short",
    )


@rule(
    "pytest.timeout",
    texts=[
        r"Timeout \(?>(?P<seconds>[\d.]+)s\)? from pytest-timeout",
        r"^(?:E\b)?\s*Failed: Timeout \(?>(?P<seconds>[\d.]+)s\)?",
        r"^\++ Timeout \++$",
    ],
    confidence="likely",
    layer="tool",
)
def timeout(seen: Seen) -> Finding:
    """A test did not end in the time that pytest-timeout gives it.

    Why: It waits for something that does not come: a service that hangs, a lock, a task that nobody
    runs. The time may also just be short for a slow machine.

    Fix: See what it waits for, in the stacks that pytest-timeout prints; run envkit doctor, which
    asks each service.
    """
    seconds = seen.get("seconds")
    return seen.finding(
        title=f"a test took longer than {seconds} s" if seconds else "a test took too long",
        cause="it waits for something that does not come, such as a service that hangs",
        fix="look at the stacks for what it waits for; envkit doctor asks each service",
    )


@rule(
    "pytest.capture.closed",
    texts=[
        r"_pytest/capture\.py(?s:.)*^ValueError: I/O operation on closed file",
        r"^(?:E\b)?\s*ValueError: I/O operation on closed file\.?$",
    ],
    severity="warning",
    confidence="guess",
    explains=_NOTHING_RAN,
    layer="tool",
)
def capture_closed(seen: Seen) -> Finding:
    """Something wrote to, or read from, a file that was closed before: with pytest mostly stdout.

    Why: Code under test closed sys.stdout or sys.stderr, which is pytest's own file during a test,
    or a logging handler keeps such a file beyond the end of the test.

    Fix: Find what closes it (pytest -s runs without capture); do not close standard streams.
    """
    sure = "_pytest/capture.py" in seen.symptom.text
    return seen.finding(
        title="pytest's captured output was closed" if sure else "a closed file was used",
        cause="something closed sys.stdout or sys.stderr, which is pytest's own file during a test"
        if sure
        else "if it is no file of the test's own: something closed sys.stdout or sys.stderr, or a "
        "logging handler keeps one beyond its test",
        fix="find what closes it; with pytest -s nothing is captured",
        confidence="likely" if sure else "guess",
    )
