"""Where a service runs already, from all that may say so."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envkit.engine.address import engine_address
from envkit.host import Target
from envkit.model import ServiceName, Settings

__all__ = ["target_of"]


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
    found = _in_compose_project(settings, root).get(service)
    return Target(url=found[0], origin=found[1]) if found else None


def _in_compose_project(settings: Settings, root: str) -> dict[ServiceName, tuple[str, str]]:
    """What the containers of a compose project in this directory serve."""
    if find_spec("envkit.engine.compose_project") is None:
        return {}
    module: Any = import_module("envkit.engine.compose_project")
    endpoints: dict[ServiceName, tuple[str, str]] = module.endpoints(
        engine_address(settings.docker), Path(root)
    )
    return endpoints
