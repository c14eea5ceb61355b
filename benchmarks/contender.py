"""One contender of docker.py in a process of its own: ``contender.py NAME JOB``.

JOB is JSON. Printed are, as JSON and on the clock that all processes share (CLOCK_MONOTONIC), the
moments at which imports were done, each service asked for had answered, and all was removed.

Not a line of this is imported from envkit, except by the contender of that name.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any

Job = dict[str, Any]
Moments = dict[str, float]

_PAUSE_S = 0.005
_LIMIT_S = 60.0
_DRIVERS = {"postgres": "psycopg", "redis": "redis", "clickhouse": "http.client"}
_PORTS = {"postgres": 5432, "redis": 6379, "clickhouse": 8123}
# https://hub.docker.com/_/postgres, …/_/redis and …/_/clickhouse
_CONTRACTS = {
    "postgres": ("POSTGRES_USER=test", "POSTGRES_PASSWORD=test", "POSTGRES_DB=test"),
    "redis": (),
    "clickhouse": ("CLICKHOUSE_USER=test", "CLICKHOUSE_PASSWORD=test", "CLICKHOUSE_DB=test"),
}
_URLS = {
    "postgres": "postgresql://test:test@{}:{}/test",
    "redis": "redis://{}:{}/0",
    "clickhouse": "http://test:test@{}:{}/test",
}


# -- the clients that all contenders are asked by -------------------------------------------------


def _ask_postgres(url: str) -> None:
    import psycopg

    with psycopg.connect(url, connect_timeout=5) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def _ask_redis(url: str) -> None:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # By default it waits up to a second between tries of its own.
    with Redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        assert client.ping()


def ask_clickhouse(url: str) -> None:
    from base64 import b64encode
    from http.client import HTTPConnection
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    assert parts.hostname is not None
    token = b64encode(unquote(f"{parts.username}:{parts.password}").encode()).decode()
    headers = {"Authorization": f"Basic {token}"}
    connection = HTTPConnection(parts.hostname, parts.port, timeout=5)
    try:
        connection.request("POST", f"/?database={parts.path[1:]}", b"SELECT 1", headers)
        answer = connection.getresponse().read()
    finally:
        connection.close()
    if answer.strip() != b"1":
        raise ConnectionError(answer.decode(errors="replace"))


_ASK: dict[str, Callable[[str], None]] = {
    "postgres": _ask_postgres,
    "redis": _ask_redis,
    "clickhouse": ask_clickhouse,
}


def _until_answer(service: str, url: str, limit: float) -> None:
    while True:
        try:
            _ASK[service](url)
            return
        except Exception as error:  # every driver has its own kinds of "not yet"
            if time.monotonic() > limit:
                raise TimeoutError(f"{service} at {url}: {error}") from error
            time.sleep(_PAUSE_S)


# -- the contenders -------------------------------------------------------------------------------


def docker_run(job: Job) -> Moments:
    """One container of one service, by the docker command."""
    import subprocess

    (service, image), *_ = job["images"].items()
    import_module(_DRIVERS[service])

    def docker(*arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    arguments = [f"--label={job['label']}=1", f"--publish=127.0.0.1::{_PORTS[service]}"]
    arguments += [f"--env={variable}" for variable in _CONTRACTS[service]]
    arguments += [f"--tmpfs={directory}" for directory in job["tmpfs"]]
    imported = time.monotonic()
    container = docker("run", "--detach", *arguments, image).strip()
    try:
        port = docker("port", container, str(_PORTS[service])).split()[0].rpartition(":")[2]
        _until_answer(service, _URLS[service].format("127.0.0.1", port), imported + _LIMIT_S)
        answered = time.monotonic()
    finally:
        docker("rm", "--force", "--volumes", container)
    return {"imported": imported, "answered": answered}


def testcontainers(job: Job) -> Moments:
    """Its own classes with their defaults, one after another, as its documentation shows them."""
    kinds = _testcontainers_classes()
    imported = time.monotonic()
    with ExitStack() as stack:
        up = {}
        for service, image in job["images"].items():
            container = kinds[service](image, labels={job["label"]: "1"})
            up[service] = stack.enter_context(container)
        for service, container in up.items():
            _ask_container(service, container)
        answered = time.monotonic()
    return {"imported": imported, "answered": answered}


def testcontainers_threads(job: Job) -> Moments:
    """The same in a thread for each, to start and to stop."""
    from concurrent.futures import ThreadPoolExecutor

    kinds = _testcontainers_classes()
    containers: list[Any] = []
    imported = time.monotonic()

    def start(service: str) -> None:
        container = kinds[service](job["images"][service], labels={job["label"]: "1"})
        containers.append(container)
        container.start()
        _ask_container(service, container)

    with ThreadPoolExecutor(len(kinds)) as pool:
        try:
            list(pool.map(start, job["images"]))
            answered = time.monotonic()
        finally:
            list(pool.map(lambda container: container.stop(), containers))
    return {"imported": imported, "answered": answered}


def envkit(job: Job) -> Moments:
    """A lease on all; nothing is running, so its keeper is started too."""
    from pathlib import Path

    # api imports what it needs when it is called, and a test run has that before its first lease.
    for name in ("config", "keeper.client", *(f"services.{one}" for one in _DRIVERS)):
        import_module(f"envkit.{name}")
    for driver in _DRIVERS.values():
        import_module(driver)
    from envkit import api

    imported = time.monotonic()
    services = tuple(job["images"])
    with api.lease(*services, backend="docker", root=Path(job["project"])) as lease:
        for service in lease:
            _ASK[service](lease[service].url)
        answered = time.monotonic()
    return {"imported": imported, "answered": answered}


def _testcontainers_classes() -> dict[str, Any]:
    from testcontainers.community.clickhouse import ClickHouseContainer
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.community.redis import RedisContainer

    for driver in _DRIVERS.values():
        import_module(driver)
    return {
        "postgres": PostgresContainer,
        "redis": RedisContainer,
        "clickhouse": ClickHouseContainer,
    }


def _ask_container(service: str, container: Any) -> None:
    host = container.get_container_host_ip()
    _ASK[service](_URLS[service].format(host, container.get_exposed_port(_PORTS[service])))


_CONTENDERS = {
    one.__name__: one for one in (docker_run, testcontainers, testcontainers_threads, envkit)
}


if __name__ == "__main__":
    moments = _CONTENDERS[sys.argv[1]](json.loads(sys.argv[2]))
    print(json.dumps(moments | {"removed": time.monotonic()}))
