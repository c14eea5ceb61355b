"""Removing containers whose keeper is provably dead."""

from __future__ import annotations

import time
from contextlib import closing

from envkit.backends.docker.labels import Leftover, leftovers, remove
from envkit.engine.address import EngineAddress
from envkit.engine.client import new_client
from envkit.engine.words import in_our_words

__all__ = ["prune_containers"]

_LIMIT_S = 10.0
_BEING_MADE_S = 60.0


def prune_containers(
    address: EngineAddress, *, older_than: float | None = None
) -> tuple[list[str], list[str]]:
    """Remove what dead keepers left on an engine.

    Args:
        address: Of the engine.
        older_than: Seconds; also remove containers of that age whose keeper cannot be judged from
            here, because it ran on another machine or in another container.

    Returns:
        What was removed, and what was left alone and why.

    Raises:
        DockerDown, DockerDenied, EngineRefused: The engine cannot be asked.
    """
    removed: list[str] = []
    left: list[str] = []
    client = new_client(address, timeout=_LIMIT_S)
    with closing(client), in_our_words(address.url):
        for one in leftovers(client):
            dead, age = one.owner.is_dead, time.time() - one.owner.born
            if dead or (dead is None and older_than is not None and age > older_than):
                if remove(client, one.id):
                    removed.append(f"container {one.name}")
            elif dead is None and age > _BEING_MADE_S:
                left.append(f"container {one.name} ({_why(one)}; {age / 3600:.1f} h old)")
    return removed, left


def _why(one: Leftover) -> str:
    return f"of {one.project}, on another machine or in another container"
