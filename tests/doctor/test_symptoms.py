"""Symptoms from exceptions that were really raised, and from text."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from envkit.doctor.symptoms import from_exception, from_text
from envkit.errors import DockerDown


def raised(action: object) -> BaseException:
    assert callable(action)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        action()
    return caught.value


def test_refused_connection_has_the_name_of_its_errno() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = raised(lambda: socket.create_connection(unused.getsockname(), timeout=5))
    (symptom,) = from_exception(error)
    assert (symptom.source, symptom.code) == ("socket", "ECONNREFUSED")


def test_unknown_host_has_the_name_of_getaddrinfo() -> None:
    (symptom,) = from_exception(raised(lambda: socket.getaddrinfo("nowhere.invalid", 1)))
    assert symptom.source == "socket"
    assert symptom.code.startswith("EAI_")


def test_error_of_ours_keeps_its_slug_and_hint() -> None:
    (symptom,) = from_exception(DockerDown("no engine", hint="docker info", detail="said so"))
    assert (symptom.source, symptom.code) == ("envkit", "docker.daemon.down")
    assert symptom.text == "no engine\nsaid so"
    assert symptom.data["hint"] == "docker info"


def test_error_of_ours_is_known_by_its_slug_in_a_log() -> None:
    error = DockerDown("no engine answers", hint="docker info", detail="dial: no such file")
    for text in (str(error), f"E   envkit.errors.DockerDown: {error}", f"error: {error}"):
        (symptom,) = [one for one in from_text(text) if one.source == "envkit"]
        assert symptom.code == "docker.daemon.down"
        assert symptom.text == "no engine answers\ndial: no such file"
        assert symptom.data["hint"] == "docker info"


def test_brackets_at_the_end_of_a_line_are_no_slug() -> None:
    assert [one.source for one in from_text("it failed in [docker.daemon.gone]")] == ["log"]
    assert [one.source for one in from_text("see the list [envkit.nonsense]")] == ["log"]


def test_cause_of_a_chain_comes_first() -> None:
    def fail() -> None:
        try:
            import there_is_no_such_module  # type: ignore[import-not-found]  # noqa: F401
        except ImportError as error:
            raise RuntimeError("cannot go on") from error

    inner, outer = from_exception(raised(fail))
    assert inner.data["module"] == "there_is_no_such_module"
    assert outer.code == "RuntimeError"


def test_members_of_a_group_are_symptoms() -> None:
    def fail() -> None:
        raise ExceptionGroup("two", [OSError(111, "refused"), ValueError("odd")])

    assert {one.code for one in from_exception(raised(fail))} >= {"ECONNREFUSED", "ValueError"}


def test_codes_of_a_log_line_are_found() -> None:
    text = "ERROR: 2 (SQLSTATE 28P01)\nCode: 516. DB::Exception: x\n[Errno 111] refused\n"
    found = [(one.source, one.code) for one in from_text(text)]
    assert found == [("postgres", "28P01"), ("clickhouse", "516"), ("socket", "ECONNREFUSED")]


def test_colours_and_pytests_marks_are_dropped() -> None:
    (symptom,) = from_text("\x1b[31mE   redis.exceptions.X: it\x1b[0m said no\n")
    assert symptom.text == "redis.exceptions.X: it said no"


def test_chained_traceback_is_one_block_and_what_follows_another() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "print('before', flush=True)\ntry:\n 1/0\nexcept Exception as e:\n"
            " try: raise KeyError('x') from e\n except Exception:\n"
            "  import traceback; traceback.print_exc()\nprint('after')",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    blocks = {one.text.splitlines()[0]: one.block for one in from_text(done.stdout)}
    assert blocks["ZeroDivisionError: division by zero"] == blocks["KeyError: 'x'"]
    assert len({blocks["before"], blocks["KeyError: 'x'"], blocks["after"]}) == 3


_FAILED_TEST = """\
=================================== FAILURES ===================================
___________________________________ test_pg ____________________________________

    def connect(cls, timeout):
        try:
            rv = wait(timeout)
        except _WaitTimeout:
            error = ConnectionTimeout("connection timeout expired")
        if not rv:
>           raise last_error.with_traceback(None)
E           psycopg.OperationalError: connection failed: FATAL:  no
E             DETAIL:  really

driver.py:120: OperationalError
---------------------------- Captured stderr call ------------------------------
    indented by the program
__________________________________ test_other __________________________________
>       fixture_line
E       fixture 'db' not found
>       available fixtures: cache
=========================== short test summary info ============================
"""


def test_source_that_pytest_shows_of_a_failed_test_is_no_symptom() -> None:
    texts = [one.text for one in from_text(_FAILED_TEST)]
    assert not [text for text in texts if "timeout" in text or "raise" in text]
    (error,) = [text for text in texts if "psycopg" in text]
    assert error.splitlines()[0].strip().startswith("psycopg.OperationalError")
    assert "DETAIL:  really" in error
    assert any("indented by the program" in text for text in texts)
    assert any("available fixtures: cache" in text for text in texts)
    assert not any("fixture_line" in text for text in texts)


def test_indented_lines_of_a_log_without_errors_of_pytest_are_read() -> None:
    texts = [one.text for one in from_text("    password authentication failed\n> prompt\n")]
    assert any("password authentication failed" in text for text in texts)
