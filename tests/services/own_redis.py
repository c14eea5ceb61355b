"""Redis servers as leases have them, one each, for tests of what becomes of such servers."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import redis
from msgspec import structs
from redis.backoff import NoBackoff
from redis.retry import Retry

from envkit.host import find_programs
from envkit.services.redis import SPEC
from envkit.services.redis_copies import RedisSealed
from envkit.services.spec import Address, Namespace, Sealed
from tests.foreign import run_redis

if TYPE_CHECKING:
    from tests.foreign import Foreign

__all__ = ["Own", "Start", "client_of", "program", "run", "starting", "state"]


def client_of(address: Address, namespace: Namespace) -> redis.Redis:
    """A client that does not try again by itself."""
    return redis.Redis(
        address.host,
        address.port,
        int(namespace.database),
        namespace.password,
        username=namespace.user,
        retry=Retry(NoBackoff(), 0),
    )


# What INFO says of the time, of what was sent in all this asking, and two counts that nothing sets
# back.
_VOLATILE = re.compile(
    r"server_time_usec|uptime_.*|lru_clock|instantaneous_.*|eventloop_.*|io_.*|total_net_.*|"
    r"total_(reads|writes|commands|connections)_.*|rdb_changes_since_last_save|"
    r"acl_access_denied_.*|client_recent_.*"
)
_PATIENT = ("--slowlog-log-slower-than", "1000000")
_SECTIONS = (
    "server",
    "clients",
    "persistence",
    "stats",
    "replication",
    "cluster",
    "modules",
    "errorstats",
    "keyspace",
)


def state(own: Own, *scripts: str) -> dict[str, Any]:
    """All that a server shows of itself, but what no two of them have in common."""
    client = own.client()
    config = client.config_get("*")
    assert config.pop("requirepass") == own.namespace.password
    digests = [hashlib.sha1(script.encode()).hexdigest() for script in scripts]
    shown: dict[str, Any] = {
        "config": config,
        "users": [re.sub("#[0-9a-f]{64}", "#", str(line)) for line in client.acl_list()],
        "functions": client.function_list(),
        "scripts": client.script_exists(*digests) if digests else [],
        "slow": client.slowlog_len(),
        "late": client.latency_latest(),
        "denied": client.acl_log(),
        "channels": client.pubsub_channels(),
        "connected": len(client.client_list()),
    }
    for section in _SECTIONS:
        shown[section] = {
            name: said
            for name, said in client.info(section).items()
            if not _VOLATILE.fullmatch(name)
        }
    client.close()
    return shown


class Own:
    """A server, and the lease that it is."""

    def __init__(self, server: Foreign) -> None:
        self.pid = server.pid
        self.address = Address(
            host=server.host, port=server.port, user="default", password=server.password
        )
        assert SPEC.whole is not None
        self.namespace = SPEC.whole(self.address)
        self._clients: list[redis.Redis] = []

    def client(self, database: int = 0) -> redis.Redis:
        """Of whoever has the lease now."""
        made = client_of(self.address, structs.replace(self.namespace, database=str(database)))
        self._clients.append(made)
        return made

    def close(self) -> None:
        for client in self._clients:
            with contextlib.suppress(redis.RedisError, OSError):
                client.close()

    def seal(self) -> RedisSealed:
        sealed = SPEC.seal(self.address, self.namespace)
        assert isinstance(sealed, RedisSealed)
        return sealed

    def fill(self, sealed: Sealed) -> None:
        assert SPEC.fill is not None
        SPEC.fill(self.address, self.namespace, sealed)

    def renew(self, sealed: Sealed | None = None) -> bool:
        """Make it the next one's lease, if that can be."""
        renewed = SPEC.renew(self.address, self.namespace, "lease_2", sealed)
        if renewed is None:
            return False
        assert renewed.password != self.namespace.password
        assert structs.replace(renewed, password="", mark="") == structs.replace(
            self.namespace, password="", mark=""
        )
        self.namespace = renewed
        return True


def run(client: redis.Redis, *words: str | bytes | int) -> Any:
    """A command that redis-py may not know."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


Start: TypeAlias = Callable[..., Own]


def program(origin: str) -> str:
    """The server of the wheel, or that on PATH."""
    found = [one for one in find_programs(SPEC.programs) if one.program.origin == origin]
    if not found:
        pytest.skip(f"no redis-server or valkey-server: {origin}")
    return found[0].path


@contextlib.contextmanager
def starting(origin: str, directory: Path) -> Iterator[Start]:
    """A function that starts servers with further arguments; all end with this."""
    path = program(origin)
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> Own:
            own = Own(
                # On a busy machine our own questions would count as slow.
                stack.enter_context(
                    run_redis(directory, *_PATIENT, *arguments, program=path, password="old")
                )
            )
            stack.callback(own.close)
            return own

        yield start
