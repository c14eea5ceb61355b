"""The keeper's side of the watchdog: tell it what exists, and keep it alive."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envkit.engine.address import EngineAddress
from envkit.keeper import watchdog
from envkit.model import as_builtins
from envkit.processes import start_time

__all__ = ["Watch"]


class Watch:
    """Everything the watchdog has to remove if this process dies."""

    def __init__(self, *locks: int) -> None:
        self._locks = locks
        self._guard = threading.Lock()
        self._facts: list[dict[str, Any]] = []
        self._ending = False
        self._child = self._start()
        threading.Thread(target=self._mind, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def process(self, pid: int, stop_signal: int) -> None:
        """A process to end. It is named with its start time, so that no other is hit."""
        started = start_time(pid)
        if started is not None:
            self._tell({"process": pid, "started": started, "signal": int(stop_signal)})

    def process_ended(self, pid: int) -> None:
        self._forget("process", pid, {"ended": pid})

    def processes(self) -> dict[int, tuple[int, int]]:
        """Those that have not ended: pid to (start time, the signal that ends it)."""
        with self._guard:
            return {
                fact["process"]: (fact["started"], fact["signal"])
                for fact in self._facts
                if "process" in fact
            }

    def directories(self) -> list[str]:
        """Those that have not been removed."""
        with self._guard:
            return [fact["directory"] for fact in self._facts if "directory" in fact]

    def making(self, container: str, engine: EngineAddress) -> None:
        """A container that may exist from now on."""
        self._tell({"container": container, "engine": as_builtins(engine)})

    def made(self, container: str) -> None:
        self._tell({"made": container})

    def gone(self, container: str) -> None:
        with self._guard:
            self._facts = [fact for fact in self._facts if fact.get("made") != container]
        self._forget("container", container, {"gone": container})

    def containers(self) -> dict[str, bool]:
        """Those that have not been removed: name to whether it is known to exist."""
        with self._guard:
            made = {fact["made"] for fact in self._facts if "made" in fact}
            return {
                fact["container"]: fact["container"] in made
                for fact in self._facts
                if "container" in fact
            }

    def attached(self, run: str, service: str, url: str) -> None:
        """A server of somebody else, on which this run has something from now on."""
        self._tell({"attached": service, "url": url, "run": run})

    def directory(self, path: Path) -> None:
        self._tell({"directory": str(path)})

    def directory_removed(self, path: Path) -> None:
        self._forget("directory", str(path), {"removed": str(path)})

    @contextlib.contextmanager
    def building(self, beside: Path) -> Iterator[Path]:
        """A directory beside another, to be renamed to it or to vanish."""
        path = beside.with_name(f".building-{os.urandom(6).hex()}")
        self.directory(path)  # first: it must not exist unknown to the watchdog
        try:
            path.mkdir(mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            self.directory_removed(path)

    def file(self, path: Path) -> None:
        self._tell({"file": str(path)})

    def logs(self, source: Path, target: Path, prefix: str) -> None:
        """Logs whose ends are worth keeping if this process dies."""
        self._tell({"logs": str(source), "to": str(target), "prefix": prefix})

    def done(self) -> None:
        """All has been removed: let the watchdog go, and wait until it has."""
        with self._guard:
            self._ending = True
            self._write({"done": True})
            assert self._child.stdin is not None
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        self._child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # By its path and isolated: it must start fast and whatever the environment says.
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            pass_fds=self._locks,
            start_new_session=True,
            bufsize=0,
        )

    def _tell(self, fact: dict[str, Any]) -> None:
        with self._guard:
            self._facts.append(fact)
            self._write(fact)

    def _forget(self, what: str, value: Any, message: dict[str, Any]) -> None:
        with self._guard:
            self._facts = [fact for fact in self._facts if fact.get(what) != value]
            self._write(message)

    def _write(self, message: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):  # dead: `_mind` starts another and tells it all
            self._child.stdin.write(json.dumps(message).encode() + b"\n")

    def _mind(self) -> None:
        """Replace a watchdog that somebody killed."""
        while True:
            child = self._child
            child.wait()
            with self._guard:
                if self._ending:
                    return
                self._child = self._start()
                for fact in self._facts:
                    self._write(fact)
