"""Who has which namespaces: every lease belongs to a client, or to the keeper itself."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Hashable, Sequence

from envkit.errors import KeeperAbsent, KeeperClosing, LeaseFailed, UsageError
from envkit.keeper.pool import Held, Pool
from envkit.model import Lease, ServiceName

__all__ = ["Leases", "give_back"]

_EXPORT = "export"
_Parts = dict[ServiceName, Held]


class Leases:
    """All leases of a keeper.

    Args:
        pool: Where a service's namespaces come from.
        existing: Likewise, but None for a service that nobody has asked for yet.
    """

    def __init__(
        self,
        pool: Callable[[ServiceName], Pool],
        existing: Callable[[ServiceName], Pool | None],
    ) -> None:
        self._pool = pool
        self._existing = existing
        self._guard = threading.Lock()
        self._count = 0
        self._leases: dict[str, _Parts] = {}
        self._owners: dict[Hashable, set[str]] = {}
        self._exporting = threading.Lock()

    def open_for(self, owner: Hashable) -> None:
        """Let an owner have leases from now on, until `end_of`."""
        with self._guard:
            self._owners[owner] = set()

    def end_of(self, owner: Hashable) -> list[Held]:
        """Take an owner's leases away; the caller gives them back."""
        with self._guard:
            return [
                held
                for lease in self._owners.pop(owner, ())
                for held in self._leases.pop(lease).values()
            ]

    def take(self, owner: Hashable, wanted: Sequence[ServiceName]) -> Lease:
        """A new lease.

        Raises:
            LeaseFailed: A server refused.
            KeeperClosing: The owner went away meanwhile.
        """
        with self._guard:
            self._count += 1
            name = f"lease_{self._count}_{os.urandom(3).hex()}"
        parts = self._taken(name, wanted)
        with self._guard:
            owned = self._owners.get(owner)
            if owned is not None:
                owned.add(name)
                self._leases[name] = parts
                return _lease(name, parts)
        give_back(list(parts.values()))
        raise KeeperClosing("the client is gone")

    def _taken(self, name: str, wanted: Sequence[ServiceName]) -> _Parts:
        """A namespace on each service, all at the same time: some may have to be started first."""
        parts: _Parts = {}
        errors: dict[ServiceName, BaseException] = {}

        def one(service: ServiceName) -> None:
            try:
                parts[service] = self._pool(service).take(name)
            except BaseException as error:
                errors[service] = error

        threads: list[threading.Thread] = []
        for service in wanted[1:]:
            thread = threading.Thread(target=one, args=(service,), daemon=True)
            try:
                thread.start()
                threads.append(thread)
            except RuntimeError:  # no thread to be had: one after another, then
                one(service)
        for service in wanted[:1]:
            one(service)
        for thread in threads:
            thread.join()
        for service in wanted:
            if service in errors:
                give_back(list(parts.values()))
                raise errors[service]
        return {service: parts[service] for service in wanted}

    def release(self, owner: Hashable, lease: str) -> None:
        """Drop a lease and all that is in it.

        Raises:
            LeaseFailed: It is not one of this owner's.
        """
        with self._guard:
            self._disown(owner, lease)
            parts = self._leases.pop(lease)
        give_back(list(parts.values()))

    def keep(self, owner: Hashable, lease: str) -> None:
        """Let the keeper own a lease from now on.

        Raises:
            LeaseFailed: It is not one of this owner's.
        """
        with self._guard:
            self._disown(owner, lease)

    def export(self, wanted: Sequence[ServiceName]) -> Lease:
        """The keeper's own long-lived lease, on those of the services that are up.

        Raises:
            KeeperAbsent: None of them is.
        """
        with self._exporting:
            with self._guard:
                parts = self._leases.setdefault(_EXPORT, {})
            for service in wanted:
                pool = self._existing(service)
                alive = service in parts and parts[service].up.alive
                if pool is not None and not alive and pool.servers():
                    parts[service] = pool.take(f"export_{os.urandom(3).hex()}")
            chosen = {s: parts[s] for s in wanted if s in parts and parts[s].up.alive}
        if not chosen:
            raise KeeperAbsent(
                f"not running: {', '.join(wanted)}", hint=f"envkit up {' '.join(wanted)}"
            )
        return _lease(_EXPORT, chosen)

    def find(self, lease: str) -> Lease:
        """Anybody's lease.

        Raises:
            UsageError: There is none of this id.
        """
        with self._guard:
            if lease in self._leases:
                return _lease(lease, self._leases[lease])
            have = ", ".join(sorted(self._leases)) or "none"
        raise UsageError(f"there is no lease {lease!r}", hint=f"those that exist: {have}")

    def held(self) -> list[Held]:
        with self._guard:
            return [held for parts in self._leases.values() for held in parts.values()]

    def _disown(self, owner: Hashable, lease: str) -> None:
        owned = self._owners.get(owner, set())
        if lease not in owned:
            raise LeaseFailed(f"lease {lease!r} is not one of this client's")
        owned.discard(lease)


def give_back(held: list[Held]) -> None:
    """Drop namespaces; what fails is written to the keeper's log.

    Whoever had it is done with it, and it goes with the server at the latest.
    """
    for one in held:
        try:
            one.give_back()
        except Exception:
            traceback.print_exc()


def _lease(name: str, parts: _Parts) -> Lease:
    return Lease(
        id=name,
        endpoints={service: held.endpoint for service, held in parts.items()},
        logs={
            service: str(held.up.server.log)
            for service, held in parts.items()
            if held.endpoint.backend != "attach"
        },
        own=tuple(service for service, held in parts.items() if held.own_server),
    )
