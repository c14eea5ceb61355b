"""Servers that give fewer rights than an administrator's, or are reached in another way."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest
import redis

from envkit import api, dsn
from envkit.services.attached import postgres_databases as attached_postgres
from tests.attach.world import failure, numbered, other_postgres
from tests.foreign import run_postgres, run_redis

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign


@pytest.fixture(scope="module")
def older_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """Before 16, creating a role gave other rights than it does now."""
    with run_postgres(tmp_path_factory.mktemp("older"), other_postgres()) as server:
        yield server


@contextlib.contextmanager
def role(server: Foreign, rights: str) -> Iterator[str]:
    """A role with these rights; the URL with which it gets in."""
    with psycopg.connect(server.url, autocommit=True) as boss:
        boss.execute(f"CREATE ROLE worker LOGIN PASSWORD 'w0rker-secret' {rights}")
        try:
            yield f"postgresql://worker:w0rker-secret@127.0.0.1:{server.port}/postgres"
        finally:
            boss.execute("DROP ROLE worker")


@pytest.mark.parametrize(
    ("rights", "owner"),
    [
        ("SUPERUSER", "envkit_"),
        ("CREATEDB CREATEROLE", "envkit_"),
        ("CREATEDB CREATEROLE NOINHERIT", "envkit_"),
        ("CREATEDB", "worker"),
    ],
)
@pytest.mark.parametrize("server", ["foreign_postgres", "older_postgres"])
def test_admin_with_fewer_rights_gives_leases_that_work(
    project: Project,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    rights: str,
    owner: str,
) -> None:
    foreign_postgres: Foreign = request.getfixturevalue(server)
    with role(foreign_postgres, rights) as url:
        monkeypatch.setenv("ENVKIT_POSTGRES_URL", url)
        with api.lease("postgres", root=project.root) as leased:
            with leased.postgres.connect() as session:
                session.execute("CREATE TABLE mark (word text)")
                row = session.execute(
                    "SELECT pg_get_userbyid(datdba), current_user::text FROM pg_database"
                    " WHERE datname = current_database()"
                ).fetchone()
            assert row is not None
            assert row[0] == row[1]
            assert re.match(owner, row[0])
            # Somebody still connected does not keep it from being dropped.
            lingering = psycopg.connect(leased.postgres.url)
        with psycopg.connect(foreign_postgres.url) as boss:
            left = boss.execute(
                "SELECT datname FROM pg_database WHERE datname ~ '^envkit_[0-9a-f]{8}_'"
                " UNION ALL SELECT rolname FROM pg_roles WHERE rolname ~ '^envkit_'"
            ).fetchall()
        assert left == []
        lingering.close()


def test_admin_without_the_right_to_create_databases_is_told_what_to_grant(
    project: Project, foreign_postgres: Foreign
) -> None:
    with role(foreign_postgres, "") as url:
        said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
    assert "worker may not create databases on Postgres at 127.0.0.1" in said
    assert 'ALTER ROLE "worker" CREATEDB CREATEROLE;' in said
    assert "[envkit.attach.unsuitable]" in said


def test_superuser_lease_from_an_ordinary_admin_is_told(
    project: Project, foreign_postgres: Foreign
) -> None:
    project.write("envkit.toml", "[postgres]\nsuperuser = true\n")
    with role(foreign_postgres, "CREATEDB CREATEROLE") as url:
        said = failure(project.envkit("run", "postgres", "--", "true", ENVKIT_POSTGRES_URL=url))
    assert "superuser = true was asked for, and worker at 127.0.0.1" in said


def test_server_older_than_10_and_replica_are_unsuitable() -> None:
    rights = attached_postgres.Rights(
        version=90624,
        superuser=True,
        createdb=True,
        createrole=True,
        inherit=True,
        replica=False,
        role="boss",
    )
    old = attached_postgres.unsuitable(rights, "h:5432", superuser=False)
    assert old is not None
    assert "is of version 9; envkit needs 10 or newer" in old.observed
    replica = msgspec.structs.replace(rights, version=180006, replica=True)
    told = attached_postgres.unsuitable(replica, "h:5432", superuser=False)
    assert told is not None
    assert "is a replica, which only reads" in told.observed


def test_database_in_use_is_dropped_as_servers_older_than_13_need_it(
    foreign_postgres: Foreign,
) -> None:
    with psycopg.connect(foreign_postgres.url, autocommit=True) as boss:
        boss.execute("CREATE DATABASE in_use")
        other = psycopg.connect(foreign_postgres.url, dbname="in_use")
        for _ in range(2):
            attached_postgres.drop_database(boss, "in_use", version=120000)
        row = boss.execute("SELECT 1 FROM pg_database WHERE datname = 'in_use'").fetchone()
        other.close()
    assert row is None


@pytest.mark.parametrize(
    "arguments",
    [("--rename-command", "ACL", "", "--rename-command", "CONFIG", ""), ()],
    ids=["no users at all", "a user that may make none"],
)
def test_redis_without_rights_for_users_gives_leases_with_the_user_it_has(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    with run_redis(tmp_path, *arguments) as server:
        url = server.url
        if not arguments:
            with redis.Redis.from_url(url) as boss:
                boss.acl_setuser(
                    "worker", enabled=True, passwords=["+w0rk"], keys=["*"], categories=["+@all"]
                )
                boss.execute_command("ACL", "SETUSER", "worker", "-acl", "-config")
            url = f"redis://worker:w0rk@127.0.0.1:{server.port}/0"
        monkeypatch.setenv("ENVKIT_REDIS_URL", url)
        with api.lease("redis", root=project.root) as one, api.lease("redis") as two:
            assert one.redis.database != two.redis.database
            assert one.redis.user == dsn.read("redis", url, "").user or "default"
            one.redis.client().set("mark", "ours")
            assert two.redis.client().keys() == []
            number = int(one.redis.database)
        with numbered(server, number) as boss:
            assert boss.keys() == []
        with redis.Redis.from_url(server.url) as boss:
            assert boss.keys() == []


def test_redis_without_a_password_can_be_attached_to(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_redis(tmp_path, password="") as server:
        monkeypatch.setenv("ENVKIT_REDIS_URL", f"redis://127.0.0.1:{server.port}")
        with api.lease("redis", root=project.root) as leased:
            assert leased.redis.client().ping()


def test_redis_behind_a_unix_socket_can_be_attached_to(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_redis(tmp_path, "--unixsocket", f"{tmp_path}/r.sock", password="s3cret") as _:
        monkeypatch.setenv("ENVKIT_REDIS_URL", f"unix://:s3cret@{tmp_path}/r.sock")
        with api.lease("redis", root=project.root) as leased:
            assert leased.redis.client().ping()
            assert leased.redis.host == f"{tmp_path}/r.sock"
