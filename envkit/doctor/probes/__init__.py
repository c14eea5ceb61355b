"""What the doctor looks at."""

from __future__ import annotations

from envkit.doctor.probes.look import Probe

__all__ = ["PROBES"]

PROBES: tuple[Probe, ...] = ()
