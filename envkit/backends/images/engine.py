"""The container engine: found as the docker command finds it, its errors in our words."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from envkit.backends.images.archive import architecture
from envkit.errors import DockerDenied, DockerDiskFull, DockerDown, EnvkitError, ImageFailed

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["connect", "in_our_words"]

_TIMEOUT_S = 120


@contextmanager
def in_our_words(where: str) -> Iterator[None]:
    """Turn what the docker package and requests raise into errors of ours.

    Raises:
        DockerDenied: The socket is not for this user.
        DockerDown: Nobody answers at ``where``.
        DockerDiskFull: The engine has no room.
        ImageFailed: It refused something else.
    """
    import docker.errors
    import requests

    try:
        yield
    except EnvkitError:
        raise
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise _in_our_words(error, where) from None


def _in_our_words(error: BaseException, where: str) -> EnvkitError:
    text = str(error)
    codes = {one.errno for one in _chain(error) if isinstance(one, OSError)}
    if errno.EACCES in codes or "Permission denied" in text:
        return DockerDenied(
            f"the engine's socket at {where} is closed to this user (uid {os.getuid()})",
            hint="sudo usermod -aG docker $USER   # then log in again",
        )
    if errno.ENOSPC in codes or "no space left on device" in text.lower():
        return DockerDiskFull(
            "the container engine has no room left",
            detail=text,
            hint="docker system df; docker image prune",
        )
    from docker.errors import APIError

    if not isinstance(error, APIError):
        return DockerDown(
            f"no container engine answers at {where}", detail=text, hint="docker info"
        )
    return ImageFailed("the container engine refused", detail=text)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    todo: list[Any] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            # requests and urllib3 keep the cause among the arguments, nested
            todo += [one.__cause__, one.__context__, *one.args]


@contextmanager
def connect() -> Iterator[tuple[DockerClient, str]]:
    """A client of the engine that DOCKER_HOST or the current context names, and its address.

    Raises:
        DockerDenied, DockerDown, DockerDiskFull, ImageFailed: See `in_our_words`; also from what is
            done with the client inside the ``with`` block.
    """
    import docker

    options, where = _address()
    with in_our_words(where):
        _knock(where)
        if options:
            client = docker.DockerClient(timeout=_TIMEOUT_S, version="auto", **options)
        else:
            client = docker.from_env(timeout=_TIMEOUT_S)
        try:
            said = client.version()
            if said.get("Os") != "linux" or said.get("Arch") != architecture():
                raise ImageFailed(
                    f"the engine at {where} runs {said.get('Os')}/{said.get('Arch')} containers, "
                    f"and this machine's programs are linux/{architecture()}",
                    hint="unset DOCKER_HOST, or run this on a machine like the engine's",
                )
            yield client, where
        finally:
            client.close()


def _knock(where: str) -> None:
    """Connect once: the docker package leaves a socket open when this fails, and hides why."""
    if where.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(where.removeprefix("unix://"))


def _address() -> tuple[dict[str, Any], str]:
    """What `docker.from_env` does not look at: the context that ``docker context use`` chose."""
    from docker.constants import DEFAULT_UNIX_SOCKET

    host = os.environ.get("DOCKER_HOST")
    default = DEFAULT_UNIX_SOCKET.replace("http+unix", "unix")
    if host:
        return {}, host
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT") or None)
    except (DockerException, OSError, ValueError):  # no context, or one that cannot be read
        context = None
    if context is None or context.Name == "default" or not context.Host:
        return {}, default
    return {"base_url": context.Host, "tls": context.TLSConfig or False}, context.Host
