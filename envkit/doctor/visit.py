"""One visit of the doctor: all probes at once, or the reading of a log."""

from __future__ import annotations

from envkit.doctor.model import Facts, Report
from envkit.doctor.probes import PROBES
from envkit.doctor.probes.look import Context, look_at_all
from envkit.doctor.symptoms import from_text
from envkit.doctor.triage import report_of

__all__ = ["read_log", "visit"]


def visit(context: Context, facts: Facts) -> Report:
    """Look at everything that would make the tests fail; changes nothing."""
    checks, symptoms = look_at_all(PROBES, context)
    return report_of(checks, symptoms, facts)


def read_log(text: str) -> Report:
    """What a log says; nothing else is looked at.

    A log in which nothing is found is incomplete, and not healthy: why it was read is unknown.
    """
    return report_of((), from_text(text), Facts(), unexplained=True)
