"""Credentials and settings arrive in servers as they were written."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import clickhouse_connect
import psycopg
import pytest
import redis
import yaml
from msgspec import convert

from envkit.export.compose import render
from envkit.model import SERVICES, ServiceName, Settings
from tests.compose.stack import ODD, PASSWORD, Stack, answer, compose

if TYPE_CHECKING:
    import docker


@pytest.mark.parametrize("service", SERVICES)
def test_odd_credentials_let_in(odd: Stack, service: ServiceName) -> None:
    assert answer(service, odd.url(service)) in ((1,), True, 1)


@pytest.mark.parametrize("service", SERVICES)
def test_passwords_are_not_in_arguments_or_environment(
    odd: Stack, engine: docker.DockerClient, service: ServiceName
) -> None:
    config = odd.container(engine, service).attrs["Config"]
    assert not [text for text in (*config["Env"], *(config["Cmd"] or ())) if PASSWORD in text]


def test_postgres_settings_arrive_character_by_character(odd: Stack) -> None:
    with psycopg.connect(odd.url("postgres")) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone() for name in ("work_mem", "odd.value")
        ]
    assert shown == [("7MB",), (ODD,)]


def test_redis_settings_arrive_character_by_character(odd: Stack) -> None:
    with contextlib.closing(
        redis.Redis.from_url(odd.url("redis"), decode_responses=True)
    ) as client:
        assert client.config_get("maxmemory", "syslog-ident") == {
            "maxmemory": str(64 * 2**20),
            "syslog-ident": ODD,
        }


def test_clickhouse_settings_arrive_character_by_character(odd: Stack) -> None:
    with contextlib.closing(clickhouse_connect.get_client(dsn=odd.url("clickhouse"))) as client:
        shown = client.query(
            "SELECT getSetting('max_threads'), getSetting('format_csv_null_representation')"
        )
    assert shown.result_rows == [(2, ODD)]


def test_memory_is_a_limit_without_swap(odd: Stack, engine: docker.DockerClient) -> None:
    limits = odd.container(engine, "redis").attrs["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"]) == (200 * 2**20, 200 * 2**20)


@pytest.mark.parametrize("service", SERVICES)
def test_data_is_in_memory_and_in_no_volume(
    odd: Stack, engine: docker.DockerClient, service: ServiceName
) -> None:
    container = odd.container(engine, service)
    (directory,) = container.attrs["HostConfig"]["Tmpfs"]
    used = container.exec_run(["sh", "-c", f"ls -A {directory}"]).output
    assert not [mount for mount in container.attrs["Mounts"] if mount["Type"] == "volume"]
    assert used or service == "redis"  # which writes nothing


@pytest.mark.parametrize(
    ("settings", "directory"),
    [
        ({}, "/var/lib/postgresql"),
        ({"version": "18"}, "/var/lib/postgresql"),
        ({"version": "17.6"}, "/var/lib/postgresql/data"),
        ({"image": "postgres:16-alpine"}, "/var/lib/postgresql/data"),
        ({"image": "registry.example:5000/our/pg", "version": "15"}, "/var/lib/postgresql/data"),
        ({"image": "registry.example:5000/our/pg"}, "/var/lib/postgresql"),
    ],
)
def test_data_directory_is_that_of_the_image_version(
    settings: dict[str, str], directory: str
) -> None:
    file = yaml.safe_load(render(convert({"postgres": settings}, Settings)))
    assert file["services"]["postgres"]["tmpfs"] == [directory]


def test_compose_accepts_every_setting(tmp_path: Path) -> None:
    own: dict[str, object] = {
        "memory": "512m",
        "shm_size": "64m",
        "version": "7",
        "settings": {"a": 1e3, "b": False},
    }
    tables: dict[str, object] = {service: own | {"image": "h:5000/x/y:1"} for service in SERVICES}
    tables["docker"] = {"pull": "never", "registry": "mirror.example"}
    settings = convert(tables, Settings)
    (tmp_path / "compose.yaml").write_text(render(settings, name="Some Thing"))
    read = json.loads(compose(tmp_path, "config", "--format", "json"))
    assert read["name"] == "some-thing"
    assert {one["mem_limit"] for one in read["services"].values()} == {str(512 * 2**20)}


def test_only_configured_services_are_in_the_file() -> None:
    file = yaml.safe_load(render(Settings(services=("redis",))))
    assert list(file["services"]) == ["redis"]
    assert all(name.startswith("redis-") for name in file["configs"])
