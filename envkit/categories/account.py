"""What the child's plugin has written (see `envkit.pytest_outcomes`), put together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct, convert, field, structs

from envkit.doctor.model import Symptom
from envkit.doctor.symptoms import of_envkit
from envkit.errors import from_dict

__all__ = ["Account", "Trouble", "read_account"]


class Trouble(Struct, kw_only=True):
    """A test that failed, or a file that could not be collected.

    Attributes:
        said: What pytest's short summary says of it.
    """

    test: str
    said: str = ""
    symptoms: tuple[Symptom, ...] = ()


class Account(Struct, kw_only=True):
    """What is known of a run of pytest, also if it did not come to its end.

    Attributes:
        is_over: Whether pytest came to its end.
        elsewhere: Whether none of the files and tests that were named is one of the category.
        selected, deselected: None if it did not come to that.
        expression: What selected, as it is typed: ``-k 'agent'``.
        slowest: Seconds and names, the slowest first.
        running: Tests that had begun and not ended.
        skipped: Reasons for which tests or whole files were skipped, each once.
        waited: Seconds for services.
        stopped: Why it ended early, in pytest's words.
        no_services: Why the services could not be had, if so.
        junit: Where its report is.
    """

    is_over: bool = False
    elsewhere: bool = False
    selected: int | None = None
    deselected: int | None = None
    expression: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    failed: list[Trouble] = field(default_factory=list)
    uncollected: list[Trouble] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    waited: float = 0.0
    stopped: str = ""
    no_services: Symptom | None = None
    junit: str = ""


def read_account(file: Path) -> Account:
    """What the file says; what was not written to its end is left out."""
    account = Account()
    durations: list[tuple[float, str]] = []
    begun: dict[str, None] = {}
    skipped: dict[str, None] = {}
    for one in _events(file):
        match one["is"]:
            case "selected":
                account.selected, account.deselected = one["selected"], one["deselected"]
                account.expression = one["expression"]
            case "begun":
                begun[one["test"]] = None
            case "test":
                begun.pop(one["test"], None)
                account.counts.update(one["outcomes"])
                durations.append((one["seconds"], one["test"]))
                skipped |= dict.fromkeys(filter(None, [one["why"]]))
            case "failed":
                account.failed.append(_trouble(one))
            case "uncollected":
                account.uncollected.append(_trouble(one))
            case "skipped file":
                skipped |= dict.fromkeys(filter(None, [one["why"]]))
            case "elsewhere":
                account.elsewhere, account.selected, account.deselected = True, 0, 0
            case "stopped":
                account.stopped = account.stopped or one["why"]
            case "waited":
                account.waited = one["seconds"]
            case "no services":
                account.no_services = of_envkit(from_dict(one["error"]))
            case "junit":
                account.junit = one["path"]
            case "end":
                account.is_over = True
    account.slowest = sorted(durations, reverse=True)[:3]
    account.running, account.skipped = list(begun), list(skipped)
    return account


def _events(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        for line in lines:
            with suppress(ValueError):  # cut off, by a full disk or the end of the process
                yield json.loads(line)


def _trouble(event: dict[str, Any]) -> Trouble:
    told = convert(event.get("symptoms", ()), tuple[Symptom, ...])
    where = event["test"]
    return Trouble(
        test=where,
        said=event.get("said", ""),
        symptoms=tuple(structs.replace(one, where=one.where or where) for one in told),
    )
