"""What a rule must find, and what it must not."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from envkit.doctor.model import Facts, Source, Symptom
from envkit.model import ServiceName

__all__ = ["Case", "log", "told"]


class Case(Struct, frozen=True, kw_only=True):
    """For one slug: symptoms that mean it, and near misses that do not.

    Attributes:
        fires: Each makes exactly this slug.
        silent: None makes this slug; what else it makes, if anything, is another case's business.
    """

    fires: tuple[Symptom, ...]
    silent: tuple[Symptom, ...]
    facts: Facts = field(default_factory=Facts)


def log(text: str) -> Symptom:
    """A line of a log, as somebody's program wrote it."""
    return Symptom(source="log", text=text)


def told(
    source: Source,
    code: str,
    text: str = "",
    service: ServiceName | None = None,
    data: Mapping[str, str] | None = None,
) -> Symptom:
    """What a driver, a server or a probe says, with its code."""
    return Symptom(source=source, code=code, text=text, service=service, data=data or {})
