"""For programs: the report as it is, described by ``report.schema.json``."""

from __future__ import annotations

import msgspec

from envkit.doctor.model import Report
from envkit.doctor.render.words import clean

__all__ = ["render"]


def render(report: Report) -> str:
    """The report as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(clean(report)), indent=2).decode() + "\n"
