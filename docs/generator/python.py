"""``python.md``: the names that programs import from ``envkit``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final, get_args

import envkit
from docs.generator.markdown import block, bullet, code, document, prose
from docs.generator.signatures import class_parts, function_parts
from envkit.model import Isolation, ServiceName
from envkit.pytest_plugin import Scope

__all__ = ["page"]

#: In signatures.
_TYPES: Final = {"ServiceName": ServiceName, "Isolation": Isolation, "Scope": Scope}


def page() -> str:
    names = sorted(envkit.__all__, key=str.lower)
    return document(
        "Python",
        [
            prose(
                "What `import envkit` gives; all else may change. The errors that are named as"
                " raised are in `envkit.errors`, and all of them are `EnvkitError`."
            ),
            "\n".join(f"- [{code(name)}](#{name.lower()})" for name in names),
            *(part for name in names for part in _name(name)),
            "## Types",
            "\n".join(bullet(f"{code(name)}: {_words(kind)}") for name, kind in _TYPES.items()),
        ],
    )


def _name(name: str) -> Iterator[str]:
    thing: Any = getattr(envkit, name)
    yield f"## {code(name)}"
    if inspect.isclass(thing):
        yield from class_parts(thing)
    elif callable(thing):
        yield from function_parts(thing, f"envkit.{name}")
    else:
        yield block(f"envkit.{name}: {type(thing).__name__}")
        yield prose("The version of envkit that is installed.")


def _words(kind: Any) -> str:
    return ", ".join(code(f'"{word}"') for word in get_args(kind))
