"""Causes before consequences."""

from __future__ import annotations

from envkit.doctor.model import Check, Facts, Symptom
from envkit.doctor.triage import findings_of, report_of

FACTS = Facts()
REFUSED = Symptom(source="socket", code="ECONNREFUSED", text="refused", service="redis", check="a")
SILENT = Symptom(source="socket", code="TIMEOUT", text="timed out", service="postgres", check="b")


def check(name: str, status: str = "pass") -> Check:
    return Check(name=name, group="g", status=status)  # type: ignore[arg-type]


def test_same_thing_seen_twice_is_one_finding() -> None:
    assert len(findings_of([REFUSED, REFUSED], FACTS)) == 1


def test_errors_come_before_warnings() -> None:
    assert [one.slug for one in findings_of([SILENT, REFUSED], FACTS)] == [
        "net.refused",
        "net.timeout",
    ]


def test_innermost_of_a_traceback_is_the_cause_of_the_others() -> None:
    text = (
        "Traceback (most recent call last):\n"
        "ConnectionRefusedError: [Errno 111] Connection refused\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        "ModuleNotFoundError: No module named 'psycopg'\n"
    )
    from envkit.doctor.symptoms import from_text

    (root,) = findings_of(from_text(text), FACTS)
    assert root.slug == "driver.missing"
    assert [one.slug for one in root.consequences] == ["net.refused"]


def test_check_gets_the_worst_that_was_found_in_it() -> None:
    report = report_of((check("a"), check("b"), check("c")), (REFUSED, SILENT), FACTS)
    assert [one.status for one in report.checks] == ["fail", "warn", "pass"]
    assert (report.status, report.exit_code) == ("problems", 1)


def test_what_was_not_checked_is_never_healthy() -> None:
    report = report_of((check("a", "not-checked"),), (), FACTS)
    assert (report.status, report.exit_code) == ("incomplete", 3)


def test_warning_alone_is_no_problem() -> None:
    assert report_of((check("b"),), (SILENT,), FACTS).exit_code == 0


def test_nothing_found_is_healthy() -> None:
    assert report_of((check("a"),), (), FACTS).exit_code == 0
