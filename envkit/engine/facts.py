"""What a look at the engine finds, and the case that needs no look: there is none."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from envkit.engine.address import EngineAddress
from envkit.engine.words import unreachable
from envkit.recipes import FoundImage

__all__ = ["EngineFacts", "is_absent", "nothing_at"]


class EngineFacts(Struct, frozen=True, kw_only=True):
    """What the engine has of the images asked for.

    Attributes:
        problem: Why it cannot be used, as `EnvkitError.as_dict` has it; empty if it can.
        images: Those that are there.
    """

    where: str
    problem: dict[str, str] = {}
    images: tuple[FoundImage, ...] = ()


def is_absent(address: EngineAddress) -> bool:
    """Whether there is not even a socket; asked first, because HTTP takes 9 ms to import."""
    return bool(address.socket) and not Path(address.socket).exists()


def nothing_at(address: EngineAddress) -> EngineFacts:
    error = FileNotFoundError(2, "No such file or directory")
    return EngineFacts(where=address.url, problem=unreachable(error, address.url).as_dict())
