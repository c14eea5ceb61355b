"""Servers' programs: which are here, whether each runs, and whether this envkit is this one."""

from __future__ import annotations

from typing import Final

from envkit import services
from envkit.doctor.model import Symptom
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.host import find_programs, why_not_runnable

__all__ = ["PROBES"]

_LIMIT_S: Final = 1.0
_OURS: Final = "envkit-services"
#: Distributions of others that put files where ours are.
_FOREIGN: Final = ("envkit", "env-doctor")


def _look(context: Context) -> Looked:
    if context.config is None:
        return Looked(status="skipped", detail="the configuration cannot be read")
    settings = context.config.settings
    details: list[str] = []
    symptoms: list[Symptom] = []
    for service in settings.services:
        asked = settings.backend_of(service)
        if asked in ("docker", "attach") or (asked == "auto" and settings.of(service).url):
            continue
        spec = services.load(service)
        found = find_programs(spec.programs, every=False)
        details += [f"{one.program.product} {one.version}" for one in found]
        for program in spec.programs:
            # What runs has been asked already.
            if any(one.program == program for one in found):
                break
            if why := why_not_runnable(program):
                symptoms.append(
                    Symptom(
                        source="host",
                        code="PROGRAM_BROKEN",
                        text=why,
                        service=service,
                        check="Servers' programs",
                        data={"package": program.distribution},
                    )
                )
    if not details and not symptoms:
        needed = any(
            settings.backend_of(one) == "embedded" or not settings.of(one).url
            for one in settings.services
            if settings.backend_of(one) in ("auto", "embedded")
        )
        detail = "none here" if needed else "no service is planned to use one"
        return Looked(status="skipped", detail=detail)
    return Looked(detail=", ".join(details), symptoms=tuple(symptoms))


def _look_at_ourselves(_: Context) -> Looked:
    from importlib.metadata import PackageNotFoundError, version

    symptoms: list[Symptom] = []
    for name in _FOREIGN:
        try:
            found = f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
        symptoms.append(
            Symptom(
                source="host",
                code="FOREIGN_ENVKIT",
                text=f"{found} is installed",
                check="envkit",
                data={"found": found, "name": name},
            )
        )
    try:
        detail = f"{_OURS} {version(_OURS)}"
    except PackageNotFoundError:
        detail = "run from its sources"
    return Looked(detail=detail, symptoms=tuple(symptoms))


PROBES: Final = (
    Probe(name="Servers' programs", group="Programs", limit=_LIMIT_S, look=_look),
    Probe(name="envkit", group="Programs", limit=_LIMIT_S, look=_look_at_ourselves),
)
