"""The plan for a service, and where it runs already: from all that may say so."""

from __future__ import annotations

from pathlib import Path

from envkit.engine.address import engine_address
from envkit.engine.facts import is_absent
from envkit.errors import EngineRefused, UnavailableError
from envkit.host import Target, look_for
from envkit.model import ServiceName, Settings
from envkit.plan import Choice, choose
from envkit.services.spec import Service

__all__ = ["planned", "target_of"]


def planned(spec: Service, settings: Settings, root: str) -> Choice:
    """The plan for one service, which the keeper carries out and the doctor speaks of.

    Args:
        spec: The service.
        settings: Of the project.
        root: The project's directory.

    Raises:
        UnavailableError: Nothing here can serve it.
        DsnMalformed: What names a running one cannot be understood.
    """
    facts = look_for(
        settings.backend_of(spec.name),
        programs=spec.programs,
        image=spec.image,
        settings=settings.of(spec.name),
        docker=settings.docker,
        target=target_of(spec.name, settings, root),
    )
    return choose(spec.name, settings, facts)


def target_of(service: ServiceName, settings: Settings, root: str) -> Target | None:
    """Where a service runs: its URL, or, where attaching was asked for by name, a container.

    Args:
        service: Which.
        settings: With the URLs that variables name.
        root: The project's directory.
    """
    table = settings.of(service)
    if table.url:
        return Target(url=table.url, origin=table.url_origin)
    if settings.backend_of(service) != "attach" or not root:
        return None
    address = engine_address(settings.docker)
    if is_absent(address):
        return None
    from envkit.engine import compose_project

    try:
        found = compose_project.endpoints(address, Path(root)).get(service)
    except (UnavailableError, EngineRefused):  # then it says nothing about where a service runs
        return None
    return Target(url=found[0], origin=found[1]) if found else None
