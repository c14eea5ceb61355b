"""Where the services of a running compose project are, read from the engine."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import redis

from envkit.engine.address import EngineAddress
from envkit.engine.compose_project import endpoints
from envkit.errors import DockerDown
from envkit.model import Settings
from tests.compose.stack import ADDRESS, ENGINE, PASSWORD, Stack, answer


def test_endpoints_have_credentials_and_origin(odd: Stack) -> None:
    url, origin = odd.endpoints()["postgres"]
    parts = urlsplit(url)
    assert origin == f"compose project {odd.name}"
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (
        "an odd-Üser",
        PASSWORD,
    )
    assert (parts.hostname, str(parts.port)) == ("127.0.0.1", odd.ports["POSTGRES_PORT"])
    assert unquote(parts.path) == '/d"b $x'


def test_endpoints_of_two_projects_at_once_are_each_ones_own(
    tmp_path: Path, images: dict[str, str]
) -> None:
    first, second = (Stack(tmp_path / name, images) for name in ("first", "second"))
    try:
        for one in (first, second):
            one.write(Settings(services=("redis",)))
            one.run("up", "--wait")
        for one in (first, second):
            with contextlib.closing(redis.Redis.from_url(one.url("redis"))) as client:
                client.set("name", one.name)
        names = []
        for one in (first, second):
            with contextlib.closing(redis.Redis.from_url(one.url("redis"))) as client:
                names.append(client.get("name"))
        assert names == [first.name.encode(), second.name.encode()]
    finally:
        for one in (first, second):
            one.end()


OWN = """
services:
  db:
    image: ${ENVKIT_POSTGRES_IMAGE}
    environment: {POSTGRES_USER: someone, POSTGRES_PASSWORD: own}
    ports: ["${POSTGRES_PORT}:5432"]
    labels: {envkit.compose: postgres}
    healthcheck: {test: pg_isready -h 127.0.0.1, interval: 1s}
"""


def test_endpoints_read_a_file_of_the_users_own_with_the_label(stack: Stack) -> None:
    (stack.root / "compose.yaml").write_text(OWN)
    stack.run("up", "--wait")
    port = stack.ports["POSTGRES_PORT"]
    assert stack.url("postgres") == f"postgresql://someone:own@127.0.0.1:{port}/someone"
    assert answer("postgres", stack.url("postgres")) == (1,)


def test_endpoints_leave_out_what_is_stopped(stack: Stack) -> None:
    stack.run("up", "--wait", "redis")
    stack.run("stop", "redis")
    assert stack.endpoints() == {}


def test_endpoints_leave_out_other_projects(odd: Stack, tmp_path: Path) -> None:
    assert endpoints(ADDRESS, tmp_path) == {}


def test_endpoints_are_the_same_over_tcp(odd: Stack) -> None:
    with forwarded(ENGINE.removeprefix("unix://")) as port:
        address = EngineAddress(url=f"tcp://127.0.0.1:{port}", origin="test")
        assert endpoints(address, odd.root) == odd.endpoints()


def test_endpoints_say_so_if_there_is_no_engine(tmp_path: Path) -> None:
    address = EngineAddress(url=f"unix://{tmp_path}/none.sock", origin="test")
    with pytest.raises(DockerDown):
        endpoints(address, tmp_path)


@contextlib.contextmanager
def forwarded(path: str) -> Iterator[int]:
    """A TCP port in front of a Unix socket."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            while True:
                client = stack.enter_context(listening.accept()[0])
                engine = stack.enter_context(socket.socket(socket.AF_UNIX))
                engine.connect(path)
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
