"""The labels on our containers: whose they are, for whoever finds them later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envkit.owner import Owner

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["OWNER", "labels_of", "leftovers", "remove"]

OWNER = "envkit.owner"


def labels_of(owner: Owner, *, service: str, key: str, project: str) -> dict[str, str]:
    return {
        OWNER: owner.text,
        "envkit.service": service,
        "envkit.key": key,
        "envkit.project": project,
    }


def leftovers(client: DockerClient) -> list[tuple[str, Owner]]:
    """All containers of envkit's that the engine has: id and owner."""
    found = client.api.containers(all=True, filters={"label": OWNER})
    return [
        (one["Id"], owner)
        for one in found
        if (owner := Owner.read(one["Labels"].get(OWNER, ""))) is not None
    ]


def remove(client: DockerClient, container: str) -> bool:
    """Remove a container and its volumes, whatever it is doing; False if there is none."""
    from docker.errors import APIError, NotFound

    try:
        client.api.remove_container(container, force=True, v=True)
    except NotFound:
        return False
    except APIError as error:
        if "already in progress" not in str(error):  # somebody else is at it
            raise
    return True
