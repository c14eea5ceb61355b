"""For programs: the report as it is, described by ``envkit/doctor/report.schema.json``."""

from __future__ import annotations

import json

import msgspec

from envkit.doctor.model import Report
from envkit.doctor.render.words import clean

__all__ = ["render"]


def render(report: Report) -> str:
    """The report as indented JSON, in ASCII: it stays valid whatever the stream's encoding is."""
    return json.dumps(msgspec.to_builtins(clean(report)), indent=2) + "\n"
