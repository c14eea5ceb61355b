"""Templates whose builders, sources or servers change or go away at the wrong moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envkit.errors import EnvkitError
from envkit.model import Lease, ServiceName
from tests.leases.using import User, log_of, postgres, roles, until

if TYPE_CHECKING:
    from tests.conftest import Project

# Builds a template for as long as the file it waits for is not there.
SLOW = """\
[postgres]
migrate = "psql -qc 'CREATE TABLE t ()'; touch started; while [ ! -e go ]; do sleep 0.02; done"
watch = ["envkit.toml"]
[redis]
seed = "touch started; while [ ! -e go ]; do sleep 0.02; done"
watch = ["envkit.toml"]
[clickhouse]
migrate = "touch started; while [ ! -e go ]; do sleep 0.02; done"
watch = ["envkit.toml"]
"""

BUILD = """
import sys
from pathlib import Path
from tests.leases.using import User
user = User(Path.cwd())
user.take(sys.argv[1] if len(sys.argv) > 1 else {service!r})
"""


def _in_thread(work: Callable[[], Lease]) -> tuple[threading.Thread, list[Lease | EnvkitError]]:
    outcome: list[Lease | EnvkitError] = []

    def run() -> None:
        try:
            outcome.append(work())
        except EnvkitError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize("service", ["postgres", "redis", "clickhouse"])
def test_who_waits_for_a_builder_that_is_killed_takes_over(
    service: ServiceName, project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", SLOW)
    waiting = user()
    builder = project.python(
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n" + BUILD.format(service=service)
    )
    assert until((project.root / "started").exists)
    thread, outcome = _in_thread(lambda: waiting.take(service))
    time.sleep(0.3)
    project.write("go", "")
    (project.root / "started").unlink()
    (project.root / "go").unlink()
    os.kill(builder.pid, signal.SIGKILL)
    builder.communicate()
    assert until(lambda: (project.root / "started").exists() or bool(outcome))
    project.write("go", "")
    thread.join(20)
    assert [type(one) for one in outcome] == [Lease], outcome
    assert "Traceback" not in log_of(waiting.client)


def test_threads_of_one_client_that_need_a_template_share_it(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\n')
    project.write("schema.sql", "CREATE TABLE t (x int); SELECT pg_sleep(0.5);\n")
    one = user()
    taking = [_in_thread(lambda: one.take("postgres")) for _ in range(4)]
    for thread, _ in taking:
        thread.join(20)
    assert [type(lease) for _, outcome in taking for lease in outcome] == [Lease] * 4


def test_template_can_be_what_it_was_before_while_its_copies_live(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\n')
    one = None
    for name in ("a", "b", "c", "d", "e", "a", "b"):
        project.write("schema.sql", f"CREATE TABLE {name} (x int);\n")
        one = one or user()
        one.reload()
        for _ in range(2):  # the second is made, or was ready
            lease = one.take("postgres")
            with postgres(lease.endpoints["postgres"]) as connection:
                assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)
    assert one is not None
    assert "Traceback" not in log_of(one.client)


def test_roles_of_old_templates_do_not_add_up(project: Project, user: Callable[[], User]) -> None:
    project.write("envkit.toml", '[postgres]\nschema = ["schema.sql"]\n')
    project.write("schema.sql", "")
    one = user()
    watching = one.take("postgres", template="empty").endpoints["postgres"]
    counts = []
    for name in range(8):
        project.write("schema.sql", f"CREATE TABLE t{name} (x int);\n")
        one.reload()
        one.warm("postgres", 2)
        for _ in range(3):
            one.release(one.take("postgres"))
        counts.append(sum(name.startswith("template_") for name in roles(watching)))
    assert until(lambda: sum(name.startswith("template_") for name in roles(watching)) <= 5), counts


def test_server_that_crashes_under_a_builder_lets_nobody_wait_forever(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", SLOW)
    building, waiting, third = user(), user(), user()
    builder, built = _in_thread(lambda: building.take("postgres"))
    assert until((project.root / "started").exists)
    waiter, waited = _in_thread(lambda: waiting.take("postgres"))
    time.sleep(0.3)
    (row,) = third.client.start(["postgres"])
    assert row.pid is not None
    os.kill(row.pid, signal.SIGKILL)
    time.sleep(0.2)
    third.take("postgres", template="empty")  # brings another one up
    project.write("go", "")
    builder.join(20)
    waiter.join(20)
    assert not waiter.is_alive()
    assert [type(one) for one in (*built, *waited)] == [Lease, Lease], (built, waited)


def test_redis_server_that_is_shut_down_takes_no_template_with_it(
    project: Project, user: Callable[[], User]
) -> None:
    import redis

    project.write("envkit.toml", SLOW)
    building, other = user(), user()
    lease = other.take("redis", template="empty")
    other.client.start(["redis"])
    builder, built = _in_thread(lambda: building.take("redis"))
    assert until((project.root / "started").exists)
    with redis.Redis.from_url(lease.endpoints["redis"].url) as client:
        client.shutdown(nosave=True)
    time.sleep(0.2)
    other.take("redis", template="empty")
    project.write("go", "")
    builder.join(20)
    assert [type(one) for one in built] == [Lease], built
    assert other.client.start(["redis"])[0].state == "ready"


def test_redis_servers_that_are_shut_down_leave_no_files(
    project: Project, user: Callable[[], User]
) -> None:
    import redis

    project.write("envkit.toml", "[redis]\npool = 0\n")
    one = user()
    logs = Path(one.client.status()["data"], "logs")
    one.take("redis")
    for _ in range(4):
        lease = one.take("redis")
        with redis.Redis.from_url(lease.endpoints["redis"].url) as client:
            client.shutdown(nosave=True)
        one.release(lease)
    assert until(lambda: len(list(logs.glob("redis*"))) == 1), list(logs.iterdir())
    # Beside logs and the keeper's lock there is a directory for each server.
    assert until(lambda: len(list(logs.parent.iterdir())) == 3), list(logs.parent.iterdir())


def test_more_databases_of_redis_than_there_are_are_not_asked_for(
    project: Project, user: Callable[[], User]
) -> None:
    project.write("envkit.toml", '[redis]\nisolation = "database"\n')
    one = user()
    one.warm("redis", 4)
    leases = [one.take("redis") for _ in range(15)]
    assert len({lease.endpoints["redis"].database for lease in leases}) == 15
    for lease in leases:
        one.release(lease)
    again = [one.take("redis") for _ in range(15)]
    assert len({lease.endpoints["redis"].database for lease in again}) == 15
    assert "Traceback" not in log_of(one.client)
