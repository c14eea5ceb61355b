"""What is wrong with a secret: a value that can be shown to anybody."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Severity", "Verdict"]

Severity = Literal["error", "warning"]


class Verdict(Struct, frozen=True, kw_only=True):
    """One thing that is wrong. No part of any value is in it.

    Attributes:
        slug: The stable name of the fault.
        name: Of the secret; empty if it is about a file of several.
        source: Where the value stands, or where it was looked for.
        observed: A sentence with the secret's name in it.
        advice: What to do, in words.
        command: What to type in the project's directory; empty if no command can do it.
    """

    slug: str
    name: str
    source: str
    observed: str
    advice: str
    command: str = ""
    severity: Severity = "error"
