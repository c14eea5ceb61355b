"""Running somebody's command with services in its environment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

__all__ = ["CANNOT_RUN", "NOT_FOUND", "Unrunnable", "find_command", "run_command"]

# As shells say it (POSIX, Shell Command Language, 2.8.2).
CANNOT_RUN = 126
NOT_FOUND = 127
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Unrunnable(Exception):
    """A command that cannot be started; ``code`` is 126 or 127."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def find_command(name: str) -> str:
    """Where a command is, asked before anything is started for it.

    Raises:
        Unrunnable: There is none, or it may not be executed.
    """
    found = shutil.which(name)
    if found:
        return found
    if "/" in name and Path(name).exists():
        what = "is a directory" if Path(name).is_dir() else "is not executable"
        raise Unrunnable(f"{name} {what}", CANNOT_RUN)
    raise Unrunnable(f"{name}: command not found", NOT_FOUND)


def run_command(
    command: Sequence[str], variables: Mapping[str, str], without: Sequence[str]
) -> int:
    """Run a command to its end in the foreground.

    Signals sent to us go on to it; Ctrl-C reaches it from the terminal by itself.

    Returns:
        Its exit code; 128 + N if signal N ended it.

    Raises:
        Unrunnable: It cannot be started after all.
    """
    environment = {k: v for k, v in os.environ.items() if k not in without} | dict(variables)
    watched = (signal.SIGINT, signal.SIGCHLD, *_FORWARDED)
    before = {number: signal.getsignal(number) for number in watched}
    early: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _: FrameType | None) -> None:
        if child is None:
            early.append(number)  # between fork and the next line: sent on below
        elif child.poll() is None:
            child.send_signal(number)

    try:
        # Inherited as ignored, it would hide the command's exit code.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGINT, *_FORWARDED):
            if before[number] != signal.SIG_IGN:  # nohup's SIGHUP stays ignored
                signal.signal(number, forward)
        child = _started(command, environment)
        # Only now: an ignored signal is inherited, a caught one is not. Ctrl-C reaches the command
        # from the terminal.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for missed in early:
            child.send_signal(missed)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env=environment)
    except PermissionError:
        raise Unrunnable(f"{command[0]}: permission denied", CANNOT_RUN) from None
    except FileNotFoundError:
        if shutil.which(command[0]):  # the kernel means the program on its #! line
            raise Unrunnable(f"{command[0]}: its interpreter is missing", NOT_FOUND) from None
        raise Unrunnable(f"{command[0]}: command not found", NOT_FOUND) from None
    except OSError as error:
        raise Unrunnable(f"{command[0]}: {error.strerror}", CANNOT_RUN) from None
