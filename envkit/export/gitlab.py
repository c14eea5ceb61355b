"""GitLab CI: the file of an ``artifacts:reports:dotenv`` report.

Format: https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv. It hands
variables to later jobs, where servers of this job do not run any more: it is for servers that
outlive it, such as attached ones. GitLab masks nothing in it, and whoever may download artifacts
can read it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from . import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["excess", "render"]

_MOST_BYTES: Final = 5 * 1024
_MOST_VARIABLES: Final = 20


def excess(text: str) -> str:
    """Which of GitLab's own limits a file breaks; empty if none. Administrators may set others."""
    variables, size = text.count("\n"), len(text.encode())
    if variables > _MOST_VARIABLES:
        return (
            f"{variables} variables, and GitLab takes {_MOST_VARIABLES} unless it is told otherwise"
        )
    if size > _MOST_BYTES:
        return f"{size} bytes, and GitLab takes {_MOST_BYTES} unless it is told otherwise"
    return ""


def render(variables: Mapping[str, str]) -> str:
    """One ``NAME=value`` for each variable, never quoted: GitLab would keep the quotes.

    No comments and no empty lines, which GitLab refuses. For how much it takes, see `excess`.

    Raises:
        UsageError: A value with a line end or white space in it, which the format cannot carry,
            or a name or value that no environment can hold.
    """
    for name, value in checked(variables).items():
        if re.search(r"\s", value):
            what = "several lines" if re.search(r"[\r\n]", value) else "white space"
            raise UsageError(
                f"the value of {name} has {what}, which GitLab's dotenv report cannot carry",
                hint=f"leave {name} out, or pass it encoded, for example as base64",
            )
    return "".join(f"{name}={value}\n" for name, value in variables.items())
