from tests.doctor.case import Case, log, told

CASES = {
    "pytest.fixture.missing": Case(
        fires=(
            log("E       fixture 'db_session' not found"),
            log("E       fixture 'mocker' not found\n>       available fixtures: capfd, caplog"),
            told("python", "FixtureLookupError", "fixture 'worker_id' not found"),
        ),
        silent=(
            log("'slow' not found in `markers` configuration option"),
            log("E   KeyError: 'db_session'"),
            log("fixture 'x' not found in the warehouse list"),
        ),
    ),
    "pytest.fixture.shadowed": Case(
        fires=(
            told(
                "pytest",
                "SHADOWED",
                "real_postgres is defined in tests/conftest.py",
                data={"fixture": "real_postgres", "file": "tests/conftest.py"},
            ),
        ),
        silent=(
            log("real_postgres is defined in tests/conftest.py"),
            told("python", "SHADOWED", "real_postgres is defined in tests/conftest.py"),
        ),
    ),
    "pytest.async.no-plugin": Case(
        fires=(
            log("async def functions are not natively supported."),  # pytest 9: a failure
            log(  # up to pytest 8: skipped, exit code 0
                "_pytest/python.py:148: PytestUnhandledCoroutineWarning: async def functions are "
                "not natively supported and have been skipped."
            ),
            log(
                "'test_a' requested an async fixture 'f', with no plugin or hook that handled it. "
                "This is an error, as pytest does not natively support it."
            ),
            told("python", "Failed", "Failed: async def functions are not natively supported."),
            log(
                "E   pytest.PytestRemovedIn9Warning: 'test_a' requested an async fixture "
                "'client' with autouse=True, with no plugin or hook that handled it."
            ),
        ),
        silent=(
            log("RuntimeWarning: coroutine 'f' was never awaited"),
            log("RuntimeError: asyncio.run() cannot be called from a running event loop"),
        ),
    ),
    "pytest.internal": Case(
        fires=(
            log("INTERNALERROR> ZeroDivisionError: division by zero"),
            log("INTERNALERROR> SystemExit: 3\nmainloop: caught unexpected SystemExit!"),
            log("INTERNALERROR> mine.errors.Odd: what now"),
        ),
        silent=(
            log("INTERNALERROR> Traceback (most recent call last):"),
            log('INTERNALERROR>   File "/venv/pluggy/_manager.py", line 120, in _hookexec'),
            log("ERROR:  internal error in the server"),
            told("pytest", "3", "!!!!!!!!!!!! _pytest.outcomes.Exit: stop !!!!!!!!!!!!"),
        ),
    ),
    "pytest.exit-collision": Case(
        fires=(
            log("!!!!!!!!!!!!!!!!!!!!!!!!! _pytest.outcomes.Exit: stop !!!!!!!!!!!!!!!!!!!!!!!!!!"),
            told("pytest", "3", "!!!!!!!!!!!! _pytest.outcomes.Exit: stop !!!!!!!!!!!!"),
            told("pytest", "5", "!!!!!!!!!!!! _pytest.outcomes.Exit: no database !!!!!!!!!!!!"),
        ),
        silent=(
            told("pytest", "3", "INTERNALERROR> ZeroDivisionError: division by zero"),
            log("!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!"),
            told("process", "3", "!!! Exit: stop"),
        ),
    ),
    "pytest.xdist.collection-diff": Case(
        fires=(log("Different tests were collected between gw0 and gw1. The difference is:"),),
        silent=(log("The collections between the two differ."),),
    ),
    "pytest.xdist.crash": Case(
        fires=(
            log("worker 'gw0' crashed while running 'test_t.py::test_a'"),
            log("xdist: maximum crashed workers reached: 2"),
            log("RuntimeError: Unexpectedly no active workers available"),
        ),
        silent=(
            log("the worker crashed"),
            log("worker 'gw0' is ready"),
        ),
    ),
    "pytest.timeout": Case(
        fires=(
            log("E   Failed: Timeout (>1.0s) from pytest-timeout."),
            log("E   Failed: Timeout >1.0s"),  # before 2.4
            log("+++++++++++++++++++++++++++++++++++ Timeout ++++++++++++++++++++++++++++++++++++"),
            told("python", "Failed", "Failed: Timeout (>30.0s) from pytest-timeout."),
        ),
        silent=(
            log("TimeoutError: timed out"),
            log("timeout: 1.0s\ntimeout method: signal"),
        ),
    ),
    "pytest.capture.closed": Case(
        fires=(
            log("E           ValueError: I/O operation on closed file"),
            log("ValueError: I/O operation on closed file."),
            told(
                "log",
                "",
                '  File "/venv/_pytest/capture.py", line 595, in snap\n'
                "ValueError: I/O operation on closed file",
            ),
        ),
        silent=(
            log("ValueError: read of closed file"),
            log("I/O operation on closed database"),
        ),
    ),
}
