"""Postgres servers for the doctor's tests; made once for each worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doctor.live.postgres.clusters import Cluster, Installation, installed


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    with installed() as made:
        yield made


@pytest.fixture(scope="session")
def server(installation: Installation) -> Iterator[Cluster]:
    """A server that tests share; each leaves it as it was."""
    with installation.cluster().running(max_connections="30") as running:
        yield running
