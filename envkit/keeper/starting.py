"""Bringing one server up: plan, backend, readiness, and the words for what went wrong."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from envkit.backends.server import Server
from envkit.backends.site import Site
from envkit.engine.address import engine_address
from envkit.errors import EnvkitError
from envkit.keeper.held import Up
from envkit.keeper.target import planned
from envkit.keeper.variants import Variant
from envkit.model import Settings
from envkit.plan import Choice
from envkit.services.spec import Address, Greeting, Service, new_password
from envkit.wait import NotAnswering, until_answer

__all__ = ["Starter"]


def _load_docker() -> None:
    from envkit.backends.docker import load

    load()  # takes long, of which planning hides some


class Tell(Protocol):
    """Hears of every change of a service's state."""

    def __call__(self, variant: Variant, **event: Any) -> None: ...


class Starter:
    """Plans, and starts servers for the pools.

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
        self._choices: dict[Variant, Choice] = {}
        self._shown: set[Variant] = set()
        self._swept = False
        if "docker" in settings.backend.values():
            self._beside(_load_docker)
        self.failed = False

    def choice(self, variant: Variant) -> Choice | None:
        """The plan for a service, once it was made."""
        with self._guard:
            return self._choices.get(variant)

    def planned(self, spec: Service, variant: Variant) -> Choice:
        """The plan for a service, made now if it was not yet.

        Raises:
            UnavailableError: Nothing here can serve it.
        """
        choice = self.choice(variant)
        if choice is not None:
            return choice
        self._tell(variant, state="starting")
        try:
            choice = planned(spec, variant.settings, self._site.project)
        except EnvkitError as error:
            self._tell(variant, state="failed", slug=error.slug)
            raise
        with self._guard:
            return self._choices.setdefault(variant, choice)

    def up(self, spec: Service, variant: Variant, name: str) -> Up:
        """Bring one server up, and tell of it unless the service has been shown to be ready.

        Args:
            spec: The service.
            variant: As it is wanted.
            name: Of this server, among the keeper's.

        Raises:
            UnavailableError: Nothing here can serve it.
            StartError: It could not be started.
            Cancelled: The keeper is ending.
        """
        first = variant not in self._shown
        try:
            if first:
                self._tell(variant, state="starting")
            up = self._bring_up(spec, variant, name)
        except Exception as error:
            if first:
                slug = getattr(error, "slug", EnvkitError.slug)
                self._tell(variant, state="failed", slug=slug)
            raise
        if up.choice.backend == "docker":
            self._remove_leftovers()
        if first:
            self._shown.add(variant)
            self._tell(
                variant,
                state="ready",
                ms=up.started_ms,
                product=up.product,
                version=up.greeting.version,
                backend=up.choice.backend,
            )
        return up

    def _remove_leftovers(self) -> None:
        """Of keepers that died together with their watchdog: once, and beside the work."""
        with self._guard:
            if self._swept:
                return
            self._swept = True

        def errand() -> None:
            with contextlib.suppress(EnvkitError):  # whoever starts next will try again
                prune_containers(engine_address(self._settings.docker))

        from envkit.keeper.prune_containers import prune_containers

        self._site.later(errand)

    def _bring_up(self, spec: Service, variant: Variant, name: str) -> Up:
        begun = time.monotonic()
        choice = self.planned(spec, variant)
        if choice.target is not None:
            from envkit.keeper.attached import attach

            return attach(
                spec,
                name,
                choice,
                variant.settings.of(spec.name),
                self._site,
                limit=self._settings.start_timeout,
                cancelled=self._cancelled,
            )
        while True:
            password = new_password()
            server = self._prepared(spec, variant, name, choice, password)
            if choice.image is not None and not choice.image.here:
                self._tell(variant, state="starting")  # fetched by now
            try:
                address, greeting = self._answering(spec, server, password)
            except NotAnswering as error:
                failure = server.failure(spec.title, error)
                server.stop()
                if server.wants_fresh_start():
                    continue  # perhaps what it was made from was damaged: once more, from nothing
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

    def _prepared(
        self, spec: Service, variant: Variant, name: str, choice: Choice, password: str
    ) -> Server:
        # Each backend is imported when it is the one: testcontainers takes 160 ms.
        table = variant.settings.of(spec.name)
        if choice.program is not None:
            from envkit.backends import embedded

            return embedded.prepare(
                name=name,
                service=spec.name,
                found=choice.program,
                recipe=spec.process(table, choice.program),
                user=spec.admin,
                password=password,
                site=self._site,
            )
        from envkit.backends import docker

        assert choice.image is not None
        self._beside(spec.warm)  # the engine will take its time
        return docker.prepare(
            name=name,
            service=spec.name,
            image=choice.image,
            recipe=partial(spec.container, table),
            user=spec.admin,
            password=password,
            settings=table,
            docker=self._settings.docker,
            address=engine_address(self._settings.docker),
            site=self._site,
            cancelled=self._cancelled,
            report=partial(self._pulling, variant, choice.image.reference),
        )

    @staticmethod
    def _beside(work: Callable[[], None]) -> None:
        def quietly() -> None:
            with contextlib.suppress(Exception):  # whoever needs it will run into it again
                work()

        with contextlib.suppress(RuntimeError):  # no thread to be had: it was for speed only
            threading.Thread(target=quietly, daemon=True).start()

    def _pulling(self, variant: Variant, image: str, layers: Any) -> None:
        self._tell(variant, state="pulling", image=image, layers=layers)

    def _answering(self, spec: Service, server: Server, password: str) -> tuple[Address, Greeting]:
        while True:
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
                if server.wants_another_try():
                    continue
                raise
            return address, greeting
