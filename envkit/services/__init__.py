"""The services, one module each; loaded by name, so that nobody pays for a service not used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from envkit.model import ServiceName
    from envkit.services.spec import Service

__all__ = ["load"]


def load(name: ServiceName) -> Service:
    """The `SPEC` of one service."""
    return cast("Service", import_module(f"envkit.services.{name}").SPEC)
