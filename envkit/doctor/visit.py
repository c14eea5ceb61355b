"""One visit of the doctor: all probes at once, or the reading of a log."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from msgspec import structs

from envkit.config import Config, load
from envkit.declared import TemplateSource
from envkit.doctor import reading
from envkit.doctor.model import Facts, Report, ServiceFacts, Symptom
from envkit.doctor.probes.look import Context, Probe, look_at_all
from envkit.doctor.triage import report_of
from envkit.errors import ConfigError, DsnMalformed, UsageError
from envkit.model import SERVICES, ServiceName
from envkit.secrets import place_of

__all__ = ["facts_of", "look_at_needs", "look_at_selection", "read_log", "visit"]

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
#: Those that say something about a service or a secret that tests need.
_OF_NEEDS: Final = ("secrets", "endpoints", "drivers")
_DRIVERS: Final = "Drivers"


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


def look_at_needs(
    config: Config, needs: Sequence[str], *, environ: Mapping[str, str] = os.environ
) -> Report:
    """Whether services and secrets are there that tests need; nothing is started or collected.

    Args:
        config: Of the project.
        needs: Services, configured or not, and names of declared secrets.
        environ: Stands in for ``os.environ``.
    """
    services = tuple(name for name in SERVICES if name in needs)
    ours = structs.replace(config, settings=structs.replace(config.settings, services=services))
    ci = place_of(environ) == "ci"
    context = Context(root=config.root, config=ours, environ=environ, ci=ci)
    probes = [one for one in _probes(_OF_NEEDS) if one.group != "Services" or services]
    checks, symptoms = look_at_all(probes, context)
    told = [one for one in symptoms if _is_about(one, needs)]
    return report_of(checks, told, facts_of(ours, ci=ci))


def _is_about(symptom: Symptom, needs: Sequence[str]) -> bool:
    """Whether it is about these, and not about what the project declares or requires besides."""
    if symptom.source == "secret":
        return symptom.data.get("name") in needs
    return symptom.service is not None or symptom.check != _DRIVERS


def look_at_selection(
    config: Config,
    category: str,
    pytest_args: tuple[str, ...],
    *,
    environ: Mapping[str, str] = os.environ,
) -> Report:
    """Why pytest cannot collect the tests of a category; it runs once more, and runs none.

    Args:
        config: Of the project.
        category: Name of a declared one.
        pytest_args: Further arguments of the command.
        environ: Stands in for ``os.environ``.
    """
    context = Context(
        root=config.root,
        config=config,
        environ=environ,
        ci=place_of(environ) == "ci",
        category=category,
        pytest_args=pytest_args,
    )
    checks, symptoms = look_at_all(_probes(("selection",)), context)
    return report_of(checks, symptoms, facts_of(config, ci=context.ci))


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


def _probes(modules: Sequence[str] = _MODULES) -> list[Probe]:
    package = "envkit.doctor.probes"
    return [one for name in modules for one in import_module(f"{package}.{name}").PROBES]


def facts_of(config: Config, *, ci: bool = False) -> Facts:
    """What the configuration tells."""
    return Facts(services=_services(config), ci=ci, secrets=frozenset(config.secrets))


def _services(config: Config) -> dict[ServiceName, ServiceFacts]:
    from envkit.dsn import read

    found: dict[ServiceName, ServiceFacts] = {}
    for service in config.settings.services:
        table = config.settings.of(service)
        asked = config.settings.backend_of(service)
        usual = config.templates.get(service, {}).get("", TemplateSource())
        made_by = usual.migrate or ", ".join(usual.schema)
        facts = ServiceFacts(backend=None if asked == "auto" else asked, made_by=made_by)
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
                made_by=made_by,
            )
        found[service] = facts
    return found
