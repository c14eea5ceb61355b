"""Redis servers of somebody else: numbered databases found empty, claimed by keys in database 0.

A claim says whose it is; beside it a key that expires says that its owner lives.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
from typing import Final

from envkit.dsn import Dsn
from envkit.errors import AttachUnsuitable
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.attached.spec import Attachment, Presence, Trace
from envkit.services.redis import SPEC
from envkit.services.redis_databases import BASE, CLAIM, UNSEEN, databases, logged_in, release
from envkit.services.resp import Connection, Refused
from envkit.services.spec import Address, Greeting, Namespace, Sealed
from envkit.versions import numbers
from envkit.wait import Trouble

__all__ = ["ALIVE", "ATTACHMENT"]

#: Followed by the run; in database 0 as long as its keeper lives, and a while longer.
ALIVE: Final = "envkit:alive:"
# Long, because a suspended laptop wakes up again; whoever can see the keeper's process need not
# wait for it.
_EXPIRES_S: Final = 600
_RENEWED_S: Final = 60.0
_OURS: Final = "envkit:"
_USER: Final = re.compile(r"envkit_([0-9a-f]{8})_")


def _address(dsn: Dsn, run: str) -> Address:
    return Address(
        host=dsn.host,
        port=dsn.port,
        user=dsn.user or "default",
        password=dsn.password,
        database=dsn.database or "0",
        tls=dsn.tls,
        parameters=dict(dsn.parameters),
        run=run,
    )


def _trouble(_: Address, error: Exception) -> Trouble:
    words = str(error)
    if isinstance(error, Refused):
        # https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
        if words.startswith(("LOADING", "BUSY", "MASTERDOWN")):
            return Trouble(kind="starting", hint="wait until it has loaded its data")
        if "without any password" in words:
            return Trouble(kind="denied", hint="leave the password out of the URL")
        return Trouble(kind="denied", hint="correct user and password in the URL")
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(
            kind="denied",
            hint="name the authority with ?ssl_ca_certs=… or do not check with "
            "?ssl_cert_reqs=none in the URL",
        )
    if isinstance(error, ssl.SSLError) or "handshake" in words:  # Redis waits for its end
        return Trouble(kind="foreign", hint="without TLS the URL begins with redis://")
    if "not a Redis" in words:
        return Trouble(kind="foreign", hint="name the port of the Redis server")
    return Trouble(kind="absent", hint="is it running, and are host and port right?")


def _confines(greeting: Greeting) -> bool:
    """Whether a user can be bound to a database; elsewhere every connection begins in 0."""
    return greeting.product == "Valkey" and numbers(greeting.version) >= (9, 1)


def _somebodys_keys(admin: Connection) -> bool:
    """Whether anything but ours is in database 0."""
    cursor = "0"
    while True:
        cursor, *keys = admin.call("SCAN", cursor, "COUNT", "1000").split("\n")
        if any(key and not key.startswith(_OURS) for key in keys):
            return True
        if cursor == "0":
            return False


def _examine(address: Address, greeting: Greeting, _: ServiceSettings) -> None:
    try:
        with logged_in(address) as admin:
            admin.call("GET", ALIVE + address.run)
            info = ""
            with contextlib.suppress(Refused):
                info = admin.call("INFO", "replication")
            if "role:slave" in info:
                raise AttachUnsuitable(
                    f"Redis at {address.url_host} is a replica, which only reads",
                    hint="name its primary server",
                )
            if len(databases(admin)) < 2:
                raise AttachUnsuitable(
                    f"Redis at {address.url_host} has one database only, so there is none for a "
                    "lease",
                    hint="databases = 16 in its configuration, or --backend redis=embedded",
                )
            if not _confines(greeting) and _somebodys_keys(admin):
                raise AttachUnsuitable(
                    f"Redis at {address.url_host} has keys in database 0, and "
                    f"{greeting.product} {greeting.version} cannot keep a test out of it that "
                    "forgets the number in its URL",
                    hint="keep them in another database, or use a server for tests alone, or the "
                    "backend embedded; Valkey 9.1 and later confine each lease",
                )
    except Refused as error:
        raise AttachUnsuitable(
            f"the user {address.user!r} may not do on Redis at {address.url_host} what leases "
            f"need: {error}",
            hint="it needs SELECT, SET, GET, MGET, EXISTS, DEL, SCAN, DBSIZE and FLUSHDB on keys "
            "of all databases",
        ) from None


class _Alive(Presence):
    """Keys that expire, set anew until the end."""

    def __init__(self, address: Address, owner: str) -> None:
        self._address = address
        self._owner = owner
        self._stop = threading.Event()
        self._set()
        threading.Thread(target=self._renew, daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(Exception), logged_in(self._address) as admin:
            _withdraw(admin, self._address.run, self._address.database)

    def _set(self) -> None:
        with logged_in(self._address) as admin:
            for key in (ALIVE + self._address.run, BASE + self._address.database):
                admin.call("SET", key, self._owner, "EX", str(_EXPIRES_S))

    def _renew(self) -> None:
        while not self._stop.wait(_RENEWED_S):
            with contextlib.suppress(Exception):  # tried again before it expires
                self._set()


def _withdraw(admin: Connection, run: str, base: str) -> None:
    admin.call("DEL", ALIVE + run)
    said = Owner.read(admin.call("GET", BASE + base))
    if said is not None and said.run == run:  # else somebody with the same URL has renewed it
        admin.call("DEL", BASE + base)


def _drop(address: Address, namespace: Namespace) -> None:
    with logged_in(address) as admin:
        if namespace.user != address.user:
            admin.call("ACL", "DELUSER", namespace.user)  # closes its connections, too
        # After a long sleep it may have been given to somebody else.
        said = Owner.read(admin.call("GET", CLAIM + namespace.database))
        if said is not None and said.run == address.run:
            release(admin, namespace.database)


def _unseal(address: Address, sealed: Sealed) -> None:
    if sealed.namespace is not None:
        _drop(address, sealed.namespace)


def _claims(admin: Connection) -> dict[str, Owner]:
    """Number to owner; claims that say nothing of an owner are nobody's business."""
    found: dict[str, Owner] = {}
    for number in databases(admin):
        said = admin.call("GET", CLAIM + number).removesuffix(UNSEEN)
        if number != "0" and (owner := Owner.read(said)):
            found[number] = owner
    return found


def _users(admin: Connection) -> dict[str, str]:
    """Name to run of the users that are leases'."""
    try:
        names = admin.call("ACL", "USERS").split("\n")
    except Refused:  # older than 6, or not for everybody
        return {}
    return {name: found[1] for name in names if (found := _USER.match(name))}


def _traces(address: Address) -> list[Trace]:
    with logged_in(address) as admin:
        owners: dict[str, Owner | None] = {}
        names: dict[str, list[str]] = {}
        for number, owner in _claims(admin).items():
            owners[owner.run] = owner
            names.setdefault(owner.run, []).append(f"database {number}")
        for user, run in _users(admin).items():
            owners.setdefault(run, None)
            names.setdefault(run, []).append(user)
        return [
            Trace(
                run=run,
                owner=owner,
                alive=admin.call("EXISTS", ALIVE + run) != "0",
                names=tuple(names[run]),
            )
            for run, owner in owners.items()
        ]


def _clear(address: Address, run: str) -> list[str]:
    removed: list[str] = []
    with logged_in(address) as admin:
        for user, whose in _users(admin).items():
            if whose == run:
                admin.call("ACL", "DELUSER", user)
                removed.append(user)
        for number, owner in _claims(admin).items():
            if owner.run == run:
                release(admin, number)
                removed.append(f"database {number}")
        _withdraw(admin, run, address.database)
    return removed


ATTACHMENT = Attachment(
    address=_address,
    trouble=_trouble,
    examine=_examine,
    announce=_Alive,
    create=SPEC.create,
    drop=_drop,
    seal=SPEC.seal,
    unseal=_unseal,
    traces=_traces,
    clear=_clear,
)
