"""What it takes to use a server that somebody else runs, one module a service.

Loaded by name, so that nobody pays who does not attach.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from envkit.model import ServiceName
    from envkit.services.attached.spec import Attachment

__all__ = ["load"]


def load(name: ServiceName) -> Attachment:
    """The `ATTACHMENT` of one service."""
    return cast("Attachment", import_module(f"envkit.services.attached.{name}").ATTACHMENT)
