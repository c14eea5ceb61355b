"""What the keeper lends to a backend: a place for files, and a way to start and lose processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from envkit.engine.address import EngineAddress
from envkit.owner import Owner

__all__ = ["Account", "Containers", "Site", "Spawn"]


class Account(Struct, frozen=True, kw_only=True):
    """A user of the operating system that a server runs as."""

    name: str
    uid: int
    gid: int


class Spawn(Protocol):
    """Start a process that ends with the keeper, whatever becomes of it."""

    def __call__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        output: int,
        account: Account | None,
        stop_signal: int,
    ) -> subprocess.Popen[bytes]: ...


class Containers(Protocol):
    """To be told of every container, so that it goes with the keeper, whatever becomes of it."""

    def making(self, name: str, engine: EngineAddress) -> None:
        """It may exist from now on."""

    def made(self, name: str) -> None:
        """It exists."""

    def gone(self, name: str) -> None:
        """It does not exist any more, and will not."""


class Site(Struct, frozen=True, kw_only=True):
    """The keeper's place.

    Attributes:
        key: The keeper's, for the names of what outlives it.
        project: Its path, to be shown.
        owner: The keeper, to be written on what outlives it.
        data: Directory for everything of this keeper; removed with it.
        logs: Directory inside it for what servers print.
        spawn: See `Spawn`.
        ended: To be told the pid of every spawned process that was reaped.
        building: Makes a directory beside the one given, for the length of a ``with`` block; it is
            removed at the end even if the keeper is killed meanwhile.
        later: Runs something beside what the tests wait for; the keeper's end waits for it.
        containers: See `Containers`.
    """

    key: str
    project: str
    owner: Owner
    data: Path
    logs: Path
    spawn: Spawn
    ended: Callable[[int], None]
    building: Callable[[Path], AbstractContextManager[Path]]
    later: Callable[[Callable[[], None]], None]
    containers: Containers
