"""The labels on our containers: whose they are, for whoever finds them later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from envkit.owner import Owner

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["OWNER", "Leftover", "labels_of", "leftovers", "leftovers_among", "remove"]

OWNER = "envkit.owner"
_PROJECT = "envkit.project"


def labels_of(owner: Owner, *, service: str, key: str, project: str) -> dict[str, str]:
    return {
        OWNER: owner.text,
        "envkit.service": service,
        "envkit.key": key,
        _PROJECT: project,
    }


class Leftover(Struct, frozen=True, kw_only=True):
    """A container of some keeper's, living or dead."""

    id: str
    name: str
    project: str
    owner: Owner


def leftovers(client: DockerClient) -> list[Leftover]:
    """All containers of envkit's that the engine has."""
    return leftovers_among(client.api.containers(all=True, filters={"label": OWNER}))


def leftovers_among(containers: Iterable[dict[str, Any]]) -> list[Leftover]:
    """Those of envkit's among containers as the engine lists them."""
    return [
        Leftover(
            id=one["Id"],
            name=(one.get("Names") or [one["Id"][:12]])[0].lstrip("/"),
            project=one["Labels"].get(_PROJECT, ""),
            owner=owner,
        )
        for one in containers
        if (owner := Owner.read((one.get("Labels") or {}).get(OWNER, ""))) is not None
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
