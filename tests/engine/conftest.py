"""An environment that names no container engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envkit.engine import address as addresses


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment and a home directory that name no engine; and no usual socket."""
    for name in list(os.environ):
        if name.startswith(("DOCKER_", "TESTCONTAINERS_", "TC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(addresses, "_DEFAULT", str(tmp_path / "var.sock"))
    return tmp_path
