"""What a container of each service is like: where its data, port, secrets and settings are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from envkit.model import SERVICES, ServiceName

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.engines import Engine

pytest_plugins = ["tests.engines"]

DIRECTORIES = {
    "postgres": "/var/lib/postgresql",
    "redis": "/data",
    "clickhouse": "/var/lib/clickhouse",
}
EVERYTHING = """
[postgres]
settings = { work_mem = "7MB" }
shm_size = "96m"
[redis]
settings = { maxmemory-policy = "allkeys-lru" }
memory = "64m"
[clickhouse]
settings = { max_insert_block_size = 123456 }
"""
SETTING = {
    "postgres": ("postgres.connect().execute('SHOW work_mem').fetchone()[0]", "7MB"),
    "redis": ("redis.client().info('memory')['maxmemory_policy']", "allkeys-lru"),
    "clickhouse": (
        "clickhouse.client().command(\"SELECT getSetting('max_insert_block_size')\")",
        "123456",
    ),
}


def engines() -> ModuleType:
    # Imported late, or pytest could not rewrite its assertions when it loads it as a plugin.
    from tests import engines as module

    return module


@pytest.fixture(scope="module")
def everything(local_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project that has all three services up, for tests that only look."""
    from tests.conftest import Project

    made = Project(tmp_path_factory.mktemp("everything"))
    made.write("envkit.toml", EVERYTHING)
    with pytest.MonkeyPatch.context() as patch:
        engines().use(made, local_engine, patch)
        up = made.envkit("up")
        assert up.returncode == 0, up.stderr
        yield made
        made.envkit("down")


def keeper_of(project: Project) -> dict[str, Any]:
    (keeper,) = json.loads(project.envkit("status", "--format", "json").stdout)["keepers"]
    found: dict[str, Any] = keeper
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_data_lies_on_a_tmpfs(
    everything: Project, local_engine: Engine, service: ServiceName
) -> None:
    container = local_engine.the_container(everything, service)
    assert DIRECTORIES[service] in container.attrs["HostConfig"]["Tmpfs"]
    assert [one["Type"] for one in container.attrs["Mounts"] if one["Type"] != "tmpfs"] == []


@pytest.mark.parametrize("service", SERVICES)
def test_only_loopback_reaches_a_server(
    everything: Project, local_engine: Engine, service: ServiceName
) -> None:
    ports = local_engine.the_container(everything, service).attrs["NetworkSettings"]["Ports"]
    assert [at["HostIp"] for bound in ports.values() if bound for at in bound] == ["127.0.0.1"]


@pytest.mark.parametrize("service", SERVICES)
def test_engine_never_learns_a_password(
    everything: Project, local_engine: Engine, service: ServiceName
) -> None:
    # All of ours are 32 characters of base 32.
    container = local_engine.the_container(everything, service)
    shown = json.dumps([container.attrs["Config"], container.attrs["Args"]])
    assert re.findall(r"\b[a-z2-7]{32}\b", shown) == []


@pytest.mark.parametrize("service", SERVICES)
def test_labels_say_whose_a_container_is(
    everything: Project, local_engine: Engine, service: ServiceName
) -> None:
    keeper = keeper_of(everything)
    labels = local_engine.the_container(everything, service).labels
    assert labels["envkit.key"] == keeper["key"]
    assert labels["envkit.service"] == service
    assert json.loads(labels["envkit.owner"])["pid"] == keeper["pid"]


@pytest.mark.parametrize("service", SERVICES)
def test_settings_reach_the_server(everything: Project, service: ServiceName) -> None:
    question, answer = SETTING[service]
    code = f"import envkit\nwith envkit.lease() as services: print(services.{question})"
    program = everything.python(code)
    assert program.communicate(timeout=30)[0] == f"{answer}\n"


def test_memory_limit_reaches_the_container(everything: Project, local_engine: Engine) -> None:
    host = local_engine.the_container(everything, "redis").attrs["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 * 2**20, 64 * 2**20)


def test_shm_size_reaches_the_container(everything: Project, local_engine: Engine) -> None:
    assert (
        local_engine.the_container(everything, "postgres").attrs["HostConfig"]["ShmSize"]
        == 96 * 2**20
    )


@pytest.mark.parametrize("service", SERVICES)
def test_logs_show_what_the_server_prints(
    everything: Project, local_engine: Engine, service: ServiceName
) -> None:
    printed = local_engine.the_container(everything, service).logs().decode()
    assert printed
    assert everything.envkit("logs", service).stdout.startswith(printed[:200])


def test_status_names_the_containers(everything: Project, local_engine: Engine) -> None:
    shown = {row["service"]: row["container"] for row in keeper_of(everything)["services"]}
    assert shown == {
        name: local_engine.the_container(everything, name).short_id for name in SERVICES
    }
