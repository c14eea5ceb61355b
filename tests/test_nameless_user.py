"""Users without a name and a home, as containers have them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project


class Nameless:
    """A user without a name and a home, as containers have them.

    Attributes:
        uid: A new one each time: what a failing run of another day left is not this user's.
        place: Of its sockets and what is saved of logs, as it has no other.
    """

    def __init__(self) -> None:
        self.uid = secrets.choice(range(1_900_000_000, 2_000_000_000))
        self.place = Path(f"/tmp/envkit-{self.uid}")

    def envkit(self, project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
        names = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST")}
        return subprocess.run(
            [*self._namespace, sys.executable, "-m", "envkit", *arguments],
            cwd=project.root,
            capture_output=True,
            text=True,
            env=names,
        )

    def exists(self) -> bool:
        return subprocess.run([*self._namespace, "true"], capture_output=True).returncode == 0

    @property
    def _namespace(self) -> tuple[str, ...]:
        return "unshare", "--user", f"--map-user={self.uid}", f"--map-group={self.uid}"


@pytest.fixture
def nameless() -> Iterator[Nameless]:
    user = Nameless()
    if not user.exists():
        pytest.skip("this machine allows no user namespaces")
    yield user
    shutil.rmtree(user.place, ignore_errors=True)


def test_user_without_a_name_is_told_what_initdb_needs(
    project: Project, nameless: Nameless
) -> None:
    done = nameless.envkit(project, "run", "postgres", "--", "true")
    assert done.returncode == 125
    assert f"uid {nameless.uid} has no entry in /etc/passwd" in done.stderr
    assert "[envkit.uid.nameless]" in done.stderr


def test_user_without_a_name_and_a_home_can_use_what_needs_neither(
    project: Project, nameless: Nameless
) -> None:
    done = nameless.envkit(project, "run", "redis", "--", "env")
    assert (done.returncode, "REDIS_URL=" in done.stdout) == (0, True), done.stderr
    assert not nameless.place.exists()
