"""Postgres whose processes are killed: it would empty unlogged tables and go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.leases.using import User, postgres

if TYPE_CHECKING:
    from tests.conftest import Project

SCHEMA = """\
CREATE UNLOGGED TABLE kinds (name text);
INSERT INTO kinds VALUES ('cat'), ('dog');
CREATE TABLE items (tag text);
"""


@pytest.mark.parametrize("ready", [0, 3])
def test_copies_are_as_their_template_after_a_backend_was_killed(
    ready: int, project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", f'[postgres]\nschema = ["schema.sql"]\npool = {ready}\n')
    project.write("schema.sql", SCHEMA)
    one = user()
    first = one.take("postgres").endpoints["postgres"]
    one.warm("postgres", ready)
    connection = postgres(first)
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    os.kill(row[0], signal.SIGKILL)
    connection.close()
    time.sleep(0.5)
    for _ in range(5):
        lease = one.take("postgres")
        with postgres(lease.endpoints["postgres"]) as again:
            assert again.execute("SELECT count(*) FROM kinds").fetchone() == (2,)
        one.release(lease)


def test_connections_to_servers_that_crashed_do_not_add_up(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\n')
    project.write("schema.sql", SCHEMA)
    one = user()
    descriptors = Path(f"/proc/{one.client.keeper_pid}/fd")
    counts = []
    for _ in range(6):
        one.warm("postgres", 2)
        one.take("postgres")
        (row,) = one.client.start(["postgres"])
        assert row.pid is not None
        counts.append(len(list(descriptors.iterdir())))
        os.kill(row.pid, signal.SIGKILL)
        time.sleep(0.1)
    assert max(counts[2:]) <= counts[1] + 3, counts
