"""The environment variables that lead programs to services, and those that would mislead them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envkit import services as registry
from envkit.model import SERVICES, Endpoint, ServiceName, Settings

__all__ = ["ADMIN_URLS", "environment", "misleading"]

#: The variables that say where a server is that is not envkit's own.
ADMIN_URLS: dict[ServiceName, str] = {name: f"ENVKIT_{name.upper()}_URL" for name in SERVICES}


def environment(endpoints: Mapping[ServiceName, Endpoint], settings: Settings) -> dict[str, str]:
    """The variables that lead programs to these endpoints, the project's own names included."""
    variables: dict[str, str] = {}
    for name, endpoint in endpoints.items():
        variables |= registry.load(name).environment(endpoint)
    for variable, meaning in settings.env.items():
        service, _, field = meaning.partition(".")
        found: Any = next((e for n, e in endpoints.items() if n == service), None)
        if found is not None:
            variables[variable] = str(getattr(found, field))
    return variables


def misleading(endpoints: Mapping[ServiceName, Endpoint]) -> list[str]:
    """The variables that would send programs elsewhere in spite of `environment`."""
    return [variable for name in endpoints for variable in registry.load(name).misleading]
