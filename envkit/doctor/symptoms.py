"""Symptoms from exceptions, and from text of unknown origin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import structs

from envkit.doctor.codes import code_of, codes_in, routine_of
from envkit.doctor.lines import SECTION, lines_of
from envkit.doctor.model import Symptom
from envkit.errors import EnvkitError, from_dict
from envkit.model import ServiceName

__all__ = ["from_exception", "from_text", "of_envkit"]

# One traceback, up to its last line; of a failed test of pytest see `SECTION`.
_TRACEBACK: Final = "Traceback (most recent call last):"
_CHAINED: Final = re.compile(
    r"^(?:The above exception was the direct cause|During handling of the above exception)"
)
_ATTEMPT: Final = "connection to server"
# Those in the middle are of ClickHouse; the last one is of a Postgres server's log, where each
# part of a message has its own time.
_CONTINUED: Final = re.compile(
    r"^(?:\s+\S|DETAIL:|HINT:|CONTEXT:|connection to server|DB::\w*Exception:"
    r"|You must use port \d+ for HTTP"
    r"|.{1,120}\b(?:DETAIL|HINT|CONTEXT):  )"
)
# What these are about is in the lines after them: a frame that names whose error follows (the
# environment's, testcontainers'), and pydantic's heading.
_TELLING: Final = re.compile(
    r"(?:\bos\.py|<frozen os>)\W[^\n]*\bin __getitem__$|\bin _?create_instance$"
    r"|\bvalidation errors? for \w*(?:Settings|Config)$"
)
# How errors of ours print themselves: observed [slug], the detail indented, an arrow and the hint.
_OURS: Final = re.compile(
    r"^(?:error: |[\w.]*\b[A-Z]\w+: )?(?P<told>\S.*?) \[(?P<slug>[a-z0-9.-]+)\]$"
)
_HINT: Final = re.compile(r"^ {0,2}(?:→|->) (?P<hint>\S.*)$")
_MOST_CONTINUED: Final = 4


def of_envkit(
    error: EnvkitError, *, check: str = "", service: ServiceName | None = None
) -> Symptom:
    """The symptom that an error of ours is."""
    return Symptom(
        source="envkit",
        code=error.slug,
        text=f"{error.observed}\n{error.detail}".strip(),
        service=service,
        check=check,
        data={"hint": error.hint},
    )


def from_exception(
    error: BaseException,
    *,
    where: str = "",
    service: ServiceName | None = None,
    check: str = "",
    block: int = 0,
) -> list[Symptom]:
    """One symptom for each exception of a chain, the innermost first."""
    found: list[Symptom] = []
    for one in _chain(error):
        if isinstance(one, EnvkitError):
            ours = of_envkit(one, check=check, service=service)
            found.append(structs.replace(ours, where=where, block=block))
            continue
        source, code = code_of(one)
        data: dict[str, str] = {"class": type(one).__name__}
        if isinstance(one, ImportError) and one.name:
            data["module"] = one.name
        if routine := routine_of(one):
            data["routine"] = routine
        found.append(
            Symptom(
                source=source,
                code=code,
                text=f"{type(one).__name__}: {one}" if source == "python" else str(one),
                service=service,
                where=where,
                check=check,
                block=block,
                data=data,
            )
        )
    return found[::-1]


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop(0)
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        todo.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
        # SQLAlchemy keeps the driver's exception here (sqlalchemy.exc.DBAPIError).
        original = getattr(one, "orig", None)
        if isinstance(original, BaseException):
            todo.append(original)


def from_text(text: str, *, name: str = "line", first_block: int = 1) -> list[Symptom]:
    """Symptoms from a log, line by line; a line takes with it what continues it.

    Args:
        text: Of any length; escape sequences are dropped.
        name: What a line is called in ``where``.
        first_block: Number of the first block.
    """
    lines = lines_of(text)
    found: list[Symptom] = []
    attempts = 0  # lines up to which libpq's further attempts belong to the first one
    for number, (line, block) in enumerate(zip(lines, _blocks(lines), strict=True), start=1):
        if not line.strip() or (number <= attempts and line.startswith(_ATTEMPT)):
            continue
        whole = [line]
        for further in lines[number : number + _MOST_CONTINUED]:
            if SECTION.match(line) or line.startswith(_TRACEBACK):
                break
            if not (_CONTINUED.match(further) or _TELLING.search(line)):
                break
            whole.append(further)
        attempts = max(attempts, number + len(whole) - 1)
        said = "\n".join(whole)
        ours = _OURS.match(line)
        if ours and from_dict({"slug": ours["slug"]}).slug == ours["slug"]:
            found.append(_read_ours(ours, lines[number:], f"{name} {number}", first_block + block))
            continue
        for source, code in codes_in(line) or [("log", "")]:
            found.append(
                Symptom(
                    source=source,
                    code=code,
                    text=said,
                    where=f"{name} {number}",
                    block=first_block + block,
                )
            )
    return found


def _read_ours(ours: re.Match[str], after: Sequence[str], where: str, block: int) -> Symptom:
    """What an error of ours printed of itself."""
    said, hint = [ours["told"]], ""
    for line in after:
        told = _HINT.match(line)
        if told:
            hint = told["hint"]
        if told or not line.startswith("    "):
            break
        said.append(line[4:])
    return Symptom(
        source="envkit",
        code=ours["slug"],
        text="\n".join(said),
        where=where,
        block=block,
        data={"hint": hint},
    )


def _blocks(lines: Sequence[str]) -> Iterator[int]:
    """A number for each line: the same one where the lines are about one failure."""
    block = 0
    failed_test = traceback = ended = chained = False
    for line in lines:
        if SECTION.match(line):
            block += 1
            failed_test, traceback = line.startswith("_"), False
        elif line.startswith(_TRACEBACK) and not failed_test:
            block += 0 if chained else 1
            traceback, ended, chained = True, False, False
        elif traceback and not failed_test:
            chained = chained or bool(_CHAINED.match(line))
            if ended and line.strip() and not chained:
                traceback = False
                block += 1
            elif line and not line[0].isspace():
                ended = True  # the exception itself; its message may go on
        elif not failed_test:
            block += 1
        yield block
