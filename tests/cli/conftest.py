"""A project whose services are up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project


@pytest.fixture
def up(project: Project) -> Project:
    project.envkit("up")
    return project
