"""One visit of the doctor: all probes at once, or the reading of a log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from envkit.config import Config, load
from envkit.doctor import reading
from envkit.doctor.model import Facts, Report, ServiceFacts
from envkit.doctor.probes.look import Context, Probe, look_at_all
from envkit.doctor.triage import report_of
from envkit.errors import ConfigError, DsnMalformed, UsageError
from envkit.model import ServiceName
from envkit.secrets import place_of

__all__ = ["facts_of", "read_log", "visit"]

#: In the order in which they are shown.
_MODULES: Final = (
    "configuration",
    "secrets",
    "engine",
    "endpoints",
    "selection",
    "programs",
    "drivers",
    "host",
)


def visit(
    root: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    category: str = "",
    pytest_args: tuple[str, ...] = (),
) -> Report:
    """Look at everything that would make the tests fail; changes nothing.

    Args:
        root: The project's directory.
        environ: Stands in for ``os.environ``.
        category: Of tests, whose needs and selection are looked at, too.
        pytest_args: Further arguments that its command would get.

    Raises:
        UsageError: There is no such category.
    """
    config: Config | None = None
    try:
        config = load(root, environ=environ)
    except ConfigError:  # the probe of the configuration says so
        config = None
    ci = place_of(environ) == "ci"
    if category and config and category not in config.categories:
        names = ", ".join(config.categories)
        raise UsageError(
            f"there is no category {category!r}",
            hint=f"name one of {names}" if names else "declare it under [tool.envkit.categories]",
        )
    context = Context(
        root=root,
        config=config,
        environ=environ,
        ci=ci,
        category=category,
        pytest_args=pytest_args,
    )
    checks, symptoms = look_at_all(_probes(), context)
    facts = facts_of(config, ci=ci) if config else Facts(ci=ci)
    return report_of(checks, symptoms, facts)


def read_log(text: str, facts: Facts | None = None) -> Report:
    """What a log says; nothing else is looked at.

    A log in which nothing is found is incomplete, and not healthy: somebody had a reason to ask.

    Args:
        text: The log, or a JUnit file.
        facts: Of the project that it comes from, where that is known.
    """
    report = report_of((), reading.read(text), facts or Facts())
    if report.findings:
        return report
    return report_of((), (), Facts(), unexplained=True)


def _probes() -> list[Probe]:
    package = "envkit.doctor.probes"
    return [one for name in _MODULES for one in import_module(f"{package}.{name}").PROBES]


def facts_of(config: Config, *, ci: bool = False) -> Facts:
    """What the configuration tells."""
    return Facts(services=_services(config), ci=ci, secrets=frozenset(config.secrets))


def _services(config: Config) -> dict[ServiceName, ServiceFacts]:
    from envkit.dsn import read

    found: dict[ServiceName, ServiceFacts] = {}
    for service in config.settings.services:
        table = config.settings.of(service)
        asked = config.settings.backend_of(service)
        facts = ServiceFacts(backend=None if asked == "auto" else asked)
        if table.url:
            try:
                target = read(service, table.url, table.url_origin)
            except DsnMalformed:
                continue
            facts = ServiceFacts(
                backend="attach",
                host=target.host,
                port=target.port,
                user=target.user,
                database=target.database,
                origin=table.url_origin,
            )
        found[service] = facts
    return found
