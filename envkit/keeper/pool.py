"""Where a service's leases come from: its servers, the templates on them, what is kept ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from msgspec import structs

from envkit.errors import EnvkitError, TemplateAbsent
from envkit.keeper.held import Held, Up
from envkit.keeper.sources import Servers
from envkit.keeper.stock import Crew, Stock
from envkit.keeper.templates import Build, Templates
from envkit.model import ServiceSettings
from envkit.services.spec import Groundwork, Sealed

__all__ = ["Pool"]


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
        # Whoever comes again in the life of one keeper comes a third time; but on other people's
        # servers nothing is made that nobody has asked for.
        if stock.taken == 2 and self._settings.pool and made.endpoint.backend != "attach":
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
