"""The child in which pytest runs: its start, its limits, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, Self

from msgspec import Struct

from envkit.processes import descendants, signal_process, start_time

__all__ = ["Ended", "Stops", "run_child"]

#: Seconds that pytest has for the teardown of what it was doing.
_GRACE_S: Final = 5.0
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Struct, frozen=True, kw_only=True):
    """How the child came to its end.

    Attributes:
        code: Exit code; -N if signal N ended it.
        timed_out: Whether it had to be ended because its time was over.
    """

    code: int
    seconds: float
    timed_out: bool = False


class Stops:
    """Ctrl-C and its like for the length of a ``with`` block: they end the child, and then us.

    Attributes:
        number: Of the first signal that came; 0 as long as none has.
    """

    def __init__(self) -> None:
        self.number = 0
        self._child: _Child | None = None
        self._before = {number: signal.getsignal(number) for number in _STOPPING}
        self._before[signal.SIGCHLD] = signal.getsignal(signal.SIGCHLD)

    @property
    def gentle(self) -> signal.Signals:
        """What makes pytest tear down and end; ignored signals are inherited."""
        ignored = self._before[signal.SIGINT] == signal.SIG_IGN
        return signal.SIGTERM if ignored else signal.SIGINT

    def __enter__(self) -> Self:
        # Inherited as ignored, it would hide the child's exit code.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in _STOPPING:
            if self._before[number] != signal.SIG_IGN:  # nohup's SIGHUP stays ignored
                signal.signal(number, self._caught)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, child: _Child | None) -> None:
        self._child = child
        if child is not None and self.number:  # it came while the child was being started
            child.stop(signal.Signals(self.number))

    def _caught(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        if self._child is not None:
            self._child.stop(signal.Signals(number))


class _Child:
    def __init__(self, process: subprocess.Popen[bytes], *, leads: bool, gentle: int) -> None:
        self._process = process
        self._leads = leads
        self._gentle = gentle
        # Its put may be called in a signal handler, which an Event's set may not.
        self._news: SimpleQueue[str] = SimpleQueue()
        self._asked = False
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self._process.wait()
        self._news.put("ended")

    def stop(self, number: signal.Signals) -> None:
        """Have it end as after Ctrl-C, or at the second time at once."""
        if self._asked:
            self._news.put("kill")
        # From a terminal Ctrl-C reaches all of our process group by itself.
        elif self._leads or number != signal.SIGINT:
            self._ask()
        self._asked = True
        self._news.put("stop")

    def wait(self, limit: float) -> bool:
        """Wait for its end; whether it had to be ended because of the limit.

        Args:
            limit: Seconds; 0 for none.
        """
        timed_out = False
        until = time.monotonic() + limit if limit else None
        while True:
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                news = self._news.get(timeout=left)
            except Empty:
                if self._asked:
                    news = "kill"
                else:
                    timed_out, news = True, "stop"
                    self._ask()
                    self._asked = True
            if news == "ended":
                return timed_out
            if news == "stop":
                until = time.monotonic() + _GRACE_S
            else:
                self._kill()
                until = None

    def _ask(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(self._gentle)

    def _kill(self) -> None:
        """End it with all that it has started."""
        family = {pid: start_time(pid) for pid in descendants([self._process.pid])}
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        for pid, started in family.items():
            if started is not None:
                signal_process(pid, started, signal.SIGKILL)


def run_child(
    command: Sequence[str],
    root: Path,
    environ: Mapping[str, str],
    *,
    lifeline: str,
    stops: Stops,
    limit: float = 0.0,
    output: int | None = None,
) -> Ended:
    """Run a command to its end, on our terminal.

    Args:
        command: What to run.
        root: The directory to run it in.
        environ: Its environment.
        lifeline: Variable for a file descriptor that comes to its end when we do.
        stops: That end it.
        limit: Seconds that it may take; 0 for any.
        output: Descriptor for its standard output, instead of ours.
    """
    # Whoever has no terminal to share can be ended as a whole. On a terminal a process group of its
    # own could not read: `--pdb` needs that.
    leads = not os.isatty(0)
    theirs, ours = os.pipe()
    begun = time.monotonic()
    try:
        process = subprocess.Popen(
            command,
            cwd=root,
            env={**environ, lifeline: str(theirs)},
            stdout=output,
            pass_fds=(theirs,),
            process_group=0 if leads else None,
        )
        child = _Child(process, leads=leads, gentle=stops.gentle)
        stops.watch(child)
        try:
            timed_out = child.wait(limit)
        finally:
            stops.watch(None)
    finally:
        os.close(theirs)
        os.close(ours)
    return Ended(code=process.returncode, seconds=time.monotonic() - begun, timed_out=timed_out)
