"""The process that keeps the servers, stopped in the middle of its work."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Project


def test_keeper_that_hangs_is_told_and_does_not_hold_the_doctor_up(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\nbackend = "embedded"\n')
    assert project.envkit("up").returncode == 0
    [keeper] = json.loads(project.envkit("status", "--format", "json").stdout)["keepers"]
    os.kill(keeper["pid"], signal.SIGSTOP)
    try:
        done = project.envkit("doctor", "--format", "json")
    finally:
        os.kill(keeper["pid"], signal.SIGCONT)
    assert done.returncode == 3
    [check] = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "Redis"]
    assert check["status"] == "not-checked"
    assert check["detail"] == (
        f"the process that keeps the servers (pid {keeper['pid']}) does not answer"
    )
