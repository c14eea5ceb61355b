"""What the doctor says about a pytest run: which failures are the environment's, and why.

Imported when a test has failed or the run is over with nothing to show; a green run never pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from envkit.doctor.model import Facts, Finding, Report, Symptom
from envkit.doctor.render.words import cause, clean
from envkit.doctor.symptoms import from_exception, from_text
from envkit.doctor.triage import findings_of
from envkit.errors import EnvkitError, LeaseFailed

__all__ = ["explanations", "lines_of_error", "nothing_selected", "symptoms_of"]

#: Name of the attribute of a report that holds what `symptoms_of` gave.
ATTRIBUTE: Final = "envkit_symptoms"
_LONGEST: Final = 2000
_MOST_OF_ONE: Final = 8
_MOST_TESTS: Final = 500
_INDENT: Final = "  "

# What makes two findings the same.
_Key = tuple[str, str | None, str]


class _Failure(NamedTuple):
    """One failed phase of a test, or file that could not be collected.

    Attributes:
        what: The same where the same was raised.
    """

    nodeid: str
    symptoms: tuple[Symptom, ...]

    @property
    def what(self) -> bytes:
        return msgspec.json.encode([(s.source, s.code, s.text) for s in self.symptoms])


# -- at the time of the failure (under xdist: in the worker) --------------------------------------


def symptoms_of(error: BaseException) -> list[dict[str, Any]]:
    """An exception as plain data, which a report carries to the xdist controller.

    Args:
        error: Of a failed test, fixture or collection.
    """
    from envkit.redact import redacted

    error = getattr(error, "envkit_error", error)
    found = from_exception(error)
    if isinstance(error, LeaseFailed):  # which quotes the server
        found.insert(0, Symptom(source="log", text=error.observed))
    if isinstance(error, pytest.FixtureLookupError) and error.argname:
        found = [msgspec.structs.replace(found[0], text=f"fixture '{error.argname}' not found")]
    # What an assertion compares may hold the words of any error, and is none.
    found = [one for one in found if one.code != "AssertionError"]
    return [
        msgspec.to_builtins(msgspec.structs.replace(one, text=redacted(one.text[:_LONGEST])))
        for one in found[:_MOST_OF_ONE]
    ]


# -- at the end of the run ------------------------------------------------------------------------


def explanations(stats: dict[str, list[Any]], config: pytest.Config) -> list[str]:
    """What explains failures by the environment, each thing once; nothing about other failures.

    Args:
        stats: Reports by category, as the terminal reporter keeps them.
        config: Of the run.
    """
    failures = list(_failures(report for reports in stats.values() for report in reports))
    facts = _facts(config) if failures else Facts()
    found = _explained(failures[:_MOST_TESTS], facts)
    lines: list[str] = []
    for finding, tests in found:
        # A file that could not be collected has no tests yet.
        noun = "test" if all("::" in one for one in tests) else "failure"
        explains = (
            f"explains 1 {noun}: {tests[0]}"
            if len(tests) == 1
            else f"explains {len(tests)} {noun}s, first {tests[0]}"
        )
        lines += _lines(finding, explains)
    return lines


def _failures(reports: Iterable[Any]) -> Iterator[_Failure]:
    for report in reports:
        if not isinstance(report, pytest.TestReport | pytest.CollectReport) or not report.failed:
            continue
        told = getattr(report, ATTRIBUTE, None)
        if told is not None:
            symptoms = msgspec.convert(told, list[Symptom])
        elif isinstance(report.longrepr, str):  # such as xdist's own word about a worker that died
            symptoms = [Symptom(source="pytest", text=report.longrepr[:_LONGEST])]
        else:
            continue
        yield _Failure(report.nodeid, tuple(symptoms))


def _explained(failures: Sequence[_Failure], facts: Facts) -> list[tuple[Finding, tuple[str, ...]]]:
    """Each root cause with the tests that it explains, in the order of their failures."""
    known: dict[bytes, Finding | None] = {}
    whole: list[Symptom] = []
    for failure in failures:
        if failure.what not in known:
            # All of one test have one cause: the innermost that speaks.
            block = len(known) + 1
            one = [msgspec.structs.replace(s, block=block) for s in failure.symptoms]
            known[failure.what] = next(iter(findings_of(one, facts)), None)
            whole += one
    roots: dict[_Key, Finding] = {}
    for root in findings_of(whole, facts):
        roots |= {_key(finding): root for finding in (root, *root.consequences)}
    tests: dict[_Key, dict[str, None]] = {}
    for failure in failures:
        finding = known[failure.what]
        if finding is None:
            continue
        root = roots[_key(finding)]
        if _is_environmental(root):
            tests.setdefault(_key(root), {})[failure.nodeid] = None
    return [(roots[key], tuple(nodeids)) for key, nodeids in tests.items()]


def _is_environmental(finding: Finding) -> bool:
    if finding.slug == "pytest.fixture.missing":
        return bool(finding.fix.command)  # of a plugin; others are the project's own
    return finding.severity != "info"


def _key(finding: Finding) -> _Key:
    return finding.slug, finding.service, finding.title


def _facts(config: pytest.Config) -> Facts:
    """What the project's configuration says; nothing if it cannot be read."""
    import os

    from envkit.config import find_root, load
    from envkit.doctor.visit import facts_of
    from envkit.redact import conceal_later
    from envkit.secrets import values_to_conceal

    try:
        loaded = load(find_root(Path(config.rootpath)))
    except EnvkitError:
        return Facts()
    conceal_later(lambda: values_to_conceal(loaded, os.environ))
    return facts_of(loaded)


# -- the run that could not begin -----------------------------------------------------------------


def lines_of_error(error: EnvkitError) -> list[str]:
    """Why the services could not be had: our own words, and what the doctor makes of them."""
    own = from_exception(error)
    inner = from_text(error.detail, first_block=1)
    at_once = [msgspec.structs.replace(one, block=1) for one in (*own, *inner)]
    [ours] = clean(Report(status="problems", findings=findings_of(own, Facts())[:1])).findings
    lines = [f"{ours.title} [{ours.slug}]"]
    lines += [f"    {line}" for line in ours.evidence.splitlines()]
    lines += [said] if (said := cause(ours)) else []
    lines += _fix(ours)
    for finding in findings_of(at_once, Facts()):
        if finding.slug != error.slug and finding.severity == "error":
            lines += _lines(finding, "what these words mean")
    return lines


def nothing_selected(config: pytest.Config, deselected: int) -> str:
    """That no test was selected, by what, and out of how many; empty if there is nothing to say.

    Args:
        config: Of the run.
        deselected: Number of tests that were found and not selected.
    """
    from envkit.pytest_selection import expression_of
    from envkit.redact import one_line, redacted

    expression = redacted(one_line(expression_of(config)))
    if deselected:
        tests = "1 test" if deselected == 1 else f"{deselected} tests"
        by = f"by {expression}" if expression else "(deselected by a plugin or a conftest.py)"
        return f"envkit: 0 of {tests} selected {by}"
    return f"envkit: no test was found that {expression} could select" if expression else ""


# -- lines ----------------------------------------------------------------------------------------


def _lines(finding: Finding, explains: str) -> list[str]:
    [finding] = clean(Report(status="problems", findings=(finding,))).findings
    said = cause(finding)
    return [
        f"{finding.title} [{finding.slug}]",
        *(f"{_INDENT}{line}" for line in (explains, said) if line),
        *(f"{_INDENT}{line}" for line in _fix(finding)),
    ]


def _fix(finding: Finding) -> list[str]:
    """A command to type and what it does, or what to do in words."""
    text, command = finding.fix.text, finding.fix.command
    if command:
        first, *rest = command.splitlines()
        return [f"→ {first}", *(f"  {line}" for line in rest), *([f"  {text}"] if text else [])]
    return [f"→ {text}"] if text else []
