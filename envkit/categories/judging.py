"""What came of a category: a pure function of how its child ended and of what that has written."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import structs

from envkit.categories.account import Account, Trouble
from envkit.categories.child import Ended
from envkit.categories.result import Outcome, Result
from envkit.declared import Category
from envkit.doctor.model import Facts, Finding, Report, Symptom
from envkit.doctor.symptoms import of_envkit
from envkit.doctor.triage import findings_of
from envkit.errors import KeeperLost
from envkit.model import ServiceName
from envkit.redact import one_line

__all__ = ["blocked_by_needs", "first_error", "judge", "kept_back", "not_run", "without_keeper"]

# https://docs.pytest.org/en/stable/reference/exit-codes.html
_OK, _FAILED, _INTERRUPTED, _INTERNAL, _USAGE, _NOTHING = range(6)
_COUNTED: Final = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
_TESTED: Final = frozenset(_COUNTED) - {"skipped"}
_VERBS: Final[dict[Outcome, str]] = {
    "failed": "failed",
    "blocked": "is blocked",
    "error": "could not be run to its end",
    "not-checked": "is not checked",
    "empty": "has no test",
}


def judge(
    category: Category,
    ended: Ended,
    account: Account,
    facts: Facts,
    *,
    require_tests: bool,
    why_usage: Callable[[], Report],
    ask_about: Callable[[ServiceName], Report],
) -> Result:
    """The result of a category that was run.

    Args:
        category: Which.
        ended: How its child did.
        account: What that has written.
        facts: Of the project, for the rules.
        require_tests: Whether it is to have tests, unless it may be empty.
        why_usage: Asks the doctor why pytest did not take its arguments.
        ask_about: Asks the doctor about a service.
    """
    result = Result(
        name=category.name,
        outcome="passed",
        selected=account.selected,
        deselected=account.deselected,
        counts={name: account.counts[name] for name in _COUNTED if account.counts[name]},
        seconds=ended.seconds,
        junit=account.junit,
    )
    if ended.timed_out:
        return structs.replace(
            result,
            outcome="error",
            cause=_sentence(f"took longer than its timeout of {category.timeout:g} s", account),
        )
    if ended.code < 0:
        what = f"pytest was ended by {_name(-ended.code)}"
        return structs.replace(result, outcome="error", cause=_sentence(what, account))
    if account.no_services is not None and ended.code != _OK:
        # Nothing was run, for a reason that the doctor was not asked about before.
        finding = _without_services(account.no_services, facts, ask_about)
        return structs.replace(result, outcome="blocked", **_said_by(finding))
    if account.uncollected and (
        ended.code == _INTERRUPTED or (ended.code == _FAILED and not account.counts)  # xdist
    ):
        return _uncollected(result, account, facts)
    if _has_failed(ended.code, account):
        return _failed(result, account, ended.code, facts)
    if ended.code == _USAGE:
        report = why_usage()
        finding = first_error(report)
        cause = finding.title if finding else _not_taken(report)
        command = _next(finding) if finding else f"envkit doctor --category {category.name}"
        return structs.replace(
            result, outcome="error", cause=cause, finding=finding, command=command
        )
    if ended.code in (_OK, _NOTHING) and account.is_over and not account.stopped:
        if account.counts.keys() & _TESTED:
            return structs.replace(result, cause=_budget(category, ended, account))
        problem = require_tests and not category.allow_empty
        return structs.replace(
            result,
            outcome="empty",
            selected=account.selected or 0,
            deselected=account.deselected or 0,
            cause=one_line(_empty(category, account)),
            counts_as_problem=problem,
        )
    return structs.replace(result, outcome="error", cause=_ended(ended.code, account))


def _has_failed(code: int, account: Account) -> bool:
    """Whether a test has, or else pytest says so at its end.

    A project may change the exit code, and Python has 1 for what pytest itself breaks down with.
    """
    if code == _FAILED and account.is_over and not account.stopped:
        return True
    if code in (_OK, _FAILED, _NOTHING) and account.is_over:
        return bool(account.counts["failed"] or account.counts["error"])
    return code == _INTERRUPTED and bool(account.failed)


def _not_taken(report: Report) -> str:
    """What pytest says of its arguments, where no rule knows better."""
    for check in report.checks:
        if check.status == "not-checked":
            return one_line(check.detail)
    return "pytest did not take its arguments (exit code 4)"


def _without_services(
    symptom: Symptom, facts: Facts, ask_about: Callable[[ServiceName], Report]
) -> Finding | None:
    """What the doctor sees where a server that runs already was tried, else what was said."""
    for service, target in facts.services.items():
        if target.port and f" {target.host}:{target.port} " in symptom.text:
            return first_error(ask_about(service)) or _finding([symptom], facts)
    return _finding([symptom], facts)


def _uncollected(result: Result, account: Account, facts: Facts) -> Result:
    symptoms = _blocks(account.uncollected)
    finding = _finding(symptoms, facts)
    first = account.uncollected[0]
    number = len(account.uncollected)
    files = "1 file" if number == 1 else f"{number} files"
    cause = f"{files} could not be collected, first {first.test}: {first.said}"
    command = _next(finding) if finding else f"envkit doctor --category {result.name}"
    return structs.replace(
        result, outcome="error", cause=one_line(cause), finding=finding, command=command
    )


def _failed(result: Result, account: Account, code: int, facts: Facts) -> Result:
    troubles = [*account.uncollected, *account.failed]
    finding = _finding(_blocks(troubles), facts)
    if troubles:
        cause = f"{troubles[0].test}: {troubles[0].said}"
        if code in (_OK, _NOTHING):
            cause += f" (and pytest ended with exit code {code} all the same)"
    else:
        cause = "no test failed, and pytest ended with exit code 1 all the same: see what it says"
    again = f"envkit test {result.name} -- --lf" if account.failed else ""
    command = _next(finding) if finding else again
    return structs.replace(
        result, outcome="failed", cause=one_line(cause), finding=finding, command=command
    )


def _ended(code: int, account: Account) -> str:
    if account.stopped:
        return one_line(f"pytest stopped: {account.stopped}")
    what = {
        _INTERRUPTED: "pytest was interrupted",
        _INTERNAL: "pytest had an internal error",
    }.get(code, f"pytest ended with exit code {code}")
    if code != _INTERRUPTED and not account.is_over:
        what = f"pytest's process ended with exit code {code} before its run was over"
    return _sentence(what, account)


def _sentence(what: str, account: Account) -> str:
    """With what is known of the moment at which it happened."""
    done = sum(account.counts.values())
    if account.running:
        return one_line(f"{what}, while {' and '.join(account.running[:2])} was running")
    if account.selected is None:
        return f"{what}, before its tests were collected"
    return f"{what}, after {done} of {account.selected} tests"


def _empty(category: Category, account: Account) -> str:
    selected, deselected = account.selected or 0, account.deselected or 0
    found = selected + deselected
    by = f" by {account.expression}" if account.expression else ""
    if account.elsewhere:
        return f"none of the named files and tests is in {' or '.join(category.paths)}"
    if account.counts["skipped"] or (account.skipped and not found):
        why = f": {account.skipped[0]}" if account.skipped else ""
        return f"every test was skipped{why}"
    if account.selected is None:
        return "pytest was asked to run no test"  # there was no session: --help, --markers
    if not found:
        where = f" in {', '.join(category.paths)}" if category.paths else ""
        return f"no test was found{where}"
    if selected:
        return f"{selected} of {found} selected{by}, and pytest was asked to run none"
    return f"0 of {found} selected{by or ' (deselected by a plugin or a conftest.py)'}"


def _budget(category: Category, ended: Ended, account: Account) -> str:
    if not category.budget or ended.seconds <= category.budget:
        return ""
    slow = ", ".join(f"{name} {seconds:.1f} s" for seconds, name in account.slowest)
    return one_line(
        f"took {ended.seconds:.1f} s of a budget of {category.budget:g} s; slowest: {slow}; "
        f"{account.waited:.1f} s waited for services"
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# -- what the doctor makes of it ------------------------------------------------------------------


def _blocks(troubles: Sequence[Trouble]) -> list[Symptom]:
    """The symptoms of each trouble have one cause."""
    return [
        structs.replace(symptom, block=block)
        for block, trouble in enumerate(troubles, start=1)
        for symptom in trouble.symptoms
    ]


def _finding(symptoms: Sequence[Symptom], facts: Facts) -> Finding | None:
    return _first(findings_of(symptoms, facts))


def first_error(report: Report) -> Finding | None:
    """The finding that makes the exit code, with what it explains."""
    return _first(report.findings)


def _first(findings: Iterable[Finding]) -> Finding | None:
    # A fixture that no plugin has is the project's own affair.
    return next(
        (
            one
            for one in findings
            if any(each.severity == "error" for each in (one, *one.consequences))
            and (one.fix.command or one.slug != "pytest.fixture.missing")
        ),
        None,
    )


def _next(finding: Finding) -> str:
    """What to type or, where no command helps, what to do."""
    return finding.fix.command or finding.fix.text


def _said_by(finding: Finding | None) -> dict[str, object]:
    if finding is None:
        return {"cause": "the services that the tests need cannot be had"}
    return {"cause": finding.title, "finding": finding, "command": _next(finding)}


def without_keeper(result: Result) -> Result:
    """The result of a category during which the keeper ended: that is why, if anything failed."""
    error = KeeperLost("the process that keeps the servers went away")
    finding = _finding([of_envkit(error)], Facts())
    assert finding is not None
    if result.is_fine:
        what = f"{finding.title} [{finding.slug}]"
        return structs.replace(result, cause="; ".join(filter(None, (what, result.cause))))
    again = f"envkit test {shlex.quote(result.name)}"
    return structs.replace(result, finding=finding, command=again)


# -- what is not run ------------------------------------------------------------------------------


def blocked_by_needs(category: Category, report: Report) -> Result | None:
    """The result of a category whose needs are not met, or of which nobody knows; else None."""
    if finding := first_error(report):
        return Result(name=category.name, outcome="blocked", **_said_by(finding))  # type: ignore[arg-type]
    for check in report.checks:
        if check.status == "not-checked":
            cause = one_line(f"{check.name} could not be checked: {check.detail}")
            return Result(
                name=category.name,
                outcome="not-checked",
                cause=cause,
                command=f"envkit doctor --category {shlex.quote(category.name)}",
            )
    return None


def kept_back(category: Category, by: Result) -> Result:
    """The result of a category that is not run because of what came of one before it."""
    origin = by.origin or by.name
    cause = by.cause if by.origin else f"{by.name} {_VERBS[by.outcome]}: {by.cause}"
    # What could not be checked says nothing about what comes after it, either.
    outcome: Outcome = "not-checked" if by.outcome == "not-checked" else "blocked"
    return Result(
        name=category.name,
        outcome=outcome,
        cause=cause,
        finding=by.finding,
        command=by.command,
        origin=origin,
    )


def not_run(category: Category, why: str) -> Result:
    """The result of a category that nobody came to."""
    return Result(name=category.name, outcome="not-checked", cause=why)
