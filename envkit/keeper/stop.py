"""Ending a project's keepers from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from envkit.errors import UsageError, UseError
from envkit.keeper.client import join, running
from envkit.keeper.record import Record
from envkit.processes import start_time

__all__ = ["stop_all"]

_LIMIT_S = 10.0


def stop_all(root: Path) -> list[Record]:
    """Stop every keeper of a project and wait until its servers are gone.

    Returns:
        Those that were stopped.
    """
    stopped = running(root)
    for about in stopped:
        try:
            join(about.key, hold=False).down()
        except (UseError, UsageError):
            # It hangs, or speaks another version's protocol: its signals mean the same everywhere.
            _end(about, signal.SIGTERM)
            _end(about, signal.SIGKILL)  # then its watchdog stops the servers
    return stopped


def _end(about: Record, number: int) -> None:
    if start_time(about.pid) != about.started:
        return
    with contextlib.suppress(OSError):
        os.kill(about.pid, number)
    limit = time.monotonic() + _LIMIT_S
    while start_time(about.pid) == about.started and time.monotonic() < limit:
        time.sleep(0.005)
