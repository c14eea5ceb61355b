"""Ending a project's keepers from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from msgspec import Struct

from envkit.errors import UsageError, UseError
from envkit.keeper.client import join, running
from envkit.keeper.record import Record
from envkit.processes import start_time

__all__ = ["Stopped", "stop_all"]

_LIMIT_S = 10.0


class Stopped(Struct, frozen=True, kw_only=True):
    """What a keeper had.

    Attributes:
        services: Whose servers were its own.
        attached: What it used of others, in words: ``postgres, attached to HOST:PORT (ORIGIN)``.
        clients: How many were using it.
        left: Containers that could not be removed.
    """

    services: tuple[str, ...]
    attached: tuple[str, ...] = ()
    clients: int
    left: tuple[str, ...] = ()


def stop_all(root: Path | None) -> list[Stopped]:
    """Stop every keeper of a project (None: of this user) and wait until its servers are gone."""
    stopped: list[Stopped] = []
    for about in running(root):
        services: tuple[str, ...] = ()
        attached: tuple[str, ...] = ()
        clients = 0
        left: tuple[str, ...] = ()
        try:
            client = join(about.key, hold=False)
            status = client.status()
            rows = status["services"]
            services = tuple(row["service"] for row in rows if row["backend"] != "attach")
            attached = tuple(
                f"{row['service']}, {row['why']}" for row in rows if row["backend"] == "attach"
            )
            clients = status["clients"]
            client.down()
            left = tuple(client.left)
        except (UseError, UsageError):
            # It hangs, or speaks another version's protocol: its signals mean the same everywhere.
            _end(about, signal.SIGTERM)
            _end(about, signal.SIGKILL)  # then its watchdog stops the servers
        stopped.append(Stopped(services=services, attached=attached, clients=clients, left=left))
    return stopped


def _end(about: Record, number: int) -> None:
    if start_time(about.pid) != about.started:
        return
    with contextlib.suppress(OSError):
        os.kill(about.pid, number)
    limit = time.monotonic() + _LIMIT_S
    while start_time(about.pid) == about.started and time.monotonic() < limit:
        time.sleep(0.005)
