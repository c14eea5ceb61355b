"""Programs that keep the credentials of registries, and fail at it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.taps import Registry

pytest_plugins = ["tests.engines", "tests.taps"]


@pytest.mark.parametrize(
    ("program", "why"),
    [("echo nonsense", "Expecting value"), ("exit 3", "fails"), ("exec sleep 30", "says nothing")],
)
def test_helper_for_credentials_that_gives_none_is_named(
    on_engine: Project,
    registry: Registry,
    tmp_path: Path,
    program: str,
    why: str,
) -> None:
    helper = tmp_path / "docker-credential-fails"
    helper.write_text(f"#!/bin/sh\n{program}\n")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "fails"}))
    image = f"{registry.address}/team/redis:9"
    on_engine.write("envkit.toml", f'services = ["redis"]\nredis.image = "{image}"\n')
    ended = on_engine.envkit(
        "up", DOCKER_CONFIG=str(tmp_path), PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    assert ended.returncode == 3
    assert "cannot be read [docker.pull.denied]" in ended.stderr
    assert why in ended.stderr
    assert f"{tmp_path}/config.json" in ended.stderr
