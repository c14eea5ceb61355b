"""Clients that take leases for many threads: some in this process, some in one of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import msgspec

from envkit.errors import TemplateFailed
from envkit.model import SERVICES, Isolation, Lease
from tests.leases.using import User

__all__ = ["Here", "Holder", "There"]


class Holder(Protocol):
    def take(self, template: str = "") -> Lease:
        """On all three services."""

    def release(self, lease: Lease) -> None: ...

    def close(self) -> None: ...


class Here:
    """A client of this process."""

    def __init__(self, root: Path) -> None:
        self.user = User(root)

    def take(self, template: str = "") -> Lease:
        return self.user.take(*SERVICES, template=template)

    def database(self) -> Lease:
        """A database of a Redis that many share."""
        how: Isolation = "database"
        return self.user.take("redis", isolation=how)

    def release(self, lease: Lease) -> None:
        self.user.release(lease)

    def close(self) -> None:
        self.user.close()


class There:
    """A client in a process of its own, which does what it reads."""

    def __init__(self, root: Path) -> None:
        place = str(Path(__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": place},
        )
        self._guard = threading.Lock()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "connected\n"

    def take(self, template: str = "") -> Lease:
        return msgspec.convert(self._call({"take": template}), Lease)

    def release(self, lease: Lease) -> None:
        self._call({"release": lease.id})

    def close(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _call(self, asked: dict[str, str]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._guard:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())


def main() -> None:
    here = Here(Path.cwd())
    leases: dict[str, Lease] = {}
    print("connected", flush=True)  # noqa: T201 - what it says first
    with contextlib.closing(here):
        for line in sys.stdin:
            asked = json.loads(line)
            if "take" in asked:
                try:
                    lease = here.take(asked["take"])
                except TemplateFailed:  # lost with its server, after the files have changed
                    here.user.reload()
                    lease = here.take(asked["take"])
                leases[lease.id] = lease
                answer: Any = msgspec.to_builtins(lease)
            else:
                here.release(leases.pop(asked["release"]))
                answer = None
            print(json.dumps(answer), flush=True)  # noqa: T201 - this is its answer


if __name__ == "__main__":
    main()
