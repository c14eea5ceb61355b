"""The ``{names}`` in recipes, for what is known only at the start."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["fill"]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in; braces around anything else stay as they are."""
    return re.sub(r"\{([a-z]+)\}", lambda match: values.get(match[1], match[0]), text)
