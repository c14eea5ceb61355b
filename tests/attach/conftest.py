"""Three servers of somebody else's, and a project that attaches to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envkit.model import ServiceName
from envkit.services.attached import postgres as attached_postgres
from tests.attach.world import World

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign


@pytest.fixture
def world(foreign_postgres: Foreign, foreign_redis: Foreign, foreign_clickhouse: Foreign) -> World:
    made = World(foreign_postgres, foreign_redis, foreign_clickhouse)
    made.make()
    assert made.of_envkit() == {"postgres": [], "redis": [], "clickhouse": []}
    return made


@pytest.fixture
def whole(
    project: Project, foreign_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project that attaches to all three servers."""
    project.write("envkit.toml", "")
    for name, url in foreign_urls.items():
        monkeypatch.setenv(name, url)
    return project


@pytest.fixture
def servers(
    foreign_postgres: Foreign,
    foreign_redis: Foreign,
    foreign_clickhouse: Foreign,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[ServiceName, Foreign]:
    # They have been started just now, which is a reason to be careful that is not meant here.
    monkeypatch.setattr(attached_postgres, "_SETTLED_S", 0)
    return {
        "postgres": foreign_postgres,
        "redis": foreign_redis,
        "clickhouse": foreign_clickhouse,
    }
