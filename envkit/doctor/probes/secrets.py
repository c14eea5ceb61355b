"""The secrets that the project declares."""

from __future__ import annotations

from typing import Final

from envkit.doctor.model import Symptom
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.secrets import examine

__all__ = ["PROBES"]

_CHECK: Final = "Secrets"


def _look(context: Context) -> Looked:
    if context.config is None:
        return Looked(status="skipped", detail="the configuration cannot be read")
    names = list(context.config.secrets)
    if not names:
        return Looked(status="skipped", detail="none are declared")
    verdicts = examine(context.config, context.environ)
    wrong = {one.name for one in verdicts}
    told = [name for name in names if name in wrong]
    detail = f"{', '.join(told)} (of {len(names)} declared)" if told else ", ".join(names)
    return Looked(
        detail=detail,
        symptoms=tuple(
            Symptom(
                source="secret",
                code=one.slug,
                text=one.observed,
                check=_CHECK,
                where=one.source,
                data={
                    "name": one.name,
                    "hint": one.advice,
                    "command": one.command,
                    "severity": one.severity,
                },
            )
            for one in verdicts
        ),
    )


PROBES: Final = (Probe(name=_CHECK, group="Project", limit=1.0, look=_look),)
