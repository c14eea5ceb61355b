"""A server that answers, and one service's part of a lease on it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from envkit.backends.server import Server
from envkit.model import Endpoint
from envkit.plan import Choice
from envkit.services.spec import Address, Greeting, Namespace, Service

__all__ = ["Held", "Up", "held"]


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
        give_back: For whoever had it: it is made as new, or removed, while nobody waits for that.
    """

    endpoint: Endpoint
    up: Up
    namespace: Namespace
    own_server: bool = False
    give_back: Callable[[], None] = lambda: None


def held(spec: Service, up: Up, namespace: Namespace, *, own_server: bool = False) -> Held:
    """A namespace on a server, as leases have it."""
    return Held(
        endpoint=up.endpoint(spec, namespace), up=up, namespace=namespace, own_server=own_server
    )
