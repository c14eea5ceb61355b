"""Environment variables as text for somebody else to read: one module a format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, TypeAlias, cast

from ..errors import UsageError

__all__ = ["FORMATS", "Renderer", "checked", "renderer"]

Renderer: TypeAlias = Callable[[Mapping[str, str]], str]

#: Each is a module of this package with a ``render`` of its own.
FORMATS: Final = ("shell", "dotenv", "github", "gitlab")


def renderer(name: str) -> Renderer:
    """The function that renders a format.

    Raises:
        UsageError: There is no such format.
    """
    if name not in FORMATS:
        raise UsageError(
            f"there is no export format {name!r}", hint=f"choose one of {', '.join(FORMATS)}"
        )
    return cast("Renderer", import_module(f".{name}", __name__).render)


def checked(variables: Mapping[str, str]) -> Mapping[str, str]:
    """The same variables, all of which a POSIX environment can hold.

    Raises:
        UsageError: A name that is no shell name, or a value with a NUL character in it.
    """
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(
                f"{name!r} cannot be the name of an environment variable",
                hint="use letters, digits and '_', and do not begin with a digit",
            )
        if "\0" in value:
            raise UsageError(
                f"the value of {name} contains a NUL character, which no environment can hold",
                hint="encode it, for example as base64",
            )
    return variables
