"""All servers of a keeper, by service: one pool each, their states, and who hears of them."""

from __future__ import annotations

import re
import threading
import time
import traceback
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import Any

from envkit import services
from envkit.backends.site import Site
from envkit.keeper.leases import Leases
from envkit.keeper.pool import Pool
from envkit.keeper.sources import OwnSource, Servers, SharedSource
from envkit.keeper.starting import Starter
from envkit.keeper.variants import Variant, variant_of
from envkit.model import SERVICES, BackendName, ServiceName, ServiceStatus, Settings, Want
from envkit.services.spec import Service

__all__ = ["Fleet", "Report"]

Report = Callable[[dict[str, Any]], None]

# After one has failed, the others get this long to fail too or to be ready.
_AFTER_FAILURE_S = 0.25
# Servers that are not ours have this long to drop what is: clients wait 10 s for the end.
_LEAVE_LIMIT_S = 6.0


class Fleet:
    """Servers, brought up when they are asked for.

    Args:
        settings: Of the project.
        site: The keeper's.
        cancelled: Set at the keeper's end.
        attached: To be told of every server that is not ours: service and URL.
        leased: How many leases of a service there are.
    """

    def __init__(
        self,
        settings: Settings,
        site: Site,
        cancelled: threading.Event,
        attached: Callable[[ServiceName, str], None],
        leased: Callable[[ServiceName], int],
    ) -> None:
        self._leased = leased
        self._settings = settings
        self._site = site
        self._attached = attached
        self._logs = site.logs
        self._starter = Starter(settings, site, cancelled, self._tell)
        self._guard = threading.Lock()
        self._pools: dict[Variant, Pool] = {}
        self._listeners: list[Report] = []
        self._states: dict[str, dict[str, Any]] = {}

    @property
    def failed(self) -> bool:
        """Whether any server could not be started."""
        return self._starter.failed

    def pool(self, want: Want) -> Pool:
        """Where a service's namespaces come from; starts nothing by itself.

        Raises:
            UnavailableError: Nothing here can serve it.
            UsageError: It cannot be had in that way here.
        """
        pool = self.existing(want)
        if pool is not None:
            return pool
        variant = variant_of(want, self._settings)
        spec = services.load(want.service)
        # Planned outside of the guard, so that services are looked at side by side.
        backend = self._starter.planned(spec, variant).backend
        settings = variant.settings.of(want.service)
        source = self._source(spec, variant, backend)
        pool = Pool(source, settings, partial(self._leased, want.service))
        with self._guard:
            return self._pools.setdefault(variant, pool)

    def _source(self, spec: Service, variant: Variant, backend: BackendName) -> Servers:
        settings = variant.settings.of(spec.name)
        start = partial(self._starter.up, spec, variant)
        only = partial(start, variant.name)
        if backend == "attach":
            from envkit.keeper.attached import AttachedSource

            return AttachedSource(spec, settings, only, self._site, self._attached)
        if spec.whole is not None and variant.own_servers(backend):
            return OwnSource(spec, spec.whole, start)
        return SharedSource(spec, settings, only, self._site.owner)

    def existing(self, want: Want) -> Pool | None:
        """Likewise, if anybody has asked for it yet."""
        with self._guard:
            return self._pools.get(variant_of(want, self._settings))

    def end_of(self, owner: Hashable) -> None:
        """A client is gone: templates that it was preparing are not finished by anybody."""
        with self._guard:
            pools = list(self._pools.values())
        for pool in pools:
            pool.end_of(owner)

    def start(self, wants: Sequence[Want], report: Report, leases: Leases) -> list[ServiceStatus]:
        """Bring these up at the same time.

        Args:
            wants: Which; two that need the same server are one.
            report: Gets an event for every change of a state, and one with ``joined`` for what is
                up already.
            leases: For the status that is returned.

        Raises:
            EnvkitError: The first one's that failed, in the order wanted.
        """
        wanted = {variant_of(want, self._settings): want for want in wants}
        errors: dict[Variant, BaseException] = {}
        failed = threading.Event()

        def one(variant: Variant) -> None:
            try:
                self.pool(wanted[variant]).ready()
            except BaseException as error:
                errors[variant] = error
                failed.set()

        with self._guard:
            self._listeners.append(report)
            known = dict(self._states)
        for variant, want in wanted.items():
            if variant.name in known and self.pool(want).servers():
                report({"service": want.service, **known[variant.name], "joined": True})
        threads = [threading.Thread(target=one, args=(v,), daemon=True) for v in wanted]
        try:
            for thread, variant in zip(threads, wanted, strict=True):
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had: one after another, then
                    one(variant)
            for thread in threads:
                while thread.is_alive() and not failed.is_set():
                    thread.join(0.01)
            deadline = time.monotonic() + _AFTER_FAILURE_S
            for thread in threads:
                if thread.is_alive():
                    thread.join(max(0.0, deadline - time.monotonic()))
        finally:
            with self._guard:
                self._listeners.remove(report)
        for variant in wanted:
            if variant in errors:
                raise errors[variant]
        return self.status(leases, wanted)

    def status(
        self, leases: Leases, wanted: Collection[Variant] | None = None
    ) -> list[ServiceStatus]:
        """A row for each of these, or for all that was ever asked for."""
        with self._guard:
            pools = dict(self._pools)
            states = dict(self._states)
        rows: list[ServiceStatus] = []
        for variant in sorted(pools, key=lambda one: (SERVICES.index(one.service), one.name)):
            event = states.get(variant.name)
            if event is None or (wanted is not None and variant not in wanted):
                continue  # looked at, never started
            choice = self._starter.choice(variant)
            ups = pools[variant].servers()
            up = ups[0] if ups else None
            state = event["state"]
            ready, pending = pools[variant].counts()
            if state == "ready" and up is None:
                state = "stopped"
            rows.append(
                ServiceStatus(
                    service=variant.service,
                    state=state,
                    backend=choice.backend if choice else "embedded",
                    why=choice.why if choice else "",
                    product=up.product if up else "",
                    version=up.greeting.version if up else "",
                    host=up.address.host if up else "",
                    port=up.address.port if up else 0,
                    pid=(up.server.pid or None) if up else None,
                    container=up.server.container if up else "",
                    started_ms=round(up.started_ms, 1) if up else 0.0,
                    leases=leases.on(pools[variant].servers()),
                    ready=ready,
                    pending=pending,
                )
            )
        return rows

    def leave(self) -> list[str]:
        """Remove what is ours from servers that are not; what went wrong, in words."""
        with self._guard:
            pools = list(self._pools.items())
        for _, pool in pools:
            pool.end()
        leaving = [
            (variant.service, pool.source.leave)
            for variant, pool in pools
            if hasattr(pool.source, "leave")
        ]
        problems: list[str] = []

        def one(service: ServiceName, leave: Callable[[], None]) -> None:
            try:
                leave()
            except Exception as error:
                traceback.print_exc()  # into the log, which is kept
                problems.append(f"{service}: {error}")

        threads = [threading.Thread(target=one, args=args, daemon=True) for args in leaving]
        for thread in threads:
            thread.start()
        limit = time.monotonic() + _LEAVE_LIMIT_S
        for thread, (service, _) in zip(threads, leaving, strict=True):
            thread.join(max(0.0, limit - time.monotonic()))
            if thread.is_alive():
                problems.append(f"{service}: no answer within {_LEAVE_LIMIT_S:g} s")
        return problems

    def log_files(self, service: ServiceName) -> list[str]:
        """Of a service's servers, those that have ended included."""
        return sorted(
            str(path) for path in self._logs.glob("*.log") if re.match(rf"{service}\b", path.name)
        )

    def _tell(self, variant: Variant, **event: Any) -> None:
        with self._guard:
            self._states[variant.name] = event
            listeners = list(self._listeners)
        for listener in listeners:
            listener({"service": variant.service, **event})
