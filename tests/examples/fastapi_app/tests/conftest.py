from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import app


@pytest.fixture
def client(isolated_env) -> Iterator[TestClient]:
    """The application, started in an environment that leads to this test's own services."""
    with TestClient(app, follow_redirects=False) as client:
        yield client
