"""What a keeper has ready for leases, and what of it outlives a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis

from envkit import config
from envkit.keeper.client import Client, connect
from envkit.templates import Templates

if TYPE_CHECKING:
    from tests.conftest import Project


def settle(client: Client, ready: int = 0) -> None:
    """Wait until what came back is as new or gone, and so many are ready."""
    limit = time.monotonic() + 10
    while any(row["pending"] or row["ready"] < ready for row in client.status()["services"]):
        assert time.monotonic() < limit, client.status()
        time.sleep(0.005)


def test_template_outlives_the_servers_that_leases_had_for_themselves(project: Project) -> None:
    project.write("seed.redis", "SET seeded yes\n")
    project.write("envkit.toml", '[redis]\npool = 0\nseed = ["seed.redis"]\n')
    loaded = config.load(project.root)
    with connect(loaded.root, loaded.settings) as client:
        templates = Templates(loaded)
        wants = templates.wants(["redis"])
        templates.ensure(client, wants)
        for _ in range(3):
            # Not by `Templates.take`, which would build what is missing.
            lease = client.take(wants)
            with redis.Redis.from_url(lease.endpoints["redis"].url) as connection:
                assert connection.get("seeded") == b"yes"
            client.release(lease.id)
            settle(client)


def test_status_counts_what_is_ready(project: Project) -> None:
    project.write("envkit.toml", "[redis]\npool = 2\n")
    loaded = config.load(project.root)
    with connect(loaded.root, loaded.settings) as client:
        client.start(["redis"])
        client.warm(Templates(loaded).wants(["redis"]), 10)
        settle(client, ready=2)
        (row,) = client.status()["services"]
        assert (row["ready"], row["pending"], row["leases"]) == (2, 0, 0)
