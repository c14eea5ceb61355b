"""One server in one container."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from envkit.backends.docker.deaths import why_ended
from envkit.backends.docker.labels import labels_of, remove
from envkit.backends.docker.pull import Layers, pull
from envkit.backends.docker.reach import Reach, way_to
from envkit.backends.placeholders import fill
from envkit.backends.server import tail_of
from envkit.backends.site import Site
from envkit.engine.address import EngineAddress
from envkit.engine.client import new_client
from envkit.engine.look import answers, look
from envkit.engine.words import in_our_words
from envkit.errors import (
    DockerDown,
    EngineLost,
    EngineRefused,
    EnvkitError,
    KeeperStartFailed,
    StartError,
    UsageError,
)
from envkit.model import DockerSettings, ServiceSettings
from envkit.recipes import ContainerRecipe, FoundImage
from envkit.wait import NotAnswering

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

__all__ = ["ContainerServer", "load", "prepare"]

_numbers = itertools.count(1)
# What fails to be imported in one thread is half there for another.
_loading = threading.Lock()
_asking = threading.Lock()
_ways: dict[EngineAddress, tuple[Reach, str]] = {}
_T = TypeVar("_T")
_STOP_LIMIT_S = 10
_CALL_LIMIT_S = 10  # for what an engine does in milliseconds
_WORK_LIMIT_S = 120  # for what takes long on a busy machine; see `_patiently`
_LOOK_AFTER_S = 1.0
_LOST_LIMIT_S = 1.0
_TRIES = 5
# The port that the engine picked was taken meanwhile.
_RACES = r"port is already allocated|address already in use|ports are not available"
# Ports are known at once, as far as seen; this only keeps a start from waiting for ever.
_PUBLISH_LIMIT_S = 5.0
_PUBLISH_PAUSE_S = 0.01


class ContainerServer:
    """A container and what it takes to make it.

    Attributes:
        ended: Set as soon as the server in it, or the engine, is gone.
    """

    pid = 0
    socket_dir = ""

    def __init__(
        self,
        *,
        name: str,
        service: str,
        image: FoundImage,
        recipe: ContainerRecipe,
        values: dict[str, str],
        settings: ServiceSettings,
        docker: DockerSettings,
        address: EngineAddress,
        site: Site,
    ) -> None:
        self.log = site.logs / f"{name}.log"
        self.ended = threading.Event()
        self.host = ""
        self.port = 0
        self.container = ""
        self.product = image.product
        self._name = f"envkit-{site.key}-{site.owner.run}-{name}-{next(_numbers)}"
        self._service = service
        self._image = image
        self._recipe = recipe
        self._values = values
        self._settings = settings
        self._docker = docker
        self._address = address
        self._site = site
        self._made: DockerContainer | None = None
        self._engine_lost = False

    def launch(self) -> None:
        """Create the container, put its files into it, and start it.

        Raises:
            DockerDown: The engine went away.
            PortsExhausted, DockerDiskFull, ImagePlatform, EngineRefused: As the engine says.
        """
        try:
            wrapped = self._made_in_spite_of_races()
        except EnvkitError as error:
            self._engine_lost = isinstance(error, (DockerDown, EngineLost))
            self.stop()
            if isinstance(error, DockerDown):
                raise _engine_lost(self._address.url, error.detail) from None
            raise
        except BaseException:
            self.stop()
            raise
        threading.Thread(target=self._follow, args=(wrapped,), daemon=True).start()

    def _made_in_spite_of_races(self) -> Any:
        tries = 0
        while True:
            tries += 1
            try:
                with in_our_words(self._address.url, self._image.reference):
                    return self._patiently(self._make)
            except EngineRefused as error:
                if tries == _TRIES or not re.search(_RACES, error.detail):
                    raise
                self._remove()

    def _make(self) -> Any:
        made = self._made = self._described()
        # No earlier: whoever cleans up waits for what may be about to exist.
        self._site.containers.making(self._name, self._address)
        made.start()
        self._site.containers.made(self._name)
        wrapped = made.get_wrapped_container()
        self.container = wrapped.short_id
        self._find(wrapped)
        return wrapped

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Wait for the engine as long as it takes, while it is alive.

        A busy machine may need long for a container; an engine that hangs never gets there.

        Raises:
            EngineLost: It hangs.
        """
        outcome: Future[_T] = Future()

        def whole() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)
            if self.ended.is_set():  # given up meanwhile: nobody wants it any more
                self.stop()

        threading.Thread(target=whole, daemon=True).start()
        while True:
            try:
                return outcome.result(_LOOK_AFTER_S)
            except FutureTimeout:
                if outcome.done():  # the work's own, or just in time
                    return outcome.result()
                if not answers(self._address):
                    raise _engine_hangs(self._address.url) from None

    def wants_another_try(self) -> bool:
        return False

    def wants_fresh_start(self) -> bool:
        return False

    def log_tail(self) -> str:
        return tail_of(self.log)

    def failure(self, title: str, error: NotAnswering) -> EnvkitError:
        if self._engine_lost:
            return _engine_lost(self._address.url, self.log_tail())
        name = self._image.reference
        if not error.ended:
            return KeeperStartFailed(
                f"{title} ({name}) did not answer within {error.limit:g} s at "
                f"{self.host}:{self.port}; the last try: {error.last}",
                detail=self.log_tail(),
                hint="start_timeout in [tool.envkit] gives it more time",
            )
        return why_ended(
            self._state(),
            title=title,
            image=name,
            service=self._service,
            memory=self._settings.memory,
            log=self.log_tail(),
        )

    def stop(self) -> None:
        """Remove the container with its volumes; the watchdog's list keeps it if that fails."""
        self.ended.set()
        if self._engine_lost and not answers(self._address, _LOST_LIMIT_S):
            return
        self._remove()

    def _remove(self) -> None:
        if self._made is None:
            self._site.containers.gone(self._name)
            return
        client = self._made.get_docker_client().client
        client.api.timeout = _STOP_LIMIT_S
        with contextlib.suppress(EnvkitError), in_our_words(self._address.url):
            remove(client, self._name)
            self._site.containers.gone(self._name)

    def _described(self) -> DockerContainer:
        load()
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        testcontainers_config.ryuk_disabled = self._docker.reaper != "ryuk"
        # Explicit, or each client would look for the network this process may be in: see `way_to`.
        os.environ.update(self._address.environment())
        recipe, (reach, version) = self._recipe, _way(self._address)
        try:
            made = DockerContainer(
                self._image.reference,
                docker_client_kw={
                    "environment": self._address.environment(),
                    "timeout": _WORK_LIMIT_S,
                    "version": version,  # known already; each client would ask for it
                },
            )
        except ValueError as error:
            raise _refuses_environment(error) from None
        made.image = self._image.reference  # without the prefix, which the name has already
        made.with_name(self._name)
        if recipe.command:
            made.with_command(list(recipe.command))
        for name, value in recipe.environment.items():
            made.with_env(name, fill(value, self._values))
        for path, content in recipe.files.items():
            # Readable for all, because images drop their rights before they read: in a container
            # there is nobody else.
            made.with_copy_into_container(fill(content, self._values).encode(), path, 0o644)
        for directory in dict.fromkeys((*self._image.volumes, *recipe.data)):
            made.with_tmpfs_mount(directory)
        further: dict[str, Any] = {
            "healthcheck": {"test": ["NONE"]},  # we ask it ourselves
            # A server talks to nobody outside, and a proxy's address may have a password in it.
            "use_config_proxy": False,
        }
        if self._settings.memory:
            # As much again of swap would be the default, and a killed server what was asked for.
            further |= {"mem_limit": self._settings.memory, "memswap_limit": self._settings.memory}
        if shm_size := self._settings.shm_size or recipe.shm_size:
            further["shm_size"] = shm_size
        if reach.network:
            further["network"] = reach.network
        if reach.host:
            ports: dict[str, Any] = made.ports  # the engine picks the port: None
            ports[f"{recipe.port}/tcp"] = (reach.publish_on, None)
        further["labels"] = labels_of(
            self._site.owner, service=self._service, key=self._site.key, project=self._site.project
        )
        made.with_kwargs(**further)
        return made

    def _find(self, container: Any) -> None:
        """Host and port as the tests reach them; asked for at the start and never again."""
        reach, _ = _way(self._address)
        limit = time.monotonic() + _PUBLISH_LIMIT_S
        while True:
            container.reload()
            network: dict[str, Any] = container.attrs["NetworkSettings"]
            if not reach.host:
                networks: dict[str, Any] = network["Networks"]
                found: dict[str, Any] = networks.get(reach.network) or next(
                    iter(networks.values()), {}
                )
                self.host, self.port = found.get("IPAddress", ""), self._recipe.port
                return
            bindings = (network.get("Ports") or {}).get(f"{self._recipe.port}/tcp") or [{}]
            self.host, self.port = reach.host, int(bindings[0].get("HostPort") or 0)
            # One that has ended has no ports, and what it printed says why.
            if self.port or container.status != "running" or time.monotonic() > limit:
                return
            time.sleep(_PUBLISH_PAUSE_S)

    def _follow(self, container: Any) -> None:
        """Write what the server prints to its log, until it ends."""
        try:
            with self.log.open("ab", buffering=0) as log:
                for chunk in container.logs(stream=True, follow=True):
                    log.write(chunk)
        except Exception as error:  # a log driver that cannot be read, or the engine is gone
            with contextlib.suppress(OSError):
                self.log.open("a").write(f"(envkit: no more of the log: {error})\n")
        try:
            container.wait()
        except Exception:
            # Whatever requests makes of a connection that is cut; the container may be removed too.
            self._engine_lost = not self.ended.is_set() and not answers(self._address)
        self.ended.set()

    def _state(self) -> dict[str, Any]:
        """What the engine knows of its end; empty if somebody else has removed it."""
        with contextlib.suppress(Exception):
            wrapped = self._made.get_wrapped_container() if self._made else None
            if wrapped is not None:
                wrapped.reload()
                state: dict[str, Any] = wrapped.attrs["State"]
                return state
        return {}


def prepare(
    *,
    name: str,
    service: str,
    image: FoundImage,
    recipe: Callable[[FoundImage], ContainerRecipe],
    user: str,
    password: str,
    settings: ServiceSettings,
    docker: DockerSettings,
    address: EngineAddress,
    site: Site,
    cancelled: threading.Event,
    report: Callable[[Layers], None],
) -> ContainerServer:
    """Everything up to the start: the image, fetched if need be.

    Raises:
        ImageMissing, ImageTagUnknown, PullDenied, …: See `pull`.
        DockerDown, DockerDenied: The engine cannot be used.
    """
    if docker.reaper == "ryuk":
        from envkit.backends.docker.ryuk import start_ryuk

        start_ryuk(address, policy=docker.pull, site=site, cancelled=cancelled)
    if not image.here:
        client = new_client(address, _CALL_LIMIT_S)
        with contextlib.closing(client):
            pull(client, image.reference, where=address.url, report=report, cancelled=cancelled)
        facts = look(address, [image.reference], image.reference)
        found = next((one for one in facts.images if one.reference == image.reference), None)
        if found is None:
            raise StartError(f"{image.reference} was fetched and is gone", hint="docker images")
        image = found
    return ContainerServer(
        name=name,
        service=service,
        image=image,
        recipe=recipe(image),
        values={"user": user, "password": password},
        settings=settings,
        docker=docker,
        address=address,
        site=site,
    )


def load() -> None:
    """Import testcontainers, which takes 160 ms.

    Raises:
        UsageError: It refuses a variable of the environment.
    """
    _make_sure_of_a_home()
    with _loading:
        try:
            import testcontainers.core.container  # noqa: F401
        except ValueError as error:
            raise _refuses_environment(error) from None


def _make_sure_of_a_home() -> None:
    """Testcontainers looks for its properties there when it is imported, and fails without one."""
    try:
        Path.home()
    except RuntimeError:  # no HOME, and a user without a name
        os.environ["HOME"] = "/"


def _way(address: EngineAddress) -> tuple[Reach, str]:
    """The way to an engine's containers, and the version of its interface; found once."""
    with _asking:
        if address not in _ways:
            client = new_client(address, _CALL_LIMIT_S)
            with contextlib.closing(client), in_our_words(address.url):
                _ways[address] = way_to(address, client), client.api.api_version
        return _ways[address]


def _refuses_environment(error: ValueError) -> UsageError:
    return UsageError(
        f"testcontainers refuses a variable of the environment: {error}",
        hint="correct or unset TC_…, TESTCONTAINERS_… or DOCKER_AUTH_CONFIG",
    )


def _engine_lost(where: str, detail: str) -> EngineLost:
    return EngineLost(
        f"the container engine at {where} went away",
        detail=detail,
        hint="start it again, then: envkit prune",
    )


def _engine_hangs(where: str) -> EngineLost:
    return EngineLost(
        f"the container engine at {where} does not answer any more",
        hint="docker info; if that hangs too, restart the engine, then: envkit prune",
    )
