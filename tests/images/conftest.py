"""The built images in both variants, and containers of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import NotFound

from envkit.backends.images import VARIANTS, Built, Variant
from envkit.model import ServiceName
from tests.images.running import PORTS, Running, Start, tar_of

if TYPE_CHECKING:
    from tests.conftest import Engine


@pytest.fixture
def built(with_engine: Engine, images: list[Built]) -> dict[tuple[ServiceName, Variant], Built]:
    return {(one.service, one.variant): one for one in images}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    return chosen


@pytest.fixture
def start(engine: Engine, built: dict[tuple[ServiceName, Variant], Built]) -> Iterator[Start]:
    """Start a container; it and its anonymous volumes are gone after the test."""
    containers: list[Any] = []

    def make(
        service: ServiceName,
        variant: Variant = "plain",
        *command: str,
        env: dict[str, str] | None = None,
        put: dict[str, tuple[str | bytes, int]] | None = None,
        **options: Any,
    ) -> Running:
        container = engine.client.containers.create(
            built[service, variant].reference,  # ids go when another checkout builds its own
            list(command) or None,
            environment=env or {},
            ports={f"{PORTS[service]}/tcp": ("127.0.0.1", 0)},
            labels={"envkit.test": "images"},
            **options,
        )
        containers.append(container)
        if put:
            container.put_archive("/", tar_of(put))
        container.start()
        return Running(container, service)

    yield make
    for container in containers:
        container.reload()
        volumes = [mount["Name"] for mount in container.attrs["Mounts"] if mount.get("Name")]
        container.remove(force=True, v=True)
        for name in volumes:
            with pytest.raises(NotFound):
                engine.client.volumes.get(name)
