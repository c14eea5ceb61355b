"""Servers for tests of services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.own_redis import Own, Start, starting


@pytest.fixture(params=["wheel", "path"])
def start_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts Redis servers: of the wheel, and what is installed otherwise."""
    with starting(request.param, tmp_path) as start:
        yield start


@pytest.fixture
def own(start_redis: Start) -> Own:
    """A Redis server that is somebody's lease."""
    return start_redis()
