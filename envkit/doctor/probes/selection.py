"""Which tests a command would run: pytest collects them in a child, and runs none."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from msgspec import DecodeError, ValidationError, convert, structs

from envkit.declared import Category
from envkit.doctor.collecting import LIFELINE, VARIABLE
from envkit.doctor.engine import diagnose
from envkit.doctor.model import Facts, Symptom
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.doctor.pytest_plugins import owner_of_option
from envkit.doctor.symptoms import from_text
from envkit.selection import ORDERS, arguments, orders

__all__ = ["PROBES"]

_NAME: Final = "Test selection"
_LIMIT_S: Final = 60.0
# The child ends before the probe's time is over, so that it is never left alone.
_CHILD_LIMIT_S: Final = 55.0
# Doubly quiet: names of tests may hold whatever words an error has.
_COLLECT: Final = ("--collect-only", "-qq", "--color=no", "-p", "envkit.doctor.collecting")
_PIPE: Final = 1 << 16
_NOTHING_SELECTED: Final = 5
_SAID_AT_MOST: Final = 4000


def _look(context: Context) -> Looked:
    if not context.category and not context.pytest_args:
        return Looked(status="skipped", detail="only with --category or pytest's arguments")
    if context.config is None:
        return Looked(status="skipped", detail="the configuration cannot be read")
    category = (
        context.config.categories[context.category] if context.category else Category(name="")
    )
    with tempfile.TemporaryFile() as output:
        code, said = _collect(context, category, output.fileno())
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if code is None:
        return Looked(
            status="not-checked", detail=f"pytest did not end within {_CHILD_LIMIT_S:g} s"
        )
    symptoms = list(_symptoms(code, said, printed, context, category))
    detail = _counts(said) if said else f"pytest ended with exit code {code}"
    if code not in (0, _NOTHING_SELECTED) and not _is_known(symptoms):
        last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
        return Looked(
            status="not-checked",
            detail=f"pytest ended with exit code {code}: {last.strip()}"[:200],
            symptoms=tuple(symptoms),
        )
    return Looked(detail=detail, symptoms=tuple(symptoms))


def _collect(
    context: Context, category: Category, output: int
) -> tuple[int | None, dict[str, Any]]:
    """Exit code of the child (None if it did not end), and what its plugin had to say."""
    typed = context.pytest_args
    ours, theirs = os.pipe()
    lifeline, held = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "pytest", *_COLLECT, *arguments(category, typed)],
            cwd=context.root,
            env={
                **context.environ,
                VARIABLE: str(theirs),
                LIFELINE: str(lifeline),
                ORDERS: json.dumps(orders(category, typed)),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(theirs, lifeline),
            start_new_session=True,
        )
        try:
            code: int | None = child.wait(_CHILD_LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)  # with whatever it has started
            child.wait()
        os.set_blocking(ours, False)
        try:
            said = os.read(ours, _PIPE)
        except BlockingIOError:
            said = b""
    finally:
        for one in (ours, theirs, lifeline, held):
            os.close(one)
    try:
        told: dict[str, Any] = json.loads(said) if said else {}
    except ValueError:
        told = {}
    return code, told


def _symptoms(
    code: int, said: dict[str, Any], printed: str, context: Context, category: Category
) -> Iterator[Symptom]:
    for one in said.get("symptoms", ()):
        with contextlib.suppress(ValidationError, DecodeError):
            yield structs.replace(convert(one, Symptom), check=_NAME)
    for fixture, place in said.get("shadowed", {}).items():
        yield Symptom(
            source="pytest",
            code="SHADOWED",
            text=f"{fixture} is defined in {place}",
            check=_NAME,
            where=place,
            data={"fixture": fixture, "file": place},
        )
    if code == _NOTHING_SELECTED and not category.allow_empty:
        yield from _empty(said, printed, category)
    elif code not in (0, _NOTHING_SELECTED):
        # Without its plugin's word, or beside it: usage errors come before any plugin is asked.
        for symptom in from_text(printed[-_SAID_AT_MOST:], first_block=1000):
            yield structs.replace(
                symptom,
                check=_NAME,
                where="pytest --collect-only",
                data={**symptom.data, **_facts_of(symptom.text, context.root, said)},
            )


def _empty(said: dict[str, Any], printed: str, category: Category) -> Iterator[Symptom]:
    skipped: list[str] = said.get("skipped", [])
    collected = said.get("selected", 0) + said.get("deselected", 0)
    constructors = any(
        "cannot collect test class" in one["text"] for one in said.get("symptoms", ())
    )
    if not collected and not skipped and constructors:
        return  # that is why, and a symptom already
    yield Symptom(
        source="pytest",
        code=str(_NOTHING_SELECTED),
        text=_counts(said) if said else printed.strip(),
        check=_NAME,
        where="pytest --collect-only",
        data={
            "collected": str(collected),
            "deselected": str(said.get("deselected", 0)),
            "selected": str(said.get("selected", 0)),
            "skipped": "0" if collected else str(len(skipped)),
            "reason": skipped[0] if skipped else "",
            "expression": said.get("expression", ""),
            "paths": ", ".join(category.paths),
            # Then there was no session that could have told anything.
            "elsewhere": "yes" if category.paths and not said else "",
        },
    )


def _counts(said: dict[str, Any]) -> str:
    selected, deselected = said.get("selected", 0), said.get("deselected", 0)
    expression = said.get("expression")
    by = f" by {expression}" if expression else ""
    skipped = len(said.get("skipped", ()))
    modules = f"; {skipped} module{'' if skipped == 1 else 's'} skipped" if skipped else ""
    found = selected + deselected
    return f"{selected} of {found} test{'' if found == 1 else 's'} selected{by}{modules}"


def _is_known(symptoms: Sequence[Symptom]) -> bool:
    return any(diagnose(symptom, Facts()) for symptom in symptoms)


def _facts_of(text: str, root: Path, said: dict[str, Any]) -> dict[str, str]:
    """What makes a finding more useful than pytest's own words."""
    if "during collection" in text:
        errors = [one for one in said.get("symptoms", ()) if one.get("block")]
        places = dict.fromkeys(f"{one['where']}: {one['text'].splitlines()[0]}" for one in errors)
        return {"errors": "; ".join(places)}
    missing = re.search(r"file or directory not found: (.+?)\s*$", text, re.MULTILINE)
    if missing:
        return {"near": _near(missing[1], root)}
    unknown = re.search(r"unrecognized arguments: (.+)|Missing required plugins: (.+)", text)
    if unknown:
        words = re.split(r"[\s,]+", unknown[1] or unknown[2])
        owners = {owner_of_option(one) or re.split(r"[^\w.-]", one)[0] for one in words}
        return {"installed": " ".join(sorted(one for one in owners if _is_installed(one)))}
    return {}


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except (PackageNotFoundError, ValueError):
        return False
    return True


def _near(path: str, root: Path) -> str:
    """The entry beside it whose name is nearest."""
    wanted = root / path
    with contextlib.suppress(OSError):
        names = [entry.name for entry in wanted.parent.iterdir()]
        for name in difflib.get_close_matches(wanted.name, names, n=1):
            return str(Path(path).with_name(name))
    return ""


PROBES: Final = (Probe(name=_NAME, group="Project", limit=_LIMIT_S, look=_look),)
