"""Removing what a keeper has outside of this machine's files and processes.

A function for the keeper's own end, and a program for its watchdog: it reads one JSON document from
standard input, with the engine's environment and the containers by name.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

if __name__ == "__main__":  # find the package by this file, whatever else the path has
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    import envkit  # noqa: F401 - so that what follows comes from here

    del sys.path[0]

from envkit.engine.address import EngineAddress
from envkit.errors import EnvkitError

__all__ = ["remove_containers"]

_LIMIT_S = 4.0
_GONE_LIMIT_S = 1.0
_PAUSE_S = 0.05


def remove_containers(address: EngineAddress, containers: Mapping[str, bool]) -> list[str]:
    """Remove containers, all at once.

    Args:
        address: Of their engine.
        containers: Name to whether it is known to exist; one that is not may be about to, because
            an engine finishes what a client that died has asked for.

    Returns:
        Those that could not be removed.
    """
    from concurrent.futures import ThreadPoolExecutor

    def one(name: str) -> bool:
        return _remove(address, name, known=containers[name])

    with ThreadPoolExecutor(max_workers=8) as pool:
        done = dict(zip(containers, pool.map(one, containers), strict=True))
    return [name for name, removed in done.items() if not removed]


def _remove(address: EngineAddress, name: str, *, known: bool) -> bool:
    from contextlib import closing

    from envkit.backends.docker.labels import remove
    from envkit.engine.client import new_client
    from envkit.engine.look import answers
    from envkit.engine.words import in_our_words

    begun = time.monotonic()
    certain = False
    while True:
        # Asked first: whoever waits for this need not wait for an engine that is gone or hangs.
        limit = _LIMIT_S if answers(address, _GONE_LIMIT_S) else _GONE_LIMIT_S
        if limit == _LIMIT_S:
            try:
                client = new_client(address, timeout=_LIMIT_S)
                with closing(client), in_our_words(address.url):
                    if remove(client, name) or known:
                        return True
                    certain = True
            except EnvkitError:
                certain = False
        if time.monotonic() - begun > limit:
            return certain
        time.sleep(_PAUSE_S)


def main() -> None:
    about: dict[str, Any] = json.load(sys.stdin)
    remove_containers(EngineAddress(**about["engine"]), about["containers"])


if __name__ == "__main__":
    main()
