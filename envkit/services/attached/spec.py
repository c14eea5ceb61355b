"""What a service has to know for servers that are not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from envkit.dsn import Dsn
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.spec import Address, Greeting, Groundwork, Namespace, Sealed
from envkit.wait import Trouble

__all__ = ["Attachment", "Presence", "Trace"]


class Presence(Protocol):
    """The proof, on the server itself, that a keeper lives."""

    def close(self) -> None:
        """Withdraw it; raises nothing."""


class Trace(Struct, frozen=True, kw_only=True):
    """What one run has on a server.

    Attributes:
        run: `Owner.run`.
        owner: As it is written on what was found, if it is.
        alive: Whether the server itself shows that the run lives; None if it cannot say.
        used: Whether somebody is connected to it, as far as the server says so.
        names: Of its namespaces, as people would look for them.
    """

    run: str
    owner: Owner | None
    alive: bool | None
    used: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_dead(self) -> bool | None:
        """True or False where it can be proved; None where it cannot."""
        if self.owner is not None and self.owner.is_near:
            return self.owner.is_dead  # what can be seen from here needs no word of the server's
        if self.alive:
            return False
        if self.used:
            return None
        # Another machine's, or nobody knows whose: the server's word has to do.
        return True if self.alive is False else None


class Attachment(Struct, frozen=True, kw_only=True):
    """How to use one service's servers without harming them.

    Attributes:
        address: A URL to the address of whoever uses it; the second is `Owner.run`.
        trouble: What an exception of ``Service.greet`` means.
        examine: Raise `AttachUnsuitable` if leases cannot be made there.
        announce: Show that a run lives, until `Presence.close`; takes `Owner.text`.
        create, drop, begin, seal, unseal: As those of ``Service``.
        traces: What runs have there, this one included.
        clear: Remove all that a run has there, whoever uses it; their names.
    """

    address: Callable[[Dsn, str], Address]
    trouble: Callable[[Address, Exception], Trouble]
    examine: Callable[[Address, Greeting, ServiceSettings], None]
    announce: Callable[[Address, str], Presence]
    create: Callable[[Address, str, ServiceSettings, str, Sealed | None], Namespace]
    drop: Callable[[Address, Namespace], None]
    seal: Callable[[Address, Namespace], Sealed]
    unseal: Callable[[Address, Sealed], None]
    traces: Callable[[Address], list[Trace]]
    clear: Callable[[Address, str], list[str]]
    begin: Callable[[Address, str, ServiceSettings, str, Groundwork], Namespace] | None = None
