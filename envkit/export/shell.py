"""For ``eval "$(envkit export)"`` in any POSIX shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["render"]


def render(variables: Mapping[str, str]) -> str:
    r"""One ``export NAME='value'`` for each variable, in the order given.

    Inside single quotes a POSIX shell reads everything as it is; only the quote itself has to be
    written outside of them, as ``'\''``.

    Raises:
        UsageError: A name or value that no environment can hold.
    """
    lines = []
    for name, value in checked(variables).items():
        quoted = value.replace("'", "'\\''")
        lines.append(f"export {name}='{quoted}'\n")
    return "".join(lines)
