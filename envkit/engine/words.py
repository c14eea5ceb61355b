"""What the docker package and the engine say when something is wrong, as errors of ours."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from envkit.errors import (
    ContainerExited,
    DockerDenied,
    DockerDiskFull,
    DockerDown,
    EngineRefused,
    EnvkitError,
    ImageMissing,
    ImagePlatform,
    ImageTagUnknown,
    PortsExhausted,
    PullDenied,
    PullRateLimit,
)

__all__ = ["from_engine", "in_our_words", "message_of", "unreachable", "wrong_platform"]


@contextmanager
def in_our_words(where: str, image: str = "") -> Iterator[None]:
    """Turn what the docker package and requests raise into errors of ours.

    Args:
        where: The engine's address.
        image: The one that is being used, if any.

    Raises:
        DockerDenied: The socket is not for this user.
        DockerDown: Nobody answers at ``where``.
        EngineRefused: It refused something; or one of the other errors of `from_engine`.
    """
    import docker.errors
    import requests

    try:
        yield
    except EnvkitError:
        raise
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise _in_our_words(error, where, image) from None


def _in_our_words(error: BaseException, where: str, image: str) -> EnvkitError:
    from docker.errors import APIError

    if isinstance(error, APIError):
        return from_engine(str(error.explanation or error), image)
    return unreachable(error, where)


def unreachable(error: BaseException, where: str) -> EnvkitError:
    """Why the engine cannot be talked to."""
    if "paramiko" in str(error):
        return DockerDown(
            f"the docker package cannot talk to {where} without paramiko",
            hint="pip install 'docker[ssh]'",
        )
    codes = {one.errno for one in _chain(error) if isinstance(one, OSError)}
    if errno.EACCES in codes or "Permission denied" in str(error):
        return DockerDenied(
            f"the engine's socket at {where} is closed to this user (uid {os.getuid()})",
            hint="sudo usermod -aG docker $USER   # then log in again",
        )
    return DockerDown(
        f"no container engine answers at {where}", detail=str(error), hint="docker info"
    )


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


def from_engine(text: str, image: str = "") -> EnvkitError:
    """The error of ours for what the engine said, to the image if it is about one.

    The wordings are those of moby's distribution, libnetwork and containerd, and of Podman.
    """
    for pattern, make in _WORDINGS:
        if re.search(pattern, text, re.IGNORECASE):
            return make(text, image)
    about = f" to work with {image}" if image else ""
    return EngineRefused(
        f"the container engine refused{about}",
        detail=text,
        hint="its own words are above; docker info shows how it is",
    )


def message_of(body: bytes) -> str:
    """What an engine said that refused a request; something else may be answering, too."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:1000].decode(errors="replace")


def _disk_full(text: str, _: str) -> EnvkitError:
    return DockerDiskFull(
        "the container engine has no room left",
        detail=text,
        hint="docker system df; docker image prune",
    )


def _ports(text: str, _: str) -> EnvkitError:
    return PortsExhausted(
        "the container engine has no free port to publish",
        detail=text,
        hint="see which containers hold them with: docker ps --format '{{.Names}} {{.Ports}}'",
    )


def _rate_limit(text: str, image: str) -> EnvkitError:
    return PullRateLimit(
        f"the registry gives this address no more images for now ({image})",
        detail=text,
        hint="docker login, a mirror as registry in [tool.envkit.docker], or: envkit images build",
    )


def wrong_platform(text: str, image: str) -> EnvkitError:
    """An image for machines of another kind, by what was said of it."""
    return ImagePlatform(
        f"{image} is not made for the architecture of the engine's machine",
        detail=text,
        hint="name one that is, with image = … in the service's table, or: envkit images build",
    )


def _not_startable(text: str, image: str) -> EnvkitError:
    return ContainerExited(
        f"a container of {image} ends before its program begins",
        detail=text,
        hint=f"see entrypoint and user of the image: docker image inspect {image}",
    )


def _no_name(text: str, image: str) -> EnvkitError:
    return EngineRefused(
        f"{image} cannot be the name of an image",
        detail=text,
        hint='correct it: image = "…" in the service\'s table',
    )


def _denied(text: str, image: str) -> EnvkitError:
    return PullDenied(
        f"{image} may not be fetched, or there is no such repository",
        detail=text,
        hint="docker login, look at the name of the image, or: envkit images build",
    )


def _tag_unknown(text: str, image: str) -> EnvkitError:
    repository, _, tag = image.rpartition(":")
    digest = "@" in image
    return ImageTagUnknown(
        f"there is no {image}" if digest else f"there is no tag {tag!r} of {repository}",
        detail=text,
        hint="set version or image in the service's table to one that exists",
    )


def _no_network(text: str, image: str) -> EnvkitError:
    return ImageMissing(
        f"{image} is not on this machine, and its registry cannot be reached",
        detail=text,
        hint="with a network: docker pull " + image + "; without one: "
        "envkit images build, and neither version nor image in the configuration",
    )


def _not_here(text: str, image: str) -> EnvkitError:
    return ImageMissing(
        f"{image} is not on this machine",
        detail=text,
        hint=f"docker pull {image}, or: envkit images build",
    )


# The first that fits; what is told of a pull goes from the most to the least certain cause.
_WORDINGS: tuple[tuple[str, Callable[[str, str], EnvkitError]], ...] = (
    (r"invalid reference format", _no_name),
    (r"no space left on device|disk quota exceeded", _disk_full),
    (r"all ports are allocated|no (more )?(free|available) ports?", _ports),
    (r"toomanyrequests|rate limit|429 Too Many", _rate_limit),
    (
        r"no matching manifest|does not match the (specified|expected) platform"
        r"|no match for (current )?platform|no image found in (image index|manifest list)",
        wrong_platform,
    ),
    (r"exec format error", wrong_platform),
    (r"unable to start container process|unable to find user|no such user", _not_startable),
    (
        r"manifest (for \S+ )?(not found|unknown)|manifest unknown|tag \S+ not found"
        r"|failed to resolve reference \S+ \S+: not found",
        _tag_unknown,
    ),
    (
        r"pull access denied|requested access to the resource|unauthorized|authentication required"
        r"|no basic auth credentials|repository \S+ (does not exist|not found)|name unknown"
        r"|403 Forbidden|401 Unauthorized",
        _denied,
    ),
    (
        r"dial tcp|lookup \S+|i/o timeout|TLS handshake timeout|Client\.Timeout|connection refused"
        r"|network is unreachable|no route to host|server misbehaving|x509|EOF|proxyconnect",
        _no_network,
    ),
    (r"no such image|image not known", _not_here),
)
