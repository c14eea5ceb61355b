"""Handing out isolated namespaces: what a lease is made of.

Two ways, chosen by the service: a namespace in a server that all share (`SharedServer`), or a
server for each lease (`OwnServers`). Both bring servers up on demand, once, however many ask.

Templates and clones kept warm belong into `SharedServer.take`: today it creates an empty
namespace at the moment of the call; `OwnServers` already keeps one server ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from msgspec import Struct

from envkit.backends.server import Server
from envkit.errors import EnvkitError, LeaseFailed
from envkit.model import Endpoint, ServiceSettings
from envkit.owner import Owner
from envkit.plan import Choice
from envkit.services.spec import Address, Greeting, Namespace, Service

__all__ = ["Held", "OwnServers", "Pool", "SharedServer", "SharedUp", "Up"]


class Up(Struct, frozen=True, kw_only=True):
    """A server that answers."""

    server: Server
    choice: Choice
    address: Address
    greeting: Greeting
    started_ms: float

    @property
    def alive(self) -> bool:
        return not self.server.ended.is_set()

    @property
    def product(self) -> str:
        """What the server calls itself, with what envkit knows beyond that ("(chdb)")."""
        known = self.server.product
        return known if known.startswith(self.greeting.product) else self.greeting.product

    def endpoint(self, spec: Service, namespace: Namespace) -> Endpoint:
        return Endpoint(
            service=spec.name,
            backend=self.choice.backend,
            product=self.product,
            version=self.greeting.version,
            host=self.address.host,
            port=self.address.port,
            user=namespace.user,
            password=namespace.password,
            database=namespace.database,
            url=spec.url(self.address, namespace),
            started_ms=self.started_ms,
        )


class Held(Struct, frozen=True, kw_only=True):
    """One service's part of a lease.

    Attributes:
        own_server: Whether nobody else has a part of that server.
    """

    endpoint: Endpoint
    up: Up
    give_back: Callable[[], None]
    own_server: bool = False


class Pool(Protocol):
    """What the keeper knows of a service's servers."""

    def ready(self) -> Up:
        """A server that answers, brought up if need be; raises what went wrong with it."""

    def take(self, name: str) -> Held:
        """A namespace of this name that nobody else has."""

    def servers(self) -> list[Up]:
        """Those that answer now."""


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


class SharedServer:
    """One server; a lease is a namespace in it."""

    def __init__(
        self, spec: Service, settings: ServiceSettings, start: StartServer, owner: Owner
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._owner = owner.text
        self._server = SharedUp(lambda: start(spec.name))

    def ready(self) -> Up:
        return self._server.get()

    def take(self, name: str) -> Held:
        """Create a namespace.

        Raises:
            LeaseFailed: The server refused; its own words are in the error.
        """
        up = self.ready()
        try:
            namespace = self._spec.create(up.address, name, self._settings, self._owner)
        except EnvkitError:
            raise
        except Exception as error:
            raise LeaseFailed(
                f"{self._spec.title} gave no database for a test: {error}",
                detail=up.server.log_tail(),
                hint=f"envkit logs {self._spec.name}",
            ) from error

        def give_back() -> None:
            if up.alive:
                self._spec.drop(up.address, namespace)

        return Held(endpoint=up.endpoint(self._spec, namespace), up=up, give_back=give_back)

    def servers(self) -> list[Up]:
        up = self._server.now()
        return [up] if up else []


class OwnServers:
    """A server for each lease, and one more that is ready for the next."""

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
        self._spare = self._new_spare()
        self._in_use: list[Up] = []

    def ready(self) -> Up:
        with self._guard:
            spare = self._spare
        return spare.get()

    def take(self, _name: str) -> Held:
        with self._guard:
            spare, self._spare = self._spare, self._new_spare()
            following = self._spare
        up = spare.get()
        with self._guard:
            self._in_use.append(up)
        threading.Thread(target=self._warm, args=(following,), daemon=True).start()
        namespace = self._whole(up.address)

        def give_back() -> None:
            with self._guard:
                self._in_use.remove(up)
            up.server.stop()
            up.server.log.unlink(missing_ok=True)  # one for each lease would add up

        endpoint = up.endpoint(self._spec, namespace)
        return Held(endpoint=endpoint, up=up, give_back=give_back, own_server=True)

    def servers(self) -> list[Up]:
        with self._guard:
            spare, in_use = self._spare.now(), list(self._in_use)
        return [up for up in [*in_use, *([spare] if spare else [])] if up.alive]

    def _new_spare(self) -> SharedUp:
        self._count += 1
        name = f"{self._spec.name}-{self._count}"
        return SharedUp(lambda: self._start(name))

    @staticmethod
    def _warm(spare: SharedUp) -> None:
        # Not in the way of the test that just got its lease: its first queries come now.
        time.sleep(_WARM_DELAY_S)
        try:
            spare.get()
        except Exception:  # whoever needs it will try again and be told
            return


_WARM_DELAY_S = 0.02
