"""Cleans up after a keeper that died: a program of its own.

Started by the keeper as ``python -I -S watchdog.py``, it reads JSON lines from standard input:
what exists, what no longer does, and at a normal end ``{"done": true}``. If the pipe closes without
that, the keeper is dead, and everything that was named is ended and removed.

It inherits the keeper's lock, so no new keeper of the project starts until it has finished.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

if __name__ == "__main__":  # isolated and without site-packages: find the package by this file
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from envkit.processes import end_processes, remove_directory, remove_file

TYPE_CHECKING = False  # what `typing` says at run time, without its 8 ms
if TYPE_CHECKING:
    from subprocess import Popen
    from typing import Any

__all__ = ["save_logs"]

_LOG_TAIL_BYTES = 256 * 1024
_SWEEP_LIMIT_S = 10.0


def save_logs(source: str, target: str, prefix: str) -> None:
    """Keep the end of each log: it is what explains a death."""
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(source))
        os.makedirs(target, mode=0o700, exist_ok=True)
        for name in names:
            with contextlib.suppress(OSError), open(os.path.join(source, name), "rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
                kept = os.path.join(target, f"{prefix}.{name}")
                with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                    out.write(file.read())


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, tuple[int, int]] = {}
    directories: list[str] = []
    files: list[str] = []
    logs: list[tuple[str, str, str]] = []
    containers: dict[str, bool] = {}
    engine: dict[str, Any] = {}
    attached: list[dict[str, str]] = []
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break  # the keeper died in the middle of a word
            message = json.loads(line)
            if "process" in message:
                processes[message["process"]] = (message["started"], message["signal"])
            elif "ended" in message:
                processes.pop(message["ended"], None)
            elif "directory" in message:
                directories.append(message["directory"])
            elif "removed" in message:
                with contextlib.suppress(ValueError):
                    directories.remove(message["removed"])
            elif "file" in message:
                files.append(message["file"])
            elif "logs" in message:
                logs.append((message["logs"], message["to"], message["prefix"]))
            elif "container" in message:
                containers[message["container"]] = False
                engine = message["engine"]
            elif "made" in message:
                containers[message["made"]] = True
            elif "gone" in message:
                containers.pop(message["gone"], None)
            elif "attached" in message:
                attached.append(message)
            elif "done" in message:
                os._exit(0)
    sweeper = None
    if containers or attached:
        sweeper = start_sweep(
            {"engine": engine, "containers": containers, "attached": attached},
        )
    end_processes(processes)
    for source, target, prefix in logs:
        save_logs(source, target, prefix)
    for path in directories:
        remove_directory(path)
    if sweeper is not None:
        with contextlib.suppress(Exception):  # it hangs: the next keeper finds what it left
            sweeper.wait(_SWEEP_LIMIT_S)
    for path in files:
        remove_file(path)


def start_sweep(what: dict[str, Any]) -> Popen[bytes]:
    """Have a program remove what is elsewhere: it knows how to talk to engines and servers.

    It gets URLs with passwords, so it gets them through a pipe.
    """
    from subprocess import PIPE, Popen

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sweep.py")
    program = Popen([sys.executable, "-P", path], stdin=PIPE)
    assert program.stdin is not None
    with contextlib.suppress(OSError):
        program.stdin.write(json.dumps(what).encode())
        program.stdin.close()
    return program


if __name__ == "__main__":
    main()
    os._exit(0)
