"""What git knows of a file; with a time limit, and no answer is an answer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["is_ignored", "is_tracked"]

# Less than the second that the doctor gives to all of the secrets, so that nothing outlives it.
_LIMIT_S: Final = 0.5


def is_tracked(path: Path) -> bool:
    """Whether a file is part of what everybody gets who has the repository."""
    return _ask(path.parent, "ls-files", "--error-unmatch", "--", path.name) == 0


def is_ignored(path: Path) -> bool | None:
    """Whether git will leave a file alone; None if there is no repository, or no git to ask."""
    code = _ask(path.parent, "check-ignore", "-q", "--", path.name)
    return {0: True, 1: False}.get(code)


def _ask(directory: Path, *arguments: str) -> int:
    if not _is_checkout(directory):
        return -1  # without the price of starting a program
    # A hook has variables that would lead git to another repository or index.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        child = subprocess.Popen(
            ["git", "-C", str(directory), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
            start_new_session=True,
        )
    except (OSError, ValueError):
        return -1
    try:
        return child.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        return -1
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # with whatever it has started
        child.wait()


def _is_checkout(directory: Path) -> bool:
    places: Sequence[Path] = (directory, *directory.parents)
    return any((place / ".git").exists() for place in places)
