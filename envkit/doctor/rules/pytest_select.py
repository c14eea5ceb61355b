"""What was asked of pytest, and that it meant no test at all."""

from __future__ import annotations

from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

#: What explains that no test ran; nobody needs to hear of an empty selection beside it.
_NOTHING_RAN: Final = ["pytest.select.empty"]
_ALL_SKIPPED: Final = r"^=* ?(?P<skipped>\d+) skipped(?:, \d+ (?:warnings?|deselected))* in [\d.]+s"


def _tests(number: int) -> str:
    return f"{number} test" if number == 1 else f"{number} tests"


@rule(
    "pytest.select.empty",
    source="pytest",
    codes=["5"],
    texts=[
        r"^collected (?P<collected>\d+) items? / (?P=collected) deselected / 0 selected",
        r"^no tests collected \((?P<deselected>\d+) deselected\)",
        r"^=* ?(?P<deselected>\d+) deselected(?:, \d+ warnings?)? in [\d.]+s",
        r"^=* ?no tests (?:ran|collected)(?:, \d+ warnings?)? in [\d.]+s",
    ],
    severity="warning",
    layer="tool",
)
def empty(seen: Seen) -> Finding | None:
    """No test was selected: pytest ends with exit code 5, and nothing has failed.

    Why: The expression after -k or -m fits none of the tests that were found, or there is no test
    where pytest looked.

    Fix: Change the expression or the path; count such a run as skipped, never as failed.
    """
    by_code = seen.symptom.source == "pytest" and seen.symptom.code == "5"
    if by_code and (int(seen.get("skipped", "0")) or _says_skipped(seen.symptom.text)):
        return None
    if seen.get("elsewhere"):
        return seen.finding(
            title=f"none of the named files and tests is in {seen.get('paths')}",
            cause="what was named narrows the category, and nothing of it is left",
            fix="name files or tests of this category, or leave them away",
        )
    collected = int(seen.get("collected", "0")) or int(seen.get("deselected", "0"))
    expression = seen.get("expression")
    if collected:
        by = f" by {expression}" if expression else ""
        return seen.finding(
            title=f"0 of {_tests(collected)} selected{by}",
            cause="the expression fits none of the tests that were found; nothing has failed"
            if expression
            else "-k, -m or a plugin deselected every test that was found; nothing has failed",
            fix="change the expression; if it may fit no test, count the run as skipped",
        )
    return seen.finding(
        title=f"no test was found in {seen.get('paths')}"
        if seen.get("paths")
        else "no test was found",
        cause="there is no test where pytest looked: names have to begin with test (python_files, "
        "python_functions), or everything was deselected; nothing has failed",
        fix="name a directory or file that has tests, or count this as skipped",
        confidence="certain" if by_code else "likely",
    )


def _says_skipped(text: str) -> bool:
    return " skipped" in text and " passed" not in text


@rule(
    "pytest.select.all-skipped",
    source="pytest",
    codes=["5"],
    texts=[
        r"^collected 0 items / (?P<skipped>\d+) skipped",
        r"^no tests collected(?:, (?P<skipped>\d+) skipped)",
        _ALL_SKIPPED,
    ],
    severity="warning",
    layer="tool",
)
def all_skipped(seen: Seen) -> Finding | None:
    """Every test was skipped: nothing failed, and nothing was tested.

    Why: A module that importorskip asks for is missing, a service that tests need is not there, or
    a condition (skipif, a platform) is true here.

    Fix: Run pytest -rs, which shows the reason of each skip; then mend that.
    """
    skipped = seen.get("skipped", "0")
    if seen.match is None and skipped == "0":
        return None
    reason = seen.get("reason")
    return seen.finding(
        title="every test was skipped, so nothing was tested",
        cause=f"the tests say: {reason}"
        if reason
        else "the tests themselves ask for it: importorskip, skipif, or a service that is missing",
        fix="look at the reason of each skip (pytest -rs), and mend that",
    )


@rule(
    "pytest.path.missing",
    texts=[
        r"ERROR: file or directory not found: (?P<path>.+?)\s*$",
        r"(?P<testpaths>No files were found in testpaths)",
    ],
    explains=_NOTHING_RAN,
    layer="tool",
)
def path_missing(seen: Seen) -> Finding:
    """A file or directory that pytest was given does not exist.

    Why: A typing error, a file that was renamed or moved, or another working directory than the
    one that the path starts from.

    Fix: Correct the path.
    """
    if seen.get("testpaths"):
        return seen.finding(
            title="testpaths in pytest's configuration names nothing that is here",
            cause="a typing error, or a renamed directory; pytest looks everywhere instead",
            fix="correct testpaths",
            severity="warning",
        )
    path, near = seen.get("path"), seen.get("near")
    return seen.finding(
        title=f"there is no file or directory {path}",
        cause="a typing error, a renamed file, or another working directory",
        fix=f"did you mean {near}?" if near else "correct the path, or change to its directory",
    )


@rule(
    "pytest.node.missing",
    texts=[
        r"ERROR: not found: (?P<node>.+?::.+?)\s*$",
        r"ERROR: found no collectors for (?P<node>.+?)\s*$",
    ],
    explains=_NOTHING_RAN,
    layer="tool",
)
def node_missing(seen: Seen) -> Finding:
    """The file is there, and the test in it that pytest was asked for is not.

    Why: The test or its class was renamed or moved, or its parameters are named otherwise now. Also
    said when the file itself could not be imported.

    Fix: List what the file has with pytest --collect-only -q FILE, and name one of those.
    """
    node = seen.get("node")
    file = node.partition("::")[0]
    return seen.finding(
        title=f"there is no test {node}",
        cause="the test or its class was renamed or moved, or has other parameters",
        fix=f"name a test that the file has: pytest --collect-only -q {file}",
    )


@rule(
    "pytest.select.bad-expr",
    texts=[
        r"Wrong expression passed to '(?P<option>-[km])': (?P<expression>.*): at column "
        r"(?P<column>\d+): (?P<why>.+?)\s*$",
    ],
    explains=_NOTHING_RAN,
    layer="tool",
)
def bad_expression(seen: Seen) -> Finding:
    """The expression after -k or -m cannot be read.

    Why: It is no expression of names with and, or, not and parentheses; often the shell has taken
    its quotes away.

    Fix: Correct it, in quotes: -k "agent and not slow".
    """
    return seen.finding(
        title=f"pytest cannot read the expression {seen.get('option')} {seen.get('expression')!r}",
        cause=f"at column {seen.get('column')}: {seen.get('why')}",
        fix='use names with and, or, not and parentheses, in quotes: -k "agent and not slow"',
    )
