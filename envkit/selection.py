"""How a category and what a user adds become the arguments of pytest: here, and nowhere else.

What only pytest can tell from its command line, such as which of the words are files, is left to
its child: the variable `ORDERS` says there what the category is (see `envkit.pytest_selection`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # pytest's child imports this, and has no other use for msgspec
    from envkit.declared import Category

__all__ = ["ORDERS", "PLUGIN", "arguments", "orders"]

#: Environment variable with the orders, as JSON. (Names of settings begin with ENVKIT_.)
ORDERS: Final = "_ENVKIT_CATEGORY"
#: The plugin of pytest that carries them out.
PLUGIN: Final = "envkit.pytest_selection"


def arguments(category: Category, typed: Sequence[str]) -> list[str]:
    """What pytest is given.

    Args:
        category: One of the configuration.
        typed: The user's, which come last, so that none of the category's can become a value of
            theirs.
    """
    markers = ["-m", category.markers] if category.markers else []
    return [*category.args, *markers, *category.paths, *typed]


def orders(category: Category, typed: Sequence[str]) -> dict[str, Any]:
    """What the child has to know to fit both together."""
    return {
        "markers": category.markers,
        "paths": category.paths,
        "arguments": typed,
        "typed_in": str(Path.cwd()),
    }
