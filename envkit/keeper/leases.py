"""Who has which namespaces: every lease belongs to a client, or to the keeper itself."""

from __future__ import annotations

import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from envkit.errors import KeeperAbsent, KeeperClosing, LeaseFailed, LeaseLimit, UsageError
from envkit.keeper.held import Held, Up
from envkit.keeper.pool import Pool
from envkit.model import Lease, ServiceName, Want

__all__ = ["Leases", "give_back"]

_EXPORT = "export"
_Parts = dict[ServiceName, Held]


class Leases:
    """All leases of a keeper.

    Args:
        pool: Where a service's namespaces come from.
        existing: Likewise, but None for a service that nobody has asked for yet.
        limit: How many there may be of a service at a time.
    """

    def __init__(
        self,
        pool: Callable[[Want], Pool],
        existing: Callable[[Want], Pool | None],
        limit: Callable[[ServiceName], int],
    ) -> None:
        self._pool = pool
        self._existing = existing
        self._limit = limit
        self._reserved: Counter[ServiceName] = Counter()
        self._guard = threading.Lock()
        self._number = 0
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

    def count(self, service: ServiceName) -> int:
        """How many there are of a service, or are just being taken."""
        with self._guard:
            return self._count(service)

    def _count(self, service: ServiceName) -> int:
        had = sum(service in parts for parts in self._leases.values())
        return had + self._reserved[service]

    def take(self, owner: Hashable, wanted: Sequence[Want]) -> Lease:
        """A new lease.

        Raises:
            LeaseFailed: A server refused.
            LeaseLimit: There are as many as there may be.
            TemplateAbsent: A template has to be prepared first.
            KeeperClosing: The owner went away meanwhile.
        """
        with self._guard:
            self._number += 1
            name = f"lease_{self._number}_{os.urandom(3).hex()}"
            self._reserve(wanted)
        try:
            parts = self._taken(wanted)
        except BaseException:
            with self._guard:
                self._reserved.subtract(want.service for want in wanted)
            raise
        with self._guard:
            self._reserved.subtract(want.service for want in wanted)
            owned = self._owners.get(owner)
            if owned is not None:
                owned.add(name)
                self._leases[name] = parts
                return _lease(name, parts)
        give_back(list(parts.values()))
        raise KeeperClosing("the client is gone")

    def _reserve(self, wanted: Sequence[Want]) -> None:
        for service in (want.service for want in wanted):
            limit = self._limit(service)
            if self._count(service) >= limit:
                raise LeaseLimit(
                    f"there are {limit} leases of {service}, as many as max_leases allows: "
                    f"{self._who(service)}",
                    hint="fewer tests at once, or close what is open; "
                    f"max_leases = {limit * 2} in [tool.envkit.{service}] allows more",
                )
        self._reserved.update(want.service for want in wanted)

    def _who(self, service: ServiceName) -> str:
        """In words, who has the leases of a service."""
        holders = [
            (f"process {getattr(owner, 'pid', '?')} has", owned)
            for owner, owned in self._owners.items()
        ]
        theirs = {lease for _, owned in holders for lease in owned}
        holders.append(("kept until `envkit down`:", self._leases.keys() - theirs))
        counts = [
            (sum(service in self._leases.get(lease, ()) for lease in owned), who)
            for who, owned in holders
        ]
        said = [f"{who} {number}" for number, who in sorted(counts, reverse=True) if number]
        if self._reserved[service]:
            said.append(f"being taken: {self._reserved[service]}")
        return ", ".join(said)

    def _taken(self, wanted: Sequence[Want]) -> _Parts:
        """A namespace on each service; what is not there yet is made at the same time."""
        parts: _Parts = {}
        errors: dict[ServiceName, BaseException] = {}
        missing: list[Want] = []
        for want in wanted:
            pool = self._existing(want)
            ready = pool.ready_one(want.template) if pool else None
            if ready is None:
                missing.append(want)
            else:
                parts[want.service] = ready

        def one(want: Want) -> None:
            try:
                parts[want.service] = self._pool(want).new_one(want.template)
            except BaseException as error:
                errors[want.service] = error

        threads: list[threading.Thread] = []
        for want in missing[1:]:
            thread = threading.Thread(target=one, args=(want,), daemon=True)
            try:
                thread.start()
                threads.append(thread)
            except RuntimeError:  # no thread to be had: one after another, then
                one(want)
        for want in missing[:1]:
            one(want)
        for thread in threads:
            thread.join()
        for want in wanted:
            if want.service in errors:
                give_back(list(parts.values()))
                raise errors[want.service]
        return {want.service: parts[want.service] for want in wanted}

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

    def export(self, wanted: Sequence[Want]) -> Lease:
        """The keeper's own long-lived lease, on those of the services that are up.

        Raises:
            KeeperAbsent: None of them is.
            TemplateAbsent: A template has to be prepared first.
        """
        with self._exporting:
            with self._guard:
                parts = self._leases.setdefault(_EXPORT, {})
            for want in wanted:
                pool = self._existing(want)
                alive = want.service in parts and parts[want.service].up.alive
                if pool is not None and not alive and pool.servers():
                    name = f"export_{os.urandom(3).hex()}"
                    parts[want.service] = pool.single(name, want.template)
            services = [want.service for want in wanted]
            chosen = {s: parts[s] for s in services if s in parts and parts[s].up.alive}
        if not chosen:
            raise KeeperAbsent(
                f"not running: {', '.join(services)}", hint=f"envkit up {' '.join(services)}"
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

    def on(self, servers: Sequence[Up]) -> int:
        """How many have a part on one of these servers."""
        ports = {(up.address.host, up.address.port) for up in servers}
        with self._guard:
            held = [one for parts in self._leases.values() for one in parts.values()]
        return sum((one.endpoint.host, one.endpoint.port) in ports for one in held)

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
