"""Where a service's leases come from: its servers, the templates on them, what is kept ready.

Two kinds of sources, chosen by the service: a namespace in a server that all share
(`SharedSource`), or a server for each lease (`OwnSource`). Both bring servers up on demand, once,
however many ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Protocol

from msgspec import structs

from envkit.errors import EnvkitError, LeaseFailed, TemplateAbsent
from envkit.keeper.held import Held, Up, held
from envkit.keeper.stock import Crew, Source, Stock
from envkit.keeper.templates import Build, Templates
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.spec import Address, Groundwork, Namespace, Sealed, Service

__all__ = ["OwnSource", "Pool", "Servers", "SharedSource", "SharedUp", "StartServer"]

StartServer = Callable[[str], Up]


class SharedUp:
    """A server that is brought up by the first who asks; the others wait for the same one."""

    def __init__(self, start: Callable[[], Up]) -> None:
        self._start = start
        self._guard = threading.Lock()
        self._future: Future[Up] | None = None

    def get(self) -> Up:
        with self._guard:
            future = before = self._future
            mine = future is None or _is_spent(future)
            if mine:
                future = self._future = Future()
        assert future is not None
        if mine:
            try:
                if before is not None and before.exception() is None:
                    before.result().server.stop()  # dead, but its files are still there
                future.set_result(self._start())
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def now(self) -> Up | None:
        future = self._future
        if future is None or not future.done() or _is_spent(future):
            return None
        return future.result()


def _is_spent(future: Future[Up]) -> bool:
    """Whether the start failed or the server has died since: the next to ask tries again."""
    return future.done() and (future.exception() is not None or not future.result().alive)


class Servers(Source, Protocol):
    """A source, and the servers behind it.

    Attributes:
        shared: Whether all that was made is in one server, and gone with it.
    """

    shared: bool

    def ready(self) -> Up:
        """A server that answers, brought up if need be; raises what went wrong with it."""

    def servers(self) -> list[Up]:
        """Those that answer now."""

    def begin(self, name: str, work: Groundwork) -> Held:
        """Something to prepare a template in."""

    def seal(self, held: Held) -> Sealed:
        """A template of it."""

    def empty(self) -> Sealed | None:
        """A template of nothing, if copies of one are better than an empty namespace."""

    def discard(self, held: Held, sealed: Sealed | None) -> None:
        """Remove what was begun or sealed."""


class SharedSource:
    """One server; a lease is a namespace in it."""

    shared = True

    def __init__(
        self, spec: Service, settings: ServiceSettings, start: Callable[[], Up], owner: Owner
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._owner = owner.text
        self._server = SharedUp(start)

    def ready(self) -> Up:
        return self._server.get()

    def servers(self) -> list[Up]:
        up = self._server.now()
        return [up] if up else []

    def make(self, name: str, sealed: Sealed | None) -> Held:
        """Create a namespace.

        Raises:
            LeaseFailed: The server refused; its own words are in the error.
        """
        up = self.ready()
        return self._made(
            up,
            lambda: self._spec.create(up.address, name, self._settings, self._owner, sealed),
        )

    def renew(self, used: Held, name: str, sealed: Sealed | None) -> Held | None:
        namespace = self._spec.renew(used.up.address, used.namespace, name, sealed)
        return None if namespace is None else held(self._spec, used.up, namespace)

    def drop(self, used: Held) -> None:
        if used.up.alive:  # else what it had is gone with it
            self._spec.drop(used.up.address, used.namespace)

    def begin(self, name: str, work: Groundwork) -> Held:
        up = self.ready()
        begin = self._spec.begin
        if begin is None:
            return self.make(name, None)
        return self._made(up, lambda: begin(up.address, name, self._settings, self._owner, work))

    def seal(self, begun: Held) -> Sealed:
        return self._spec.seal(begun.up.address, begun.namespace)

    def empty(self) -> Sealed | None:
        # Where there is something to be done for a template, its copies are warm.
        if self._spec.begin is None:
            return None
        return self.seal(self.begin("template_empty", Groundwork()))

    def discard(self, begun: Held, sealed: Sealed | None) -> None:
        if not begun.up.alive:
            return
        if sealed is not None:
            self._spec.unseal(begun.up.address, sealed)
        else:
            self._spec.drop(begun.up.address, begun.namespace)

    def _made(self, up: Up, create: Callable[[], Namespace]) -> Held:
        try:
            namespace = create()
        except EnvkitError:
            raise
        except Exception as error:
            raise LeaseFailed(
                f"{self._spec.title} gave no database for a test: {error}",
                detail=up.server.log_tail(),
                hint=f"envkit logs {self._spec.name}",
            ) from error
        return held(self._spec, up, namespace)


class OwnSource:
    """A server for each lease."""

    shared = False  # what fills a new server is with the keeper

    def __init__(
        self,
        spec: Service,
        whole: Callable[[Address], Namespace],
        start: StartServer,
    ) -> None:
        self._spec = spec
        self._whole = whole
        self._start = start
        self._guard = threading.Lock()
        self._count = 0
        self._spare: SharedUp | None = None
        self._in_use: list[Up] = []

    def ready(self) -> Up:
        with self._guard:
            alive = next((up for up in self._in_use if up.alive), None)
            if alive is not None and self._spare is None:
                return alive
            spare = self._spare = self._spare or self._next()
        return spare.get()

    def servers(self) -> list[Up]:
        with self._guard:
            spare = self._spare.now() if self._spare else None
            in_use = list(self._in_use)
        return [up for up in [*in_use, *([spare] if spare else [])] if up.alive]

    def make(self, _: str, sealed: Sealed | None) -> Held:
        with self._guard:
            spare = self._spare or self._next()
            self._spare = None
        up = spare.get()
        with self._guard:
            self._in_use.append(up)
        namespace = self._whole(up.address)
        if sealed is not None:
            assert self._spec.fill is not None
            try:
                self._spec.fill(up.address, namespace, sealed)
            except BaseException:
                self._stop(up)
                raise
        return held(self._spec, up, namespace, own_server=True)

    def renew(self, used: Held, name: str, sealed: Sealed | None) -> Held | None:
        namespace = self._spec.renew(used.up.address, used.namespace, name, sealed)
        return None if namespace is None else held(self._spec, used.up, namespace, own_server=True)

    def drop(self, used: Held) -> None:
        self._stop(used.up)
        self._keep_one()

    def _keep_one(self) -> None:
        """A service that was started stays up, also if nobody has a part of it now."""
        with self._guard:
            if any(up.alive for up in self._in_use) or self._spare is not None:
                return
            spare = self._spare = self._next()
        spare.get()

    def begin(self, name: str, _: Groundwork) -> Held:
        return self.make(name, None)

    def seal(self, begun: Held) -> Sealed:
        sealed = self._spec.seal(begun.up.address, begun.namespace)
        self._stop(begun.up)  # all that it had is in the template
        self._keep_one()
        return sealed

    def empty(self) -> Sealed | None:
        return None

    def discard(self, begun: Held, sealed: Sealed | None) -> None:
        if sealed is None:
            self._stop(begun.up)
            self._keep_one()

    def _next(self) -> SharedUp:
        self._count += 1
        name = f"{self._spec.name}-{self._count}"
        return SharedUp(lambda: self._start(name))

    def _stop(self, up: Up) -> None:
        with self._guard:
            if up in self._in_use:
                self._in_use.remove(up)
        up.server.stop()
        up.server.log.unlink(missing_ok=True)  # one for each lease would add up


class Pool:
    """A service's servers, templates and leases.

    Args:
        source: The servers.
        settings: Of the service.
        taken: How many leases somebody has; with those that are ready they stay within
            ``max_leases``.
    """

    def __init__(
        self, source: Servers, settings: ServiceSettings, taken: Callable[[], int]
    ) -> None:
        self.source = source
        self._settings = settings
        self._taken = taken
        self._crew = Crew()
        self._guard = threading.Lock()
        self._up: Up | None = None
        self._templates = self._new_templates()
        self._stocks: dict[str, Stock] = {}
        self._nothing: Sealed | None = None

    def ready(self) -> Up:
        """A server that answers, brought up if need be; raises what went wrong with it."""
        up = self.source.ready()
        if not self.source.shared:
            return up
        with self._guard:
            before = self._up
            if before and before is not up and not before.alive:
                # All that was on it is gone with it.
                self._templates.end()
                self._templates = self._new_templates()
                for stock in self._stocks.values():
                    stock.close()
                self._stocks.clear()
                self._nothing = None
            self._up = up
        return up

    def servers(self) -> list[Up]:
        """Those that answer now."""
        return self.source.servers()

    def counts(self) -> tuple[int, int]:
        """How many namespaces are ready, and how many are yet to be made, renewed or removed."""
        counts = [stock.counts for stock in list(self._stocks.values())]
        return sum(ready for ready, _ in counts), sum(work for _, work in counts)

    def ready_one(self, key: str) -> Held | None:
        """A namespace that nobody else has, if one is there already."""
        stock = self._stocks.get(key)
        return stock.ready() if stock is not None else None

    def new_one(self, key: str) -> Held:
        """One that is made now: a copy of a template, or an empty one.

        Raises:
            TemplateAbsent: There is no such template.
        """
        stock = self._stock(key)
        made = stock.new()
        # Whoever comes again in the life of one keeper comes a third time.
        if stock.taken == 2 and self._settings.pool:
            stock.warm(1)
        return made

    def single(self, name: str, key: str) -> Held:
        """Likewise, made now and under a name."""
        self.ready()
        sealed = self._templates.sealed(key) if key else None
        made = self.source.make(name, sealed)
        return structs.replace(made, give_back=lambda: self.source.drop(made))

    def warm(self, key: str, count: int) -> None:
        """Have copies ready, at most as many as configured.

        Raises:
            TemplateAbsent: There is no such template.
        """
        if wanted := min(count, self._settings.pool):
            stock = self._stock(key)
            if not key and stock.sealed is None:
                stock.sealed = self._empty()
            stock.warm(wanted)

    def prepare(
        self, key: str, name: str, run: str, work: Groundwork, owner: Hashable
    ) -> Build | None:
        """See `Templates.prepare`."""
        while True:
            self.ready()
            templates = self._templates
            try:
                return templates.prepare(key, name, run, work, owner)
            except TemplateAbsent:
                if not templates.ended:  # by the end of its server, while we waited
                    raise

    def commit(self, key: str, run: str, owner: Hashable) -> None:
        """See `Templates.commit`."""
        self._templates.commit(key, run, owner)

    def give_up(self, key: str, run: str, owner: Hashable, error: EnvkitError) -> None:
        """See `Templates.give_up`."""
        self._templates.give_up(key, run, owner, error)

    def end_of(self, owner: Hashable) -> None:
        """See `Templates.end_of`."""
        self._templates.end_of(owner)

    def end(self) -> None:
        """Begin nothing more in the background."""
        self._crew.end()

    def _stock(self, key: str) -> Stock:
        self.ready()
        with self._guard:
            stock = self._stocks.get(key)
        if stock is not None:
            return stock
        sealed = self._templates.sealed(key) if key else None
        with self._guard:
            return self._stocks.setdefault(key, Stock(self.source, sealed, self._crew, self._room))

    def _empty(self) -> Sealed | None:
        """A template of nothing, where copies of one are better than what the server has."""
        with self._guard:
            if self._nothing is None:
                self._nothing = self.source.empty()
            return self._nothing

    def _room(self) -> int:
        idle = sum(stock.idle for stock in list(self._stocks.values()))
        return self._settings.max_leases - self._taken() - idle

    def _new_templates(self) -> Templates:
        return Templates(self.source.begin, self.source.seal, self._discard)

    def _discard(self, begun: Held, sealed: Sealed | None) -> None:
        if sealed is not None:
            with self._guard:
                old = [key for key, stock in self._stocks.items() if stock.sealed is sealed]
                stocks = [self._stocks.pop(key) for key in old]
            for stock in stocks:
                stock.close()
        self.source.discard(begun, sealed)
