"""Redis servers of which each is a lease: what is in them, and how they become as new.

Whoever has such a server is its user ``default`` and may do anything, so there is nobody above that
user: the keeper itself comes in with the password in the `Namespace`, which is not the one it
started the server with once the server was renewed. If a test has changed that password or taken
away that user's rights, nobody gets in any more, and the server is thrown away.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from envkit.errors import EnvkitError, TemplateFailed
from envkit.services.redis_copies import RedisSealed, pour, read, read_libraries
from envkit.services.redis_evidence import Evidence, lasting, marked, only_read, take_over
from envkit.services.resp import Answer, Connection, Refused
from envkit.services.spec import Address, Namespace, Sealed, new_password

__all__ = ["fill", "renew", "seal", "whole"]

_LIMIT_S: Final = 10.0
# Renewing saves the time that a new server takes, some 50 ms; whoever is busy or full for longer
# is not worth the wait.
_PATIENCE_S: Final = 0.5
_MOST_KEYS: Final = 50_000
_MOST_BYTES: Final = 1 << 26
# Of what has these effects, a template has no need.
_OF_NO_MATTER: Final = frozenset({"bgrewriteaof", "bgsave", "migrate", "save"})


def whole(address: Address) -> Namespace:
    """A server that nobody has had yet."""
    return Namespace(user=address.user, password=address.password, database="0")


def seal(address: Address, namespace: Namespace) -> RedisSealed:
    """Read what a server holds, as `Service.seal` says; nobody can log in to it any more.

    Scripts that were loaded are not part of it: no server lists them, and whoever runs one by its
    digest must expect NOSCRIPT.

    Raises:
        TemplateFailed: Something was changed there that cannot be read.
        OSError: The server refuses, or is gone.
    """
    with _entered(address, namespace, _LIMIT_S) as connection:
        evidence = take_over(connection, namespace.mark, new_password())
        _refuse_more_than_data(connection, evidence)
        numbers = [
            line.partition(":")[0].removeprefix("db")
            for line in connection.call("INFO", "keyspace").splitlines()
            if line.startswith("db")
        ]
        sealed = read(connection, numbers)
        return structs.replace(sealed, libraries=read_libraries(connection))


def fill(address: Address, namespace: Namespace, sealed: Sealed) -> None:
    """Put a template into an empty server, as `Service.fill` says.

    Raises:
        TemplateFailed: The server did not take what the template holds.
        OSError: It is gone.
    """
    with _entered(address, namespace, _LIMIT_S) as connection:
        pour(connection, sealed)


def renew(address: Address, namespace: Namespace, sealed: Sealed | None) -> Namespace | None:
    """Make a server as new, as `Service.renew` says."""
    password = new_password()
    try:
        with _entered(address, namespace, _PATIENCE_S) as connection:
            evidence = take_over(connection, namespace.mark, password)
            if not evidence.whole or lasting(connection, evidence.calls):
                return None
            if not _is_as_filled(connection, evidence, namespace, sealed):
                if evidence.keys > _MOST_KEYS or evidence.memory > _MOST_BYTES:
                    return None
                _empty(connection)
                if sealed is not None:
                    pour(connection, sealed)
            _forget(connection)
            mark = marked(connection)
    except (OSError, EnvkitError):
        return None
    return structs.replace(namespace, password=password, mark=mark)


def _entered(address: Address, namespace: Namespace, limit: float) -> Connection:
    own = structs.replace(address, user=namespace.user, password=namespace.password)
    connection = Connection(own, limit)
    try:
        connection.log_in()
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_more_than_data(connection: Connection, evidence: Evidence) -> None:
    users = [name for name in connection.call("ACL", "USERS").split("\n") if name != "default"]
    if users:
        raise TemplateFailed(
            f"the Redis template has users of its own ({', '.join(users)}), "
            "which copies would not have",
            hint="make them in the tests that need them (ACL SETUSER)",
        )
    left = [name for name in lasting(connection, evidence.calls) if name not in _OF_NO_MATTER]
    if "config|resetstat" in evidence.calls or (evidence.calls and not evidence.whole):
        left.append("config|resetstat")
    if left:
        said = ", ".join(sorted({name.replace("|", " ").upper() for name in left}))
        raise TemplateFailed(
            f"what prepares the Redis template ran {said}, and copies hold keys and functions only",
            hint="settings of the server belong into [tool.envkit.redis] settings",
        )


def _is_as_filled(
    connection: Connection, evidence: Evidence, namespace: Namespace, sealed: Sealed | None
) -> bool:
    """Whether the content is the template's still."""
    if sealed is None:
        return evidence.keys == 0 and only_read(connection, evidence.calls, 0)
    assert isinstance(sealed, RedisSealed)
    if sealed.expires or sealed.libraries:
        return False
    # What `fill` ran is in the statistics of a new server, and no more in those of a renewed one.
    restored = 0 if namespace.mark else sealed.restored
    return evidence.keys == sealed.keys and only_read(connection, evidence.calls, restored)


def _empty(connection: Connection) -> None:
    answers = connection.pipeline(
        ["FLUSHALL", "SYNC"],
        ["SCRIPT", "FLUSH", "SYNC"],
        ["FUNCTION", "FLUSH", "SYNC"],
        ["FUNCTION", "LIST"],
        ["INFO", "keyspace"],
    )
    _carried_out(answers)
    *_, libraries, keyspace = answers
    if libraries or not isinstance(keyspace, bytes) or b":" in keyspace:
        raise ConnectionError("something is left after all was emptied")


def _forget(connection: Connection) -> None:
    """What the server remembers of what was done there, but for the statistics."""
    _carried_out(
        connection.pipeline(["SLOWLOG", "RESET"], ["LATENCY", "RESET"], ["ACL", "LOG", "RESET"])
    )
    # Of Valkey 8.1 and later; to others it is an error.
    connection.pipeline(
        *(["COMMANDLOG", "RESET", kind] for kind in ("large-request", "large-reply"))
    )


def _carried_out(answers: list[Answer]) -> None:
    for answer in answers:
        if isinstance(answer, Refused):
            raise answer
