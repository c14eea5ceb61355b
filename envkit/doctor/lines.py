"""The lines of a log as their program wrote them, without what others put around them.

Continuous integration services and compose put something before each line, pytest marks the lines
of an error, and names of tests contain whatever they test. What is left out is replaced by nothing,
so that line numbers stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["SECTION", "lines_of"]

_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")
_PREFIX: Final = re.compile(
    # GitHub; GitLab, with the number of the stream
    r"^(?:\d{4}-\d\d-\d\dT[\d:.]+Z (?:\d\d[OE][+ ])?)?(?:##\[\w+\])?"
    # docker compose: the container's name; a service's name has no blank
    r"(?:[a-z][\w.-]* +\| )?"
    # journald
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [\w./@-]+(?:\[\d+\])?: )?"
    # the margin of an ExceptionGroup
    r"(?: +\| )?"
    # pytest and pytest-xdist
    r"(?:(?P<mark>[E>])(?: {3}|$)|\[gw\d+\] )?"
)
#: One failed test of pytest's report, up to the next one.
SECTION: Final = re.compile(r"^(?:_+ .* _+|={3,}.*={3,})$")
_CAPTURED: Final = re.compile(r"^-{3,} Captured .*-{3,}$")
# pytest -v, with xdist the other way round; the short summary keeps what comes after the name.
_NAMED_FIRST: Final = re.compile(r"^\S+?\.py::\w[^\s\[]*(?:\[.*\])?")
_PASSED: Final = re.compile(r"^(?:\[ *\d+%\] )?(?:PASSED|XFAIL|XPASS) \S+::.*")
_NAMED_SECOND: Final = re.compile(
    r"^(?:\[ *\d+%\] )?(?:FAILED|ERROR|SKIPPED|RERUN) \S+?::\w[^\s\[]*(?:\[.*?\])?(?= - |\s*$)"
)
_HEADING: Final = re.compile(r"^(_+ [^\[]*)\[.*\]( _+)$")
# pip tells of each attempt, and of the last one in other words.
_TRIED_AGAIN: Final = re.compile(r"^(?:WARNING: )?Retrying \(Retry\(total=\d")
# A Postgres server's own log: who knocks too early is told so, which is all right if it gets ready.
_EARLY: Final = re.compile(r"\[\d+\].* FATAL:  the database system is (?:starting|not yet|in rec)")
_READY: Final = "database system is ready to accept connections"
_LONGEST_LINE: Final = 2000


def lines_of(text: str) -> list[str]:
    """The lines of a text, each without what is not its program's.

    Args:
        text: Of any length; escape sequences are dropped, long lines are cut.
    """
    lines = [
        _bare(line)
        for line in _without_source(raw[:_LONGEST_LINE] for raw in _ANSI.sub("", text).splitlines())
    ]
    ready = max((number for number, line in enumerate(lines) if _READY in line), default=-1)
    for number in range(ready):
        if "FATAL" in lines[number] and _EARLY.search(lines[number]):
            lines[number] = ""
    return lines


def _bare(line: str) -> str:
    if line.startswith("{"):
        line = line.replace('\\"', '"')  # JSON within which others' words stand
    if "::" in line:
        line = _NAMED_SECOND.sub("", _PASSED.sub("", _NAMED_FIRST.sub("", line)))
    elif line.startswith("_"):
        line = _HEADING.sub(r"\1\2", line)
    elif "Retrying (" in line and _TRIED_AGAIN.match(line):
        return ""
    return line


def _without_source(raw: Iterable[str]) -> list[str]:
    """The lines without their prefixes; those of source that pytest shows are empty.

    The source of a driver says what else could have happened. In a failed test that has lines of
    its error, marked with E, source is what is indented or marked as the line that raised.
    """
    lines: list[str] = []
    source: list[int] = []
    marked = False  # whether this test's report has lines of its error
    captured = False

    def drop() -> None:
        for at in source if marked else ():
            lines[at] = ""
        source.clear()

    before = False  # whether the line before was one of the error
    for one in raw:
        prefix = _PREFIX.match(one)
        assert prefix is not None
        mark, line = prefix["mark"] or "", one[prefix.end() :]
        if SECTION.match(line):
            drop()
            marked = captured = False
        elif _CAPTURED.match(line):
            captured = True
        elif mark == "E":
            marked = True
        # After lines of an error those marked otherwise belong to it: "available fixtures: ...".
        elif not captured and not before and (mark or line.startswith("    ")):
            source.append(len(lines))
        before = mark == "E" or (mark == ">" and before)
        lines.append(line)
    drop()
    return lines
