"""Fetching an image, with what there is to tell meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

from envkit.engine.address import configuration
from envkit.engine.words import from_engine, in_our_words, message_of
from envkit.errors import ImageMissing, PullDenied
from envkit.wait import Cancelled

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["Layers", "pull"]

#: Layer to (what is being done with it, bytes done, bytes in all).
Layers = dict[str, tuple[str, int, int]]

_FIRST_WORD_S = 8.0
_SILENCE_S = 60.0
_TELL_EVERY_S = 0.1


def pull(
    client: DockerClient,
    image: str,
    *,
    where: str,
    report: Callable[[Layers], None],
    cancelled: threading.Event,
) -> None:
    """Fetch an image.

    Args:
        client: Of the engine.
        image: With its tag.
        where: The engine's address, for errors.
        report: Gets the state of all layers, ten times a second at most.
        cancelled: Set when nobody waits any more.

    Raises:
        ImageMissing: The registry cannot be reached, says nothing for 8 s or falls silent for 60 s.
        ImageTagUnknown, ImagePlatform, PullDenied, PullRateLimit, DockerDiskFull: As the registry
            or the engine says.
        DockerDown: The engine went away.
        Cancelled: As asked.
    """
    import requests

    with in_our_words(where, image):
        try:
            _pull(client, image, report, cancelled)
        except (requests.Timeout, TimeoutError):
            raise ImageMissing(
                f"{image} is not on this machine, and its registry does not answer",
                hint=f"docker pull {image} shows more; without a network: envkit images build",
            ) from None
        except requests.ConnectionError as error:
            if "Read timed out" not in str(error):
                raise
            raise ImageMissing(
                f"{image}: the registry fell silent for {_SILENCE_S:g} s",
                hint=f"docker pull {image} shows more; without a network: envkit images build",
            ) from None


def _pull(
    client: DockerClient,
    image: str,
    report: Callable[[Layers], None],
    cancelled: threading.Event,
) -> None:
    from docker.auth import resolve_repository_name

    name, _, tag = image.partition("@") if "@" in image else image.rpartition(":")
    registry, _ = resolve_repository_name(name)
    header = _credentials(client, image, registry)
    api = client.api
    # Not api.pull(), which waits for ever.
    response = api.post(
        f"{api.base_url}/v{api.api_version}/images/create",
        params={"fromImage": name, "tag": tag},
        headers={"X-Registry-Auth": header} if header else None,
        stream=True,
        timeout=(5, _FIRST_WORD_S),
    )
    with response:
        if response.status_code != 200:
            raise from_engine(message_of(response.content), image)
        stream = api._get_raw_response_socket(response)
        # As the docker package does it itself: what it finds is a file around the socket or not.
        getattr(stream, "_sock", stream).settimeout(_SILENCE_S)
        layers: Layers = {}
        told = 0.0
        for said in _messages(response.iter_content(chunk_size=None)):
            if cancelled.is_set():
                raise Cancelled
            if error := said.get("error"):
                raise from_engine(str(error), image)
            detail = said.get("progressDetail") or {}
            if said.get("id") and said["id"] != tag:
                before = layers.get(said["id"], ("", 0, 0))
                total = int(detail.get("total") or before[2])
                layers[said["id"]] = (said.get("status", ""), int(detail.get("current", 0)), total)
            if time.monotonic() - told >= _TELL_EVERY_S:
                told = time.monotonic()
                report(dict(layers))
        report(dict(layers))


def _credentials(client: DockerClient, image: str, registry: str) -> bytes | None:
    """What ``docker login`` left for a registry; it may be a program that has to be asked.

    Raises:
        PullDenied: It is damaged, or the program fails or hangs.
    """
    from docker.auth import get_config_header

    outcome: Future[bytes | None] = Future()

    def ask() -> None:
        try:
            outcome.set_result(get_config_header(client.api, registry))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return outcome.result(_FIRST_WORD_S)
    except Exception as error:  # whatever is made of what stands there
        silent = isinstance(error, FutureTimeout) and not outcome.done()
        raise PullDenied(
            f"{image} cannot be fetched: docker's credentials for {registry} cannot be read",
            detail=f"its helper says nothing for {_FIRST_WORD_S:g} s" if silent else str(error),
            hint=f"see auths, credsStore and credHelpers in {configuration()}",
        ) from None


def _messages(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """JSON documents, one a line, from pieces of any length."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
    if rest.strip():
        yield json.loads(rest)
