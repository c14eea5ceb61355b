"""What a lease on somebody else's server is, and that nothing else there is touched."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

from envkit import api, dsn
from envkit.errors import LeaseLimit
from envkit.model import SERVICES, ServiceName
from tests.attach.world import World, end, holding, in_the_end, numbered
from tests.foreign import run_redis

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign


@pytest.mark.parametrize("service", SERVICES)
def test_lease_is_a_namespace_of_the_server_that_the_url_names(
    whole: Project, foreign_urls: dict[str, str], service: ServiceName
) -> None:
    name = f"ENVKIT_{service.upper()}_URL"
    server = dsn.read(service, foreign_urls[name], name)
    with api.lease(service, root=whole.root) as leased:
        endpoint = leased[service].endpoint
        assert (endpoint.backend, endpoint.host, endpoint.port) == (
            "attach",
            server.host,
            server.port,
        )
        assert endpoint.database != server.database
        if service != "redis":
            assert re.match(r"envkit_[0-9a-f]{8}_lease_", endpoint.database)


def test_normal_end_leaves_everything_as_it_was(whole: Project, world: World) -> None:
    before = world.seen()
    program, _ = holding(whole)
    during = world.of_envkit()
    assert all(during.values())
    assert end(program) == "closed\n"
    assert world.seen() == before


def test_export_and_down_leave_everything_as_it_was(whole: Project, world: World) -> None:
    before = world.seen()
    assert whole.envkit("up").returncode == 0
    assert whole.envkit("export").returncode == 0
    assert all(world.of_envkit().values())
    down = whole.envkit("down")
    assert world.seen() == before
    place = f"127.0.0.1:{world.postgres.port} (ENVKIT_POSTGRES_URL)"
    assert f"let go of postgres, attached to {place}, which stays as it is\n" in down.stderr
    assert "stopped" not in down.stderr


def test_released_lease_is_gone_while_the_keeper_lives_on(whole: Project, world: World) -> None:
    with api.lease(root=whole.root):
        inner = world.of_envkit()
        with api.lease(root=whole.root):
            assert len(world.of_envkit()["postgres"]) == 2 * len(inner["postgres"])
        assert in_the_end(world.of_envkit, inner) == inner


def test_two_leases_of_a_server_do_not_see_each_other(whole: Project) -> None:
    with api.lease(root=whole.root) as one, api.lease(root=whole.root) as two:
        one.redis.client().set("mark", "one")
        assert two.redis.client().keys() == []
        with pytest.raises(redis.exceptions.NoPermissionError):
            one.redis.client().flushall()
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(one.postgres.url, dbname=two.postgres.database).close()


def test_postgres_lease_is_utf8_in_utc_as_on_servers_of_envkits_own(whole: Project) -> None:
    with api.lease("postgres", root=whole.root) as leased, leased.postgres.connect() as session:
        row = session.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale,"
            " current_setting('timezone') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("UTF8", "b", "C.UTF-8", "UTC")


def test_database_that_the_url_names_can_be_dropped_by_its_owner_meanwhile(
    project: Project, foreign_postgres: Foreign
) -> None:
    with psycopg.connect(foreign_postgres.url, autocommit=True) as boss:
        boss.execute("CREATE DATABASE app_test")
        url = foreign_postgres.url.replace("/postgres", "/app_test")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENVKIT_POSTGRES_URL", url)
            with api.lease("postgres", root=project.root):
                boss.execute("DROP DATABASE app_test")


def test_two_keepers_on_one_server_never_collide(
    new_project: Callable[[str], Project],
    foreign_urls: dict[str, str],
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = world.seen()
    for name, url in foreign_urls.items():
        monkeypatch.setenv(name, url)
    projects = [new_project("one"), new_project("two")]
    for one in projects:
        one.write("envkit.toml", "")
    held = [holding(one) for one in projects]
    assert held[0][1] != held[1][1]
    names = world.of_envkit()["postgres"]
    assert len({name[: len("envkit_01234567")] for name in names}) == 2
    assert [end(program) for program, _ in held] == ["closed\n", "closed\n"]
    assert world.seen() == before


def test_redis_databases_are_not_shared_by_keepers_whose_urls_name_different_ones(
    new_project: Callable[[str], Project], foreign_redis: Foreign
) -> None:
    numbers = []
    with contextlib.ExitStack() as stack:
        for base in (0, 1):
            one = new_project(f"base-{base}")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ENVKIT_REDIS_URL", foreign_redis.url.replace("/0", f"/{base}"))
                for _ in range(4):
                    leased = stack.enter_context(api.lease("redis", root=one.root))
                    numbers.append(leased.redis.database)
    assert len(set(numbers)) == len(numbers)
    assert not {"0", "1"} & set(numbers[4:])


def test_leases_of_redis_end_where_databases_are_not_empty(
    tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_redis(tmp_path, "--databases", "4") as server:
        for number in (1, 3):
            with numbered(server, number) as client:
                client.set("kept", "1")
        monkeypatch.setenv("ENVKIT_REDIS_URL", server.url)
        with api.lease("redis", root=project.root) as leased:
            assert leased.redis.database == "2"
            with pytest.raises(LeaseLimit), api.lease("redis", root=project.root):
                pass
        with numbered(server, 1) as client:
            assert client.get("kept") == b"1"


def test_lease_with_a_prepared_transaction_is_removed(whole: Project, world: World) -> None:
    program = (
        "import os, psycopg\n"
        "db = psycopg.connect(os.environ['DATABASE_URL'], autocommit=True)\n"
        "for text in ('CREATE TABLE t (i int)', 'BEGIN', 'INSERT INTO t VALUES (1)',\n"
        "             \"PREPARE TRANSACTION 'it''s left'\"): db.execute(text)\n"
    )
    done = whole.envkit("run", "postgres", "--", sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    assert world.of_envkit()["postgres"] == []
