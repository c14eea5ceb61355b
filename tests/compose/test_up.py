"""What is up when Docker Compose says so, and that nothing is left when it is down."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import psycopg
import pytest
import redis

from envkit.export.compose import render
from envkit.model import SERVICES, RedisSettings, ServiceName, Settings
from tests.compose.stack import Stack, answer, compose

if TYPE_CHECKING:
    import docker


def test_all_services_answer_from_the_host_as_soon_as_up_returns(stack: Stack) -> None:
    stack.run("up", "--wait")
    urls = {
        "postgres": f"postgresql://postgres:postgres@127.0.0.1:{stack.ports['POSTGRES_PORT']}/test",
        "redis": f"redis://:redis@127.0.0.1:{stack.ports['REDIS_PORT']}/0",
        "clickhouse": f"http://default:clickhouse@127.0.0.1:{stack.ports['CLICKHOUSE_PORT']}/default",
    }
    assert [answer(service, urls[service]) for service in SERVICES] == [(1,), True, 1]


SLOW = """
services:
  {service}:
    configs: [{{source: slow, target: /docker-entrypoint-initdb.d/slow.sh}}]
configs:
  slow:
    content: |
      sleep 4
      {command}
"""
CREATE = {
    "postgres": """psql -v ON_ERROR_STOP=1 -U postgres -d test -c 'CREATE TABLE made ()'""",
    "clickhouse": """clickhouse-client -q 'CREATE TABLE made (x Int8) ENGINE = Memory'""",
}
COUNT = "SELECT count(*) FROM made"


@pytest.mark.parametrize("service", ["postgres", "clickhouse"])
def test_up_waits_until_init_scripts_have_run(stack: Stack, service: ServiceName) -> None:
    (stack.root / "slow.yaml").write_text(SLOW.format(service=service, command=CREATE[service]))
    stack.run("-f", "compose.yaml", "-f", "slow.yaml", "up", "--wait", service)
    if service == "postgres":
        with psycopg.connect(stack.url(service)) as connection:
            assert connection.execute(COUNT).fetchone() == (0,)
    else:
        with contextlib.closing(clickhouse_connect.get_client(dsn=stack.url(service))) as client:
            assert client.command(COUNT) == 0


def reload(client: Any) -> None:
    with contextlib.suppress(redis.ConnectionError):  # the test ends it
        client.execute_command("DEBUG", "RELOAD")


def test_redis_is_not_ready_while_it_loads_its_data(
    stack: Stack, engine: docker.DockerClient
) -> None:
    stack.write(Settings(redis=RedisSettings(settings={"enable-debug-command": "yes"})))
    stack.run("up", "--wait", "redis")
    container = stack.container(engine, "redis")
    check = container.attrs["Config"]["Healthcheck"]["Test"][1]
    with contextlib.closing(redis.Redis.from_url(stack.url("redis"))) as client:
        debug: Any = client  # redis-py has no types for this method
        debug.execute_command("DEBUG", "POPULATE", 5000, "key", 1000)
        client.config_set("loading-process-events-interval-bytes", 1024)
        client.config_set("key-load-delay", 2000)  # microseconds a key: ten seconds in all
        before = container.exec_run(["sh", "-c", check]).exit_code
        thread = threading.Thread(target=reload, args=(client,))
        thread.start()
        with contextlib.closing(redis.Redis.from_url(stack.url("redis"))) as other:
            while not other.info("persistence").get("loading"):
                pass
        meanwhile = container.exec_run(["sh", "-c", check]).exit_code
        # Not `container.kill()`: the network is in use until the engine has noticed the end.
        stack.end()
        thread.join()
    assert (before, meanwhile) == (0, 1)


def test_profile_starts_one_service_alone(stack: Stack) -> None:
    stack.run("--profile", "redis", "up", "--wait")
    assert stack.running() == {"redis"}


def test_name_starts_one_service_alone(stack: Stack) -> None:
    stack.run("up", "--wait", "redis")
    assert stack.running() == {"redis"}


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ((), {}, "postgres redis clickhouse"),
        (("--profile", "all"), {}, "postgres redis clickhouse"),
        (("--profile", "clickhouse"), {}, "clickhouse"),
        (("--profile", "postgres", "--profile", "redis"), {}, "postgres redis"),
        ((), {"COMPOSE_PROFILES": "postgres"}, "postgres"),
        ((), {"COMPOSE_PROFILES": "postgres,clickhouse"}, "postgres clickhouse"),
        ((), {"COMPOSE_PROFILES": ""}, "postgres redis clickhouse"),
    ],
)
def test_profiles_choose_services(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], expected: str
) -> None:
    (tmp_path / "compose.yaml").write_text(render(Settings()))
    chosen = compose(tmp_path, *arguments, "config", "--services", **environment)
    assert set(chosen.split()) == set(expected.split())


def test_ports_are_published_on_loopback_only(stack: Stack, engine: docker.DockerClient) -> None:
    stack.run("up", "--wait", "redis")
    ports = stack.container(engine, "redis").attrs["NetworkSettings"]["Ports"]
    assert ports == {"6379/tcp": [{"HostIp": "127.0.0.1", "HostPort": stack.ports["REDIS_PORT"]}]}


def test_down_leaves_no_container_network_or_volume(
    stack: Stack, engine: docker.DockerClient
) -> None:
    stack.run("up", "--wait")
    filters = {"label": f"com.docker.compose.project={stack.name}"}
    mounted = {
        mount["Name"]
        for container in engine.containers.list(filters=filters)
        for mount in container.attrs["Mounts"]
        if mount["Type"] == "volume"
    }
    stack.run("down", "-v")
    assert not engine.containers.list(all=True, filters=filters)
    assert not engine.networks.list(filters=filters)
    assert not engine.volumes.list(filters=filters)
    assert not mounted & {volume.name for volume in engine.volumes.list()}
