"""Leases on servers of somebody else: what is made there carries this keeper's prefix, and goes."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from functools import partial

from envkit.backends.attach import AttachedServer
from envkit.backends.site import Site
from envkit.dsn import read
from envkit.errors import AttachUnsuitable, EnvkitError, LeaseFailed
from envkit.keeper.held import Held, Up, held
from envkit.keeper.sources import SharedUp
from envkit.model import ServiceName, ServiceSettings
from envkit.plan import Choice
from envkit.services import attached
from envkit.services.attached.spec import Attachment, Presence
from envkit.services.spec import Address, Greeting, Groundwork, Namespace, Sealed, Service
from envkit.versions import is_of
from envkit.wait import Cancelled, NotAnswering, until_answer

__all__ = ["AttachedSource", "attach", "refuse_other_version", "remove_dead"]

_LAST_LEASES_S = 3.0


def attach(
    spec: Service,
    name: str,
    choice: Choice,
    settings: ServiceSettings,
    site: Site,
    *,
    limit: float,
    cancelled: threading.Event,
) -> Up:
    """Reach a server that runs already, and see whether leases can be made there.

    Args:
        spec: The service.
        name: Of this server, among the keeper's.
        choice: With the target.
        settings: Of the service.
        site: The keeper's.
        limit: Seconds that the server has to answer.
        cancelled: Set when nobody waits any more.

    Raises:
        AttachDenied: The server does not let this user in.
        AttachFailed: There is none, or it does not become ready.
        AttachUnsuitable: It is too old, of another version, or gives too few rights.
    """
    assert choice.target is not None
    begun = time.monotonic()
    kind = attached.load(spec.name)
    target = read(spec.name, choice.target.url, choice.target.origin)
    address = kind.address(target, site.owner.run)
    server = AttachedServer(
        name=name,
        title=spec.title,
        host=target.host,
        port=target.port,
        why=choice.why,
        password=address.password,
        site=site,
    )
    server.launch()
    try:
        greeting = until_answer(
            server.asking(partial(spec.greet, address), partial(kind.trouble, address)),
            ended=server.ended,
            cancelled=cancelled,
            limit=limit,
        )
    except NotAnswering as error:
        raise server.failure(spec.title, error) from None
    refuse_other_version(spec, choice, greeting.version, settings)
    return Up(
        server=server,
        choice=choice,
        address=address,
        greeting=greeting,
        started_ms=(time.monotonic() - begun) * 1000,
    )


def refuse_other_version(
    spec: Service, choice: Choice, version: str, settings: ServiceSettings
) -> None:
    """Make sure that a server is what was asked for.

    Raises:
        AttachUnsuitable: It is of another version.
    """
    if settings.version and not is_of(version, settings.version):
        raise AttachUnsuitable(
            f"{spec.title}, {choice.why}, is of version {version}, "
            f"and {settings.version} was asked for",
            hint=f'set version = "{version.partition(".")[0]}" in '
            f"[tool.envkit.{spec.name}], or choose another backend",
        )


class AttachedSource:
    """A server that is not ours; a lease is a namespace in it.

    Args:
        spec: The service.
        settings: Its own.
        start: Reaches the server.
        site: The keeper's.
        announce: Tells the watchdog that there is something to clear on this server from now on.
    """

    shared = True

    def __init__(
        self,
        spec: Service,
        settings: ServiceSettings,
        start: Callable[[], Up],
        site: Site,
        announce: Callable[[ServiceName, str], None],
    ) -> None:
        self._spec = spec
        self._kind: Attachment = attached.load(spec.name)
        self._settings = settings
        self._start = start
        self._site = site
        self._announce = announce
        self._server = SharedUp(self._entered)
        self._presence: Presence | None = None
        self._busy = threading.Condition()
        self._making = 0
        self._left = False

    def ready(self) -> Up:
        return self._server.get()

    def make(self, name: str, sealed: Sealed | None) -> Held:
        """Create a namespace.

        Raises:
            LeaseFailed: The server refused; its own words are in the error.
            Cancelled: The keeper is ending.
        """
        owner = self._site.owner.text
        return self._made(
            name,
            lambda up, full: self._kind.create(up.address, full, self._settings, owner, sealed),
        )

    def renew(self, _: Held, __: str, ___: Sealed | None) -> Held | None:
        return None  # other people's servers are not asked to prove anything

    def drop(self, used: Held) -> None:
        if used.up.alive:
            self._kind.drop(used.up.address, used.namespace)

    def begin(self, name: str, work: Groundwork) -> Held:
        begin = self._kind.begin
        if begin is None:
            return self.make(name, None)
        owner = self._site.owner.text
        return self._made(
            name, lambda up, full: begin(up.address, full, self._settings, owner, work)
        )

    def seal(self, begun: Held) -> Sealed:
        return self._kind.seal(begun.up.address, begun.namespace)

    def empty(self) -> Sealed | None:
        return None

    def discard(self, begun: Held, sealed: Sealed | None) -> None:
        if sealed is not None:
            self._kind.unseal(begun.up.address, sealed)
        else:
            self._kind.drop(begun.up.address, begun.namespace)

    def _made(self, name: str, create: Callable[[Up, str], Namespace]) -> Held:
        up = self.ready()
        with self._busy:
            if self._left:
                raise Cancelled
            self._making += 1
        try:
            namespace = create(up, up.address.prefix + name)
        except EnvkitError:
            raise
        except Exception as error:
            raise LeaseFailed(
                f"{self._spec.title}, {up.choice.why}, gave no database for a test",
                detail=str(error),
                hint="is it still running, and may its user create databases?",
            ) from error
        finally:
            with self._busy:
                self._making -= 1
                self._busy.notify_all()
        return held(self._spec, up, namespace)

    def servers(self) -> list[Up]:
        up = self._server.now()
        return [up] if up else []

    def leave(self) -> None:
        """Remove all that this keeper has on the server, and take no more.

        Raises:
            Exception: Whatever the driver has to say; something may be left then.
        """
        with self._busy:
            self._left = True
            self._busy.wait_for(lambda: not self._making, _LAST_LEASES_S)
        up = self._server.now()
        if up is None:
            return
        try:
            self._kind.clear(up.address, self._site.owner.run)
        finally:
            if self._presence is not None:
                self._presence.close()

    def _entered(self) -> Up:
        up = self._start()
        target = up.choice.target
        assert target is not None
        # First: nothing must be there that the watchdog does not know of.
        self._announce(self._spec.name, target.url)
        self._presence = self._settled(up.address, up.greeting)
        self._site.later(partial(self._tidy, up.address))
        return up

    def _settled(self, address: Address, greeting: Greeting) -> Presence:
        try:
            self._kind.examine(address, greeting, self._settings)
            return self._kind.announce(address, self._site.owner.text)
        except EnvkitError:
            raise
        except Exception as error:
            raise AttachUnsuitable(
                f"{self._spec.title} at {address.url_host} lets envkit in, but not look around",
                detail=str(error),
                hint="see what the server says above",
            ) from error

    def _tidy(self, address: Address) -> None:
        """What dead runs have left is removed by the next one."""
        try:
            remove_dead(self._kind, address)
        except Exception:
            traceback.print_exc()  # into the keeper's log: the next one will try again


def remove_dead(
    kind: Attachment, address: Address, *, older_than: float | None = None
) -> tuple[list[str], list[str]]:
    """Remove what is provably dead on a server.

    Args:
        kind: Of the service.
        address: Of the server.
        older_than: Seconds; also remove what is of that age and may or may not be dead.

    Returns:
        Names of what was removed, and of what was left alone because nothing proves it dead.
    """
    removed: list[str] = []
    left: list[str] = []
    for trace in kind.traces(address):
        if trace.run == address.run:
            continue
        dead = trace.is_dead
        age = time.time() - trace.owner.born if trace.owner else None
        if dead is None and older_than is not None and age is not None:
            dead = True if age > older_than else None
        if dead:
            try:
                removed += kind.clear(address, trace.run)
            except Exception as error:  # what is left of one run does not keep the others here
                left += [f"{name} (cannot be removed: {error})" for name in trace.names]
        elif dead is None:
            how_old = f"{age / 3600:.1f} h old" if age is not None else "of unknown age"
            left += [f"{name} ({how_old}, perhaps another machine's)" for name in trace.names]
    return removed, left
