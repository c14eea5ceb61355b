"""GitHub Actions: text for the file ``$GITHUB_ENV``, and commands that mask secrets in the log.

Formats: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from . import checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["masks", "render"]


def render(variables: Mapping[str, str]) -> str:
    """One ``NAME<<delimiter`` block for each variable, to append to ``$GITHUB_ENV``.

    Raises:
        UsageError: A name or value that no environment can hold.
    """
    return "".join(
        f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
        for name, value in checked(variables).items()
        for delimiter in [_delimiter(name, value)]
    )


def masks(variables: Mapping[str, str], secret_names: Iterable[str]) -> str:
    """One ``::add-mask::`` command for each secret, to print before anything else shows it.

    Names without a value are passed over: the runner refuses to mask nothing.
    """
    values = dict.fromkeys(variables.get(name, "") for name in secret_names)
    return "".join(f"::add-mask::{_command_data(value)}\n" for value in values if value)


def _delimiter(name: str, value: str) -> str:
    # Derived, so that the same input gives the same text; checked, so that no value can end early
    # and add variables of its own.
    seed = f"{name}={value}"
    while True:
        seed = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
        delimiter = f"envkit_{seed[:24]}"
        if delimiter not in value:
            return delimiter


def _command_data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
