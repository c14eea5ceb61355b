"""Why the server in a container ended before it was ready."""

from __future__ import annotations

import re
from typing import Any

from envkit.engine.words import wrong_platform
from envkit.errors import ContainerExited, ContainerOom, DockerDiskFull, EnvkitError

__all__ = ["why_ended"]


def why_ended(
    state: dict[str, Any], *, title: str, image: str, service: str, memory: str, log: str
) -> EnvkitError:
    """The error for it.

    Args:
        state: What the engine says of the container; empty if there is none any more.
        title: Of the service.
        image: Of the container.
        service: For the table in the configuration.
        memory: What it was given; empty for all there is.
        log: The end of what it printed.
    """
    if state.get("OOMKilled"):
        limit = memory or "the machine's"
        return ContainerOom(
            f"{title} ({image}) was killed because it needed more memory than {limit}",
            detail=log,
            hint=f'set memory = "1g" or more in [tool.envkit.{service}]',
        )
    if "exec format error" in log:
        return wrong_platform(log, image)
    if re.search("No space left on device|Disk quota exceeded", log):
        return DockerDiskFull(
            f"{title} ({image}) ran out of room in its container while starting",
            detail=log,
            hint="docker system df; docker image prune",
        )
    code = state.get("ExitCode")
    how = f"exit code {code}" if code is not None else "a container that is gone"
    return ContainerExited(
        f"{title} ({image}) ended with {how} while starting",
        detail=log or "(it printed nothing)",
        hint=f"see what it says above; [tool.envkit.{service}] settings are passed to it",
    )
