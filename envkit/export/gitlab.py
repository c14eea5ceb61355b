"""GitLab CI: the file of an ``artifacts:reports:dotenv`` report.

Format: https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsdotenv
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["render"]


def render(variables: Mapping[str, str]) -> str:
    """One ``NAME=value`` for each variable, never quoted: GitLab would keep the quotes.

    GitLab takes a file of at most 5 kB and, unless an administrator allows more, 20 variables.

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
