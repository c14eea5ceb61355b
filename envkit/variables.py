"""The environment variables that lead programs to services, and those that would mislead them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from envkit import services as registry
from envkit.model import SERVICES, Endpoint, ServiceName, Settings
from envkit.services.spec import Address, Namespace

__all__ = ["ADMIN_URLS", "environment", "environment_to_nowhere", "misleading"]

#: The variables that say where a server is that is not envkit's own.
ADMIN_URLS: dict[ServiceName, str] = {name: f"ENVKIT_{name.upper()}_URL" for name in SERVICES}

# The port that no server of this kind listens on (https://www.rfc-editor.org/rfc/rfc863), so that
# whoever connects is refused at once.
_DISCARD: Final = 9


def environment(endpoints: Mapping[ServiceName, Endpoint], settings: Settings) -> dict[str, str]:
    """The variables that lead programs to these endpoints, the project's own names included."""
    variables: dict[str, str] = {}
    for name, endpoint in endpoints.items():
        variables |= registry.load(name).environment(endpoint)
    for variable, meaning in settings.env.items():
        service, _, part = meaning.partition(".")
        field, _, scheme = part.partition(" as ")
        found: Any = next((e for n, e in endpoints.items() if n == service), None)
        if found is not None:
            value = str(getattr(found, field))
            variables[variable] = scheme + value[value.index("://") :] if scheme else value
    return variables


def environment_to_nowhere(settings: Settings) -> dict[str, str]:
    """The same variables for the configured services, where none of these is running.

    For programs that want to read them and connect to nothing.
    """
    address = Address(host="127.0.0.1", port=_DISCARD, user="nobody", password="")
    endpoints: dict[ServiceName, Endpoint] = {}
    for name in settings.services:
        database = "0" if name == "redis" else "nothing_is_started"
        nobodys = Namespace(user=address.user, password="nothing", database=database)  # noqa: S106 - of nothing
        endpoints[name] = Endpoint(
            service=name,
            backend="attach",
            product="",
            version="",
            host=address.host,
            port=address.port,
            user=nobodys.user,
            password=nobodys.password,
            database=database,
            url=registry.load(name).url(address, nobodys),
        )
    return environment(endpoints, settings)


def misleading(endpoints: Mapping[ServiceName, Endpoint]) -> list[str]:
    """The variables that would send programs elsewhere in spite of `environment`."""
    return [variable for name in endpoints for variable in registry.load(name).misleading]
