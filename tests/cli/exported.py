"""What `envkit export` says of a project, for tests of other commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Project


def password_of(project: Project) -> str:
    exported = json.loads(project.envkit("export", "--format", "json").stdout)
    return str(exported["services"]["redis"]["password"])
