"""Where namespaces are made: a server that all share, or a server for each lease.

Both bring servers up on demand, once, however many ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from envkit.errors import EnvkitError, LeaseFailed
from envkit.keeper.held import Held, Up, held
from envkit.keeper.stock import Source
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.spec import Address, Groundwork, Namespace, Sealed, Service

__all__ = ["OwnSource", "Servers", "SharedSource", "SharedUp", "StartServer"]

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
