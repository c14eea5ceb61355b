"""Ryuk, testcontainers' own cleaner, for those who want it beside envkit's watchdog."""

from __future__ import annotations

import os
import threading
from contextlib import closing

from envkit.backends.docker.pull import pull
from envkit.backends.site import Site
from envkit.engine.address import EngineAddress
from envkit.engine.client import new_client
from envkit.engine.look import look
from envkit.engine.words import in_our_words
from envkit.errors import EngineRefused, EnvkitError, ImageMissing
from envkit.model import PullPolicy

__all__ = ["start_ryuk"]

_HINT = 'reaper = "keeper" in [tool.envkit.docker] does without it'
# testcontainers makes one for each caller that finds none yet.
_one_at_a_time = threading.Lock()


def start_ryuk(
    address: EngineAddress, *, policy: PullPolicy, site: Site, cancelled: threading.Event
) -> None:
    """Start Ryuk, unless this process has done so.

    Args:
        address: Of the engine.
        policy: Whether its image may be fetched.
        site: Hears of its container.
        cancelled: Set when nobody waits any more.

    Raises:
        ImageMissing: Its image is not there and may not or cannot be fetched.
        EngineRefused: It does not start, or cannot be reached.
    """
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import Reaper
    from testcontainers.core.labels import SESSION_ID

    image = testcontainers_config.ryuk_image
    name = f"testcontainers-ryuk-{SESSION_ID}"
    with _one_at_a_time:
        if Reaper._instance is not None:
            return
        if not look(address, [image], image).images:
            _fetch(address, image, policy, cancelled)
        os.environ.update(address.environment())  # which is where it looks for the engine
        site.containers.making(name, address)
        try:
            with in_our_words(address.url, image):
                Reaper.get_instance()
        except EnvkitError:
            raise
        except Exception as error:  # testcontainers raises plain ones if it cannot be reached
            raise EngineRefused(f"Ryuk ({image}) did not start: {error}", hint=_HINT) from None
        site.containers.made(name)


def _fetch(
    address: EngineAddress, image: str, policy: PullPolicy, cancelled: threading.Event
) -> None:
    if policy == "never":
        raise ImageMissing(
            f"Ryuk's image {image} is not on this machine, and pull is 'never'", hint=_HINT
        )
    with closing(new_client(address)) as client:
        try:
            pull(client, image, where=address.url, report=lambda _: None, cancelled=cancelled)
        except EnvkitError as error:
            raise type(error)(error.observed, detail=error.detail, hint=_HINT) from None
