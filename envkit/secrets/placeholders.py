"""Values that stand where somebody should have written one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from envkit.secrets.sources import read_env

__all__ = ["TEMPLATES", "is_placeholder", "template_values"]

#: Files of a project that show what its ``.env`` should hold.
TEMPLATES: Final = (".env.example", ".env.template", ".env.sample", ".env.dist")

_SEP: Final = r"[-_ .]?"
# Of the whole value. Words inside of a longer one say nothing: "test" is in many good ones.
_WHOLE: Final = re.compile(
    rf"""
      change{_SEP}(?:me|it|this) (?: [-_ .!]* | [-_ .!0-9]+ .* )
    | <[^<>]*> | \$\{{[^{{}}]*\}} | \$\([^()]*\) | \$[A-Za-z_]\w* | \{{\{{.*\}}\}} | %\(\w+\)s
    | \[[^\[\]]*\] | %[A-Z_]+%
    | [x*._?-]{{3,}} | …+ | your[-_ ].+
    | my[-_ ](?:super[-_ ])?(?:secret|password|key|token|api)(?:[-_ ](?:key|token|password))?
    | (?:replace|insert|put|enter|add|set|fill|paste|generate){_SEP}
      (?:me|it|this|with|in|your|a|an|the|here|real|secure|random|new|value|secret|key)(?:[-_ .].*)?
    | .+[-_ ]goes[-_ ]here
    | todo | fixme | tbd | tba | none | null | nil | undefined | n/?a | empty | unset | missing
    | placeholder | dummy | sample | example | default | redacted | hidden
    | (?:jwt|api|auth|service|app|db|the|some|super|very)?{_SEP}
      (?:secret|password|passwd|token|key|secret{_SEP}key|api{_SEP}key)
    | supersecret(?:key|password)? | pass | pwd
    """,
    re.I | re.X | re.S,
)
# Anywhere in a URL, where the rest is its form.
_IN_URL: Final = re.compile(
    r"<[A-Za-z][\w .-]*>|\$\{[^{}]*\}|\{\{.*?\}\}"
    r"|\byour[-_](?:own[-_])?(?:host|server|domain|company|project|db|database|user|pass|password)",
    re.I,
)


def is_placeholder(value: str, *, url: bool = False) -> bool:
    """Whether a value was only meant to show where one belongs.

    Args:
        value: Without blanks around it.
        url: Whether it is one, of which a part may be such a word.
    """
    if url and _IN_URL.search(value):
        return True
    return bool(_WHOLE.fullmatch(value))


def template_values(root: Path) -> Mapping[str, set[str]]:
    """What a project's templates of ``.env`` give as values, by name."""
    values: dict[str, set[str]] = {}
    for template in TEMPLATES:
        for entry in read_env(root / template, {}, []):
            if text := entry.value.reveal().strip():
                values.setdefault(entry.name, set()).add(text)
    return values
