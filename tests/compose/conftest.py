"""The machine's engine, images for it, and projects that are up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import convert

from envkit.backends.images import build
from envkit.engine.client import new_client
from envkit.errors import EnvkitError, UnavailableError
from envkit.model import SERVICES, Settings
from tests.compose.stack import ADDRESS, ENGINE, ODD, PASSWORD, Stack

if TYPE_CHECKING:
    import docker

REQUIRED = os.environ.get("TEST_DOCKER") == "require"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """The machine's engine; without one these tests are skipped, or fail if it is required."""
    try:
        client = new_client(ADDRESS)
    except EnvkitError as error:
        if REQUIRED:
            pytest.fail(f"TEST_DOCKER=require, but {error.observed}")
        pytest.skip(error.observed)
    with contextlib.closing(client):
        yield client


@pytest.fixture(scope="module")
def images(engine: docker.DockerClient) -> dict[str, str]:
    """Images without a registry, in the variables that name them instead of the official ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", ENGINE)
        try:
            built = build(variants=("plain",))
        except UnavailableError as error:
            if REQUIRED:
                raise
            pytest.skip(str(error))
    return {f"ENVKIT_{one.service.upper()}_IMAGE": one.reference for one in built}


@pytest.fixture
def stack(tmp_path: Path, images: dict[str, str]) -> Iterator[Stack]:
    """A project with the default settings that is not up yet."""
    made = Stack(tmp_path / "project", images)
    made.write(Settings())
    yield made
    made.end()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Iterator[Stack]:
    """A project that is up, with values everywhere that something on the way could misread."""
    credentials = {
        **{f"{service.upper()}_PASSWORD": PASSWORD for service in SERVICES},
        "POSTGRES_USER": "an odd-Üser",  # quotes and $ initdb itself refuses
        "POSTGRES_DB": 'd"b $x',
        "CLICKHOUSE_USER": "someone",
    }
    made = Stack(tmp_path_factory.mktemp("odd") / "a project", images, **credentials)
    tables = {
        "postgres": {"settings": {"work_mem": "7MB", "odd.value": ODD}},
        "redis": {"settings": {"maxmemory": "64mb", "syslog-ident": ODD}, "memory": "200m"},
        "clickhouse": {"settings": {"max_threads": 2, "format_csv_null_representation": ODD}},
    }
    made.write(convert(tables, Settings))
    try:
        made.run("up", "--wait")
        yield made
    finally:
        made.end()
