"""Numbered databases of a Redis server as leases, each with a user that is confined to it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Final

from msgspec import structs

from envkit.errors import EnvkitError, LeaseLimit
from envkit.model import ServiceSettings
from envkit.services.redis_copies import RedisSealed, pour, read
from envkit.services.resp import Connection, Refused
from envkit.services.spec import Address, Namespace, Sealed, new_password

__all__ = [
    "BASE",
    "CLAIM",
    "UNSEEN",
    "create",
    "databases",
    "drop",
    "logged_in",
    "release",
    "renew",
    "seal",
]

#: In database 0, whichever a URL names, because keepers with different URLs must see each other's:
#: the database of that number was found empty and is in use by the owner written there.
CLAIM = "envkit:lease:"
#: At the end of a claim on a database that was not seen to be empty yet.
UNSEEN = "?"
#: Likewise: the database of that number is what somebody's URL names, so it is nobody's lease.
BASE = "envkit:base:"
_HOME = "0"
_USUAL_COUNT = 16
# Renewing is for speed: whoever is busy for longer is not worth the wait.
_PATIENCE_S: Final = 0.5
# What would reach beyond one database, or change the server for all. Where the server can confine
# a user to a database itself, the last three are not needed.
_NOT_FOR_LEASES = ("-@admin", "-flushall", "-swapdb")
_NOT_ACROSS = ("-move", "-copy", "-select")
# Libraries of functions and cached scripts belong to the whole server, too.
_NOT_FOR_ALL = (
    *(f"-function|{name}" for name in ("load", "delete", "flush", "restore", "kill")),
    *(f"-script|{name}" for name in ("flush", "kill")),
)


def logged_in(address: Address, limit: float = 10) -> Connection:
    """A connection of the keeper's own, in the database where claims are.

    Args:
        address: Of the server.
        limit: Seconds that each answer may take.

    Raises:
        Refused: The server lets this user not in, or not there.
        OSError: There is no server.
    """
    connection = Connection(address, limit)
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


def create(
    address: Address, name: str, _: ServiceSettings, owner: str, sealed: Sealed | None = None
) -> Namespace:
    """Take a database that nobody has, as `Service.create` says.

    Raises:
        LeaseLimit: There is none.
        TemplateFailed: The server did not take what the template holds.
        OSError: It refused something else, or is gone.
    """
    with logged_in(address) as admin:
        taken = (_HOME, address.database)
        numbers = [number for number in databases(admin) if number not in taken]
        # From a place of chance, or many at once would all go through the same ones in use.
        begin = int.from_bytes(os.urandom(2)) % max(1, len(numbers))
        for number in numbers[begin:] + numbers[:begin]:
            if not _claimed(admin, number, owner):
                continue
            namespace = Namespace(user=address.user, password=address.password, database=number)
            try:
                if sealed is not None:
                    pour(admin, sealed, number)
                password = new_password()
                mark = _confined(admin, name, password, number)
                if mark is not None:
                    return structs.replace(namespace, user=name, password=password, mark=mark)
                if address.run:  # users are not ours to make there: then with the one we have
                    return namespace
                raise ConnectionError("the server makes no users (ACL SETUSER)")
            except BaseException:
                with contextlib.suppress(OSError):
                    release(admin, number)
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


def _confined(admin: Connection, name: str, password: str, number: str) -> str | None:
    """Make a user for one database; None where there are no users to be made.

    https://redis.io/docs/latest/commands/acl-setuser/

    Returns:
        The mark of its namespace: what keeps the user there, if the server itself does.
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    common = ("reset", "on", f"#{digest}", "~*", "+@all", *_NOT_FOR_LEASES)
    bound = f"db={number}"
    ways = (
        ("&*", *_NOT_FOR_ALL, bound),  # Valkey 9.1 and later
        ("&*", *_NOT_FOR_ALL, *_NOT_ACROSS, f"+select|{number}"),
        ("&*", *_NOT_ACROSS, f"+select|{number}"),  # before 7 there were no functions
        (*_NOT_ACROSS, f"+select|{number}"),  # before 6.2 channels were everybody's
    )
    for way in ways:
        with contextlib.suppress(Refused):
            admin.call("ACL", "SETUSER", name, *common, *way)
            return bound if bound in way else ""
    return None


def drop(address: Address, namespace: Namespace) -> None:
    """Remove user and content, as `Service.drop` says."""
    with logged_in(address) as admin:
        _shut_out(admin, address, namespace)
        release(admin, namespace.database)


def release(admin: Connection, number: str) -> None:
    """Let go of a database that we have claimed; emptied, if it was empty before."""
    admin.call("SELECT", _HOME)
    if not admin.call("GET", CLAIM + number).endswith(UNSEEN):
        admin.call("SELECT", number)
        admin.call("FLUSHDB")
    _unclaim(admin, number)


def seal(address: Address, namespace: Namespace) -> RedisSealed:
    """Read what a database holds, as `Service.seal` says.

    The database itself stays claimed until it is dropped. What a server cannot keep its user from
    (Redis, and Valkey before 9.1, let it write in database 0) is not part of the template.

    Raises:
        OSError: The server refuses, or is gone.
    """
    with logged_in(address) as admin:
        _shut_out(admin, address, namespace)
        return structs.replace(read(admin, [namespace.database]), namespace=namespace)


def renew(
    address: Address, namespace: Namespace, name: str, sealed: Sealed | None
) -> Namespace | None:
    """Give a database to the next one without letting go of it, as `Service.renew` says.

    Where the server itself bound the user to the database, nothing of it can be elsewhere: the
    rest is what `drop` and `create` do, too.
    """
    number = namespace.database
    password = new_password()
    try:
        with logged_in(address, _PATIENCE_S) as admin:
            claim = admin.call("GET", CLAIM + number)
            if namespace.mark != f"db={number}" or not claim or claim.endswith(UNSEEN):
                return None
            _shut_out(admin, address, namespace)
            admin.call("SELECT", number)
            admin.call("FLUSHDB", "SYNC")
            if sealed is not None:
                pour(admin, sealed, number)
            mark = _confined(admin, name, password, number)
            if mark == namespace.mark:
                return Namespace(user=name, password=password, database=number, mark=mark)
            admin.call("ACL", "DELUSER", name)
    except (OSError, EnvkitError):  # `drop` and `create` will see what it is
        return None
    return None


def _shut_out(admin: Connection, address: Address, namespace: Namespace) -> None:
    if namespace.user != address.user:
        admin.call("ACL", "DELUSER", namespace.user)  # closes its connections, too
