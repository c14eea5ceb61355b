"""Starting processes that end with this one."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from envkit.backends.site import Account
from envkit.keeper.watch import Watch

__all__ = ["MainThread"]

_PR_SET_PDEATHSIG = 1


def _parent_death_signal() -> Callable[[int], Any] | None:
    """prctl(PR_SET_PDEATHSIG, …) of Linux; None elsewhere, where the watchdog is alone."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda number: prctl(_PR_SET_PDEATHSIG, number)


class MainThread:
    """Runs jobs on the thread that lives as long as the process.

    The kernel sends the parent-death signal when the *thread* that started a process ends
    (prctl(2)), so every server is started from here.
    """

    def __init__(self, watch: Watch) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._watch = watch
        self._prctl = _parent_death_signal()

    def run(self) -> None:
        """Do what comes, until `stop`."""
        while (job := self._jobs.get()) is not None:
            job()

    def stop(self) -> None:
        """End `run` after the jobs that wait already; safe in a signal handler."""
        self._jobs.put(None)

    def spawn(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        output: int,
        account: Account | None,
        stop_signal: int,
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own.

        Raises:
            OSError: It cannot be executed.
        """
        future: Future[subprocess.Popen[bytes]] = Future()
        keeper = os.getpid()
        prctl = self._prctl

        def before_exec() -> None:
            if prctl is not None:
                prctl(stop_signal)
                if os.getppid() != keeper:  # died between fork and prctl
                    os.kill(os.getpid(), signal.SIGKILL)

        def job() -> None:
            try:
                process = subprocess.Popen(
                    list(arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=directory,
                    env=dict(environment),
                    start_new_session=True,
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                    # Runs after the change of user, which would clear the signal. One call into
                    # libc that was looked up before the fork: safe beside other threads.
                    preexec_fn=before_exec,  # noqa: PLW1509
                )
            except BaseException as error:
                future.set_exception(error)
            else:
                self._watch.process(process.pid, stop_signal)
                future.set_result(process)

        self._jobs.put(job)
        return future.result()
