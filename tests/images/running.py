"""Containers of the images that envkit builds."""

from __future__ import annotations

import io
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar

import clickhouse_connect
import psycopg
import redis

from envkit.backends.images.specs import SPECS
from envkit.model import ServiceName

T = TypeVar("T")
ENVKIT = (sys.executable, "-m", "envkit")
LIMIT_S = 30.0
PORTS = {spec.service: spec.port for spec in SPECS.values()}


class Running:
    """A container of one of the images."""

    def __init__(self, container: Any, service: ServiceName) -> None:
        self.container = container
        self._service = service

    @property
    def port(self) -> int:
        self.container.reload()
        ports = self.container.attrs["NetworkSettings"]["Ports"]
        return int(ports[f"{PORTS[self._service]}/tcp"][0]["HostPort"])

    def logs(self) -> str:
        text: str = self.container.logs().decode(errors="replace")
        return text

    def exit_code(self) -> int:
        return int(self.container.wait(timeout=LIMIT_S)["StatusCode"])

    def run(self, *command: str, user: str = "") -> str:
        code, output = self.container.exec_run(list(command), user=user)
        text: str = output.decode(errors="replace")
        assert code == 0, text
        return text

    def until(self, attempt: Callable[[], T], failures: tuple[type[Exception], ...]) -> T:
        """The first success; fails with the container's logs."""
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                return attempt()
            except failures as error:
                self.container.reload()
                if self.container.status == "exited" or time.monotonic() > end:
                    raise AssertionError(f"{error}\n{self.logs()}") from error
                time.sleep(0.02)

    def postgres(
        self, user: str = "postgres", password: str = "pw", database: str = ""
    ) -> psycopg.Connection[Any]:
        port = self.port
        return self.until(
            lambda: psycopg.connect(
                host="127.0.0.1",
                port=port,
                user=user,
                password=password,
                dbname=database or user,
                autocommit=True,
            ),
            (psycopg.OperationalError,),
        )

    def redis(self, password: str | None = None) -> Any:
        client: Any = redis.Redis(
            "127.0.0.1",
            self.port,
            password=password,
            decode_responses=True,
            single_connection_client=False,
        )
        self.until(client.ping, (redis.ConnectionError,))
        return client

    def clickhouse(self, user: str = "default", password: str = "") -> Any:
        port = self.port
        self.until(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close(), (OSError,)
        )
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=port, username=user, password=password
        )


Start = Callable[..., Running]


def tar_of(content: dict[str, tuple[str | bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (data, mode) in content.items():
            raw = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(raw), mode
            archive.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()


PASSWORD = {"POSTGRES_PASSWORD": "pw"}
