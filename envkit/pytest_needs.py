"""What a test asks for: services, and how it wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast, get_args

import pytest
from msgspec import Struct

from envkit.declared import EMPTY
from envkit.model import SERVICES, Isolation, ServiceName, Settings

__all__ = ["Need", "own_need", "services_of_item", "versions_of"]

_HOW: Final = ("template", "version", "isolation")


class Need(Struct, frozen=True, kw_only=True):
    """Services that are leased together.

    Attributes:
        how: Template, version and isolation, as pairs; see `Templates.wants`.
        own: Whether it is the test's own lease, and not one of a fixture made by `lease_fixture`.
    """

    services: frozenset[ServiceName]
    how: tuple[tuple[str, str], ...] = ()
    own: bool = False

    def options(self) -> dict[str, Any]:
        return dict(self.how)


def services_of_item(item: pytest.Item, configured: set[ServiceName]) -> set[ServiceName]:
    """Those that the real_services fixture means in this test: the marker's, else the configured.

    Raises:
        pytest.UsageError: The marker names something that is no service.
    """
    marker = item.get_closest_marker("real_services")
    named = marker.args if marker is not None else ()
    unknown = [one for one in named if one not in SERVICES]
    if unknown:
        raise pytest.UsageError(
            f"{item.nodeid}: the marker real_services takes names of services "
            f"({', '.join(SERVICES)}), not {', '.join(map(repr, unknown))}"
        )
    return set(named) or configured


def own_need(item: pytest.Item, services: Iterable[ServiceName]) -> Need:
    """A test's own need of services, as its marker and its parameters say how.

    Raises:
        pytest.UsageError: The marker says something that it cannot.
    """
    marker = item.get_closest_marker("real_services")
    said = dict(marker.kwargs) if marker is not None else {}
    for name, value in said.items():
        _check(item.nodeid, name, value)
    version = getattr(item, "callspec", None)
    if version is not None and (chosen := version.params.get("_envkit_version")):
        said["version"] = chosen
    return Need(services=frozenset(services), how=tuple(sorted(said.items())), own=True)


def _check(nodeid: str, name: str, value: object) -> None:
    expected = {
        "template": f"the name of a template, or {EMPTY!r}",
        "version": "a version of Postgres, such as '18'",
        "isolation": f"one of {', '.join(get_args(Isolation))}",
    }
    if name not in _HOW:
        raise pytest.UsageError(
            f"{nodeid}: the marker real_services takes services and {', '.join(_HOW)}, not {name}"
        )
    fits = isinstance(value, str) and (name != "isolation" or value in get_args(Isolation))
    if not fits:
        raise pytest.UsageError(
            f"{nodeid}: {name} of the marker real_services is {value!r}; expected {expected[name]}"
        )


def versions_of(metafunc: pytest.Metafunc, settings: Settings) -> tuple[str, ...]:
    """The versions of Postgres that a test is to be run with, if those are several."""
    versions = settings.postgres.versions
    if len(versions) < 2 or settings.postgres.version not in versions:
        return ()
    marker = metafunc.definition.get_closest_marker("real_services")
    if marker is not None and "version" in marker.kwargs:
        return ()
    named = cast("tuple[str, ...]", marker.args if marker is not None else ())
    one = {"real_redis", "real_clickhouse", "real_postgres"} & set(metafunc.fixturenames)
    every = {"real_services", "isolated_env"} & set(metafunc.fixturenames)
    uses = "real_postgres" in one or (bool(every) and "postgres" in (named or settings.services))
    return versions if uses else ()
