"""What each slug means: the documentation of the rules, and of the errors that have no rule."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from envkit.doctor.engine import Rule, all_rules
from envkit.doctor.model import Confidence, Layer, Severity, Source
from envkit.errors import by_slug

__all__ = ["Explanation", "explanations"]

_LAYERS: Final[dict[Layer, str]] = {
    "server": "the server",
    "driver": "the client library",
    "engine": "the container engine",
    "tool": "a tool, such as pytest or pip",
    "socket": "the operating system",
    "host": "a look at this machine",
}
#: Who it is, and what its codes are called.
_SOURCES: Final[dict[Source, tuple[str, str]]] = {
    "postgres": ("Postgres", "SQLSTATE "),
    "redis": ("Redis", ""),
    "clickhouse": ("ClickHouse", "code "),
    "docker": ("the container engine", ""),
    "socket": ("the operating system", ""),
    "python": ("Python", ""),
    "pytest": ("pytest", "exit code "),
    "process": ("a program that ended", "exit code "),
    "host": ("a look at this machine", ""),
    "secret": ("envkit's look at secrets", ""),
    "envkit": ("envkit", ""),
    "log": ("a log", ""),
}
_OURS: Final[frozenset[Source]] = frozenset({"host", "secret", "envkit"})


class Explanation(Struct, frozen=True, kw_only=True):
    """What ``envkit explain`` tells of a slug.

    Attributes:
        area: The slug's first part.
        says: Who is heard saying it, with the codes, such as ``Postgres (SQLSTATE 28P01)``.
        why: The usual causes; empty where the error itself tells the cause.
        fix: What to do; empty where the error itself tells it.
    """

    slug: str
    area: str
    severity: Severity
    confidence: Confidence
    says: str
    what: str
    why: str = ""
    fix: str = ""


def explanations() -> Mapping[str, Explanation]:
    """Slug to explanation, by area and name."""
    found = {rule.slug: _of_rule(rule) for rule in all_rules().values()}
    for slug, error in by_slug().items():
        if slug not in found:
            found[slug] = Explanation(
                slug=slug,
                area=slug.partition(".")[0],
                severity="error",
                confidence="certain",
                says="envkit",
                what=_plain(inspect.cleandoc(error.__doc__ or "").partition("\n")[0]),
            )
    return dict(sorted(found.items()))


def _of_rule(rule: Rule) -> Explanation:
    return Explanation(
        slug=rule.slug,
        area=rule.slug.partition(".")[0],
        severity=rule.severity,
        confidence=rule.confidence,
        says=_says(rule),
        what=_plain(rule.what),
        why=_plain(rule.why),
        fix=_plain(rule.fix),
    )


def _says(rule: Rule) -> str:
    if not (rule.sources or rule.codes or rule.texts):
        return "envkit"  # an error of ours, which the rule only explains
    names = [_SOURCES[source] for source in rule.sources]
    who = " or ".join(name for name, _ in names) or _LAYERS[rule.layer]
    kind = names[0][1] if len(names) == 1 else ""
    # Others mean something only between the parts of envkit.
    codes = [] if _OURS.issuperset(rule.sources) else [c for c in rule.codes if c != rule.slug]
    if kind == "exit code ":
        codes = [code for code in codes if code.isdigit()]
    return f"{who} ({kind}{', '.join(codes)})" if codes else who


def _plain(documentation: str) -> str:
    return documentation.replace("``", "`")
