"""``findings.md``: every slug, as ``envkit explain`` tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from docs.generator.markdown import bullet, document, prose, table
from envkit.doctor.explanations import Explanation, explanations

__all__ = ["page"]

#: What the first part of a slug is about.
_AREAS: Final = {
    "app": "The application's own code",
    "async": "Asynchronous tests",
    "ch": "ClickHouse",
    "docker": "Containers and their engine",
    "driver": "Drivers and other client libraries",
    "dsn": "URLs of services",
    "envkit": "envkit itself",
    "host": "This machine",
    "net": "Names, addresses and ports",
    "pg": "Postgres",
    "platform": "Platforms and wheels",
    "pytest": "pytest",
    "redis": "Redis",
    "secret": "Secrets",
    "swarm": "Docker Swarm",
}


def page() -> str:
    found = list(explanations().values())
    areas = [(area, list(those)) for area, those in groupby(found, lambda one: one.area)]
    return document(
        "Findings",
        [
            prose(
                "What the doctor, pytest's summary and every error of envkit's name in brackets,"
                " such as `[net.refused]`. The names are stable: each keeps its meaning."
                " `envkit explain SLUG` says the same in the terminal."
            ),
            prose(
                "An error makes the doctor end with 1, a warning does not, and an info is for"
                " your information, such as a fault of your own code. How sure the doctor is stands"
                " beside it: certain, likely, or a guess."
            ),
            table(["area", "of", "findings"], [_row(area, those) for area, those in areas]),
            *(part for area, those in areas for part in _area(area, those)),
        ],
    )


def _row(area: str, those: Sequence[Explanation]) -> Sequence[str]:
    return [f"[{area}](#{_anchor(area)})", _AREAS[area], str(len(those))]


def _area(area: str, those: Sequence[Explanation]) -> Iterator[str]:
    yield f"## {_AREAS[area]}"
    yield "\n".join(f"- [{one.slug}](#{one.slug})" for one in those)
    for one in those:
        yield from _finding(one)


def _anchor(area: str) -> str:
    """As GitHub makes it of a heading."""
    kept = (char for char in _AREAS[area].lower() if char.isalnum() or char in " -")
    return "".join(kept).replace(" ", "-")


def _finding(one: Explanation) -> Iterator[str]:
    yield f'<a id="{one.slug}"></a>'
    yield f"### {one.slug}"
    yield prose(one.what)
    sure = "a guess" if one.confidence == "guess" else one.confidence
    told = [("Why", one.why), ("Fix", one.fix), ("Severity", f"{one.severity}, {sure}")]
    told.append(("Said by", one.says))
    yield "\n".join(bullet(text, label) for label, text in told if text)
