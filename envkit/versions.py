"""Version numbers of servers, as far as envkit has to understand them."""

from __future__ import annotations

__all__ = ["is_of", "numbers"]


def numbers(version: str) -> tuple[int, ...]:
    """The components that are numbers, to compare by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def is_of(version: str, asked: str) -> bool:
    """Whether ``asked`` is the version or the beginning of it, by whole components."""
    parts = asked.split(".")
    return version.split(".")[: len(parts)] == parts
