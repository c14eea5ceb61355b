"""The configuration itself: without it nothing else can be judged."""

from __future__ import annotations

from typing import Final

from envkit.config import load
from envkit.doctor.probes.look import Context, Looked, Probe

__all__ = ["PROBES"]


def _look(context: Context) -> Looked:
    loaded = load(context.root, environ=context.environ)  # what it raises is a symptom
    where = loaded.file.name if loaded.file else "no [tool.envkit] anywhere: defaults"
    return Looked(detail=f"{where}; services {', '.join(loaded.settings.services)}")


PROBES: Final = (Probe(name="Configuration", group="Project", limit=1.0, look=_look),)
