"""Which categories run, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envkit.config import nearest
from envkit.declared import Category
from envkit.errors import UsageError

__all__ = ["in_order"]


def in_order(categories: Mapping[str, Category], names: Sequence[str]) -> list[Category]:
    """Those that are named (else all) and what has to pass before them, prerequisites first.

    Beyond that they keep the order of the configuration, where circles are refused already.

    Args:
        categories: The declared ones.
        names: Of those that were asked for.

    Raises:
        UsageError: One of the names is not declared, or nothing is.
    """
    if not categories:
        raise UsageError(
            "this project declares no categories of tests",
            hint='declare one: [tool.envkit.categories.unit] with paths = ["tests/unit"]',
        )
    for name in names:
        if name not in categories:
            guess = nearest(name, categories)
            raise UsageError(
                f"there is no category {name!r}",
                hint=f"did you mean {guess}?" if guess else f"name one of {', '.join(categories)}",
            )
    found: dict[str, Category] = {}

    def add(category: Category) -> None:
        if category.name in found:
            return  # else shared prerequisites would be walked once for each way that leads there
        for name in sorted(category.after, key=list(categories).index):
            add(categories[name])
        found[category.name] = category

    wanted = names or categories
    for name, category in categories.items():
        if name in wanted:
            add(category)
    return list(found.values())
