"""The real program, started once per test process, and ways to talk to it."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "envkit" / "chdb_server"
USER, PASSWORD = "app", "pa ss/wörd&%"
READY = re.compile(rb"chdb_server: listening on 127\.0\.0\.1:(\d+) \(ClickHouse (26[0-9.]+)")


def need_engine() -> None:
    if importlib.util.find_spec("chdb") is None:
        pytest.skip("the chdb engine is missing: pip install 'envkit-services[embedded]'")


class Answer:
    """A response, read to its end."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "surrogateescape")

    @property
    def code(self) -> int:
        """ClickHouse's code of an error, 0 if there is none."""
        return int(self.headers.get("x-clickhouse-exception-code", 0))


class Program:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.user, self.password = USER, PASSWORD
        assert process.stderr is not None
        self.seen = b""
        while not (match := READY.search(self.seen)):
            line = process.stderr.readline()
            if not line:
                process.wait(10)
                raise AssertionError(f"exit {process.returncode}: {self.seen!r}")
            self.seen += line
        self.port = int(match.group(1))
        self.version = match.group(2).decode()

    @property
    def dsn(self) -> str:
        password = urllib.parse.quote(self.password, safe="")
        return f"http://{self.user}:{password}@127.0.0.1:{self.port}/default"

    @property
    def basic(self) -> dict[str, str]:
        return {"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.password}

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: dict[str, Any] | None = None,
        encode_chunked: bool = False,
    ) -> Answer:
        """One request on a connection of its own, as given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        encoded = {k: v.encode() if isinstance(v, str) else v for k, v in (headers or {}).items()}
        try:
            connection.request(method, target, body, encoded, encode_chunked=encode_chunked)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def sql(
        self,
        sql: str | bytes,
        body: Any = None,
        headers: dict[str, Any] | None = None,
        method: str = "POST",
        **parameters: Any,
    ) -> Answer:
        """Run ``sql`` with credentials; with a ``body``, the statement goes into the URL."""
        if body is None and method == "POST":
            body = sql
        else:
            parameters["query"] = sql
        target = "/?" + urllib.parse.urlencode(parameters)
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogateescape")
        return self.request(method, target, body, {**self.basic, **(headers or {})})

    def rows(self, sql: str, **parameters: Any) -> str:
        """The text of a result that must be one."""
        answer = self.sql(sql, **parameters)
        assert answer.status == 200, answer.text
        return answer.text

    @contextlib.contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A raw socket."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            yield sock

    def exchange(self, data: bytes) -> bytes:
        """Send bytes as they are, and read until the server closes."""
        with self.connection() as sock:
            sock.sendall(data)
            received = b""
            while piece := sock.recv(65536):
                received += piece
            return received


def write_config(directory: Path, **values: Any) -> Path:
    path = directory / "config.json"
    config: dict[str, Any] = {
        "user": USER,
        "password": PASSWORD,
        "database": "default",
        "settings": {},
    }
    config.update({"timezone": "UTC", "max_execution_time": 0, **values})
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(config, file)
    return path


def command_line(directory: Path, config: Path, port: int = 0) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(port), "--path", str(directory / "data")]
    return [sys.executable, "-P", str(PACKAGE / "__main__.py"), *options, "--config", str(config)]


@contextlib.contextmanager
def running(directory: Path, **config: Any) -> Iterator[Program]:
    need_engine()
    command = command_line(directory, write_config(directory, **config))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=directory)
    try:
        yield Program(process, directory / "data")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("chdb server")) as program:
        yield program


@pytest.fixture
def server(shared_server: Program) -> Program:
    """The server of this test process; use `table` or names of your own for data."""
    assert shared_server.process.poll() is None
    return shared_server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """A function that starts a server of the test's own, configured by keywords."""
    with contextlib.ExitStack() as stack:
        yield lambda **config: stack.enter_context(running(tmp_path, **config))


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A function that runs the program to its end, for its exit code and stderr."""
    need_engine()

    def run(port: int = 0, config: Path | None = None, **values: Any) -> tuple[int, str]:
        path = config if config is not None else write_config(tmp_path, **values)
        done = subprocess.run(
            command_line(tmp_path, path, port), capture_output=True, timeout=60, check=False
        )
        return done.returncode, done.stderr.decode()

    return run


@pytest.fixture
def database(server: Program) -> Iterator[str]:
    """An empty database; its name."""
    name = f"db_{os.urandom(6).hex()}"
    server.rows(f"CREATE DATABASE {name}")
    yield name
    server.rows(f"DROP DATABASE {name}")


@pytest.fixture
def client(server: Program, database: str) -> Iterator[Any]:
    """clickhouse-connect, as applications use it."""
    clickhouse_connect = pytest.importorskip("clickhouse_connect")
    made = clickhouse_connect.create_client(dsn=server.dsn, database=database)
    yield made
    made.close()
    made.http.clear()
