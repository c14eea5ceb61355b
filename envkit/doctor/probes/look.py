"""Probes: each one bounded, read-only look; all at once, and none can hold the others up."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from envkit.config import Config
from envkit.doctor.model import Check, Symptom
from envkit.doctor.symptoms import of_envkit
from envkit.errors import EnvkitError

__all__ = ["Context", "Looked", "Probe", "look_at_all"]


class Context(Struct, frozen=True, kw_only=True):
    """What probes are given.

    Attributes:
        config: None if it cannot be read; then only probes run that do without.
        category: Name of the category asked for; empty for none.
        pytest_args: Further arguments that its command would get.
    """

    root: Path
    config: Config | None
    environ: Mapping[str, str]
    ci: bool = False
    category: str = ""
    pytest_args: tuple[str, ...] = ()


class Looked(Struct, frozen=True, kw_only=True):
    """What one probe saw.

    Attributes:
        status: ``pass`` lets the rules judge the symptoms; ``skipped`` and ``not-checked`` say in
            ``detail`` why.
        detail: In few words.
        symptoms: Of what is not as it should be, or may not be.
        version: Of a server that was asked.
        started_ms: Milliseconds that a server of ours took to start.
    """

    status: Literal["pass", "skipped", "not-checked"] = "pass"
    detail: str = ""
    symptoms: tuple[Symptom, ...] = ()
    version: str = ""
    started_ms: float = 0.0


class Probe(Struct, frozen=True, kw_only=True):
    """One look at the world.

    Attributes:
        name: Unique among the probes of a visit; symptoms carry it as ``check``.
        group: Under which heading it is shown.
        limit: Seconds that it may take; then it counts as not checked, and goes on for nobody.
        look: Does it. An `EnvkitError` that it raises is a symptom.
    """

    name: str
    group: str
    limit: float
    look: Callable[[Context], Looked]


def look_at_all(
    probes: Sequence[Probe], context: Context
) -> tuple[tuple[Check, ...], tuple[Symptom, ...]]:
    """Run all probes at the same time; takes as long as the longest limit at most."""
    seen: dict[str, tuple[Looked, float]] = {}
    begun = time.monotonic()

    def run(probe: Probe) -> None:
        try:
            looked = probe.look(context)
        except EnvkitError as error:
            looked = Looked(symptoms=(of_envkit(error, check=probe.name),))
        except Exception as error:
            # A fault of the doctor's own is no statement about the environment.
            where = traceback.extract_tb(error.__traceback__)[-1]
            looked = Looked(
                status="not-checked",
                detail=f"{type(error).__name__}: {error} ({Path(where.filename).name}, "
                f"line {where.lineno})",
            )
        seen[probe.name] = (looked, (time.monotonic() - begun) * 1000)

    threads = [threading.Thread(target=run, args=(probe,), daemon=True) for probe in probes]
    for thread in threads:
        thread.start()
    checks: list[Check] = []
    symptoms: list[Symptom] = []
    for probe, thread in zip(probes, threads, strict=True):
        thread.join(max(0.0, begun + probe.limit - time.monotonic()))
        silent = Looked(
            status="not-checked",
            detail=f"no answer within {probe.limit:g} s",
        )
        looked, took = seen.get(probe.name, (silent, probe.limit * 1000))
        checks.append(
            Check(
                name=probe.name,
                group=probe.group,
                status=looked.status,
                ms=took,
                detail=looked.detail,
                started_ms=looked.started_ms,
            )
        )
        symptoms += looked.symptoms
    return tuple(checks), tuple(symptoms)
