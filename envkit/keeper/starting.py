"""Bringing one server up: plan, backend, readiness, and the words for what went wrong."""

from __future__ import annotations

import re
import threading
import time
from functools import partial
from typing import Any, Protocol

from envkit.backends import embedded
from envkit.backends.site import Site
from envkit.errors import DiskFull, EnvkitError, KeeperStartFailed
from envkit.host import find_programs
from envkit.keeper.pool import Up
from envkit.model import ServiceName, Settings
from envkit.plan import Choice, choose
from envkit.services.spec import Address, Greeting, Service, new_password
from envkit.wait import NotAnswering, until_answer

__all__ = ["Starter"]

_PORT_TRIES = 8


class Tell(Protocol):
    """Hears of every change of a service's state."""

    def __call__(self, service: ServiceName, **event: Any) -> None: ...


class Starter:
    """Starts servers for the pools.

    Attributes:
        failed: Whether any server could not be started; its log is worth keeping then.
    """

    def __init__(
        self, settings: Settings, site: Site, cancelled: threading.Event, tell: Tell
    ) -> None:
        self._settings = settings
        self._site = site
        self._cancelled = cancelled
        self._tell = tell
        self._guard = threading.Lock()
        self._choices: dict[ServiceName, Choice] = {}
        self._shown: set[ServiceName] = set()
        self.failed = False

    def choice(self, service: ServiceName) -> Choice | None:
        """The plan for a service, once it was made."""
        with self._guard:
            return self._choices.get(service)

    def up(self, spec: Service, name: str) -> Up:
        """Bring one server up, and tell of it unless the service has been shown to be ready.

        Args:
            spec: The service.
            name: Of this server, among the keeper's.

        Raises:
            UnavailableError: Nothing here can serve it.
            StartError: It could not be started.
            Cancelled: The keeper is ending.
        """
        first = spec.name not in self._shown
        try:
            if first:
                self._tell(spec.name, state="starting")
            up = self._bring_up(spec, name)
        except EnvkitError as error:
            if first:
                self._tell(spec.name, state="failed", slug=error.slug)
            raise
        if first:
            self._shown.add(spec.name)
            self._tell(
                spec.name,
                state="ready",
                ms=up.started_ms,
                product=up.product,
                version=up.greeting.version,
                backend=up.choice.backend,
            )
        return up

    def _planned(self, spec: Service) -> Choice:
        choice = self.choice(spec.name)
        if choice is None:
            asked = bool(self._settings.of(spec.name).version)
            found = find_programs(spec.programs, every=asked)  # a version may be the last one's
            choice = choose(spec.name, self._settings, found)
            with self._guard:
                self._choices[spec.name] = choice
        return choice

    def _bring_up(self, spec: Service, name: str) -> Up:
        begun = time.monotonic()
        choice = self._planned(spec)
        recipe = spec.process(self._settings.of(spec.name), choice.program)
        while True:
            password = new_password()
            server = embedded.prepare(
                name=name,
                found=choice.program,
                recipe=recipe,
                user=spec.admin,
                password=password,
                site=self._site,
            )
            try:
                address, greeting = self._answering(spec, server, password)
            except NotAnswering as error:
                failure = _failure(spec, server, error)
                server.stop()
                if error.ended and server.forget_cache():
                    continue  # perhaps the copy was damaged: once more, from nothing
                self.failed = True
                raise failure from None
            except BaseException:
                server.stop()
                raise
            return Up(
                server=server,
                choice=choice,
                address=address,
                greeting=greeting,
                started_ms=(time.monotonic() - begun) * 1000,
            )

    def _answering(
        self, spec: Service, server: embedded.EmbeddedServer, password: str
    ) -> tuple[Address, Greeting]:
        tries = 0
        while True:
            tries += 1
            server.launch()
            address = Address(
                host=server.host,
                port=server.port,
                user=spec.admin,
                password=password,
                socket_dir=server.socket_dir,
            )
            try:
                greeting = until_answer(
                    partial(spec.greet, address),
                    ended=server.ended,
                    cancelled=self._cancelled,
                    limit=self._settings.start_timeout,
                )
            except NotAnswering:
                if tries < _PORT_TRIES and server.lost_its_port():
                    continue
                raise
            return address, greeting


def _failure(spec: Service, server: embedded.EmbeddedServer, error: NotAnswering) -> EnvkitError:
    tail = server.log_tail()
    if re.search("No space left on device|Disk quota exceeded", tail):
        return DiskFull(
            f"{spec.title} ran out of room in {server.log.parent.parent} while starting",
            detail=tail,
            hint="free some room, or set TMPDIR (or data_dir in [tool.envkit]) elsewhere",
        )
    if error.ended:
        code = server.exit_code
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return KeeperStartFailed(
            f"{spec.title} ended with {how} while starting",
            detail=tail or "(it printed nothing)",
            hint=f"see what it says above; [tool.envkit.{spec.name}] settings are passed to it",
        )
    return KeeperStartFailed(
        f"{spec.title} did not answer within {error.limit:g} s; the last try: {error.last}",
        detail=tail,
        hint="start_timeout in [tool.envkit] gives it more time",
    )
