"""How hard a value is to guess, estimated from the value alone."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

__all__ = ["estimated_bits"]

# One of these adds no more than a character to what must be guessed.
_KNOWN: Final = re.compile(
    r"passw(?:or)?d|secret|qwert[yz]?|qwertyuiop|asdf(?:gh)?|zxcvbn?|letmein|welcome|admin"
    r"|default|example|changeme|iloveyou|monkey|dragon",
    re.I,
)
#: Alphabets from the smallest: a pattern for the whole value, and how many characters it has.
_ALPHABETS: Final = (
    (r"[0-9]*", 10),
    (r"[0-9a-f-]*", 16),
    (r"[0-9A-F-]*", 16),
    (r"[a-z]*", 26),
    (r"[A-Z]*", 26),
    (r"[A-Z2-7=]*", 32),
    (r"[a-z0-9]*", 36),
    (r"[A-Za-z0-9]*", 62),
    (r"[A-Za-z0-9+/=_-]*", 64),
    (r"[\x20-\x7e]*", 95),
)
# Of what a random value of that length and alphabet has: below, it is words or alike.
_RANDOM_ENOUGH: Final = 0.85


def estimated_bits(value: str) -> float:
    """Bits of entropy: those of random text if it looks random, else by how often what appears.

    Repetitions (``abcabc``), runs (``12345``) and common words count little.
    """
    value = _KNOWN.sub(".", value)
    value = _without_runs(_period(value))
    if not value:
        return 0.0
    count = len(value)
    each = -sum(n / count * math.log2(n / count) for n in Counter(value).values())
    size = next((n for pattern, n in _ALPHABETS if re.fullmatch(pattern, value)), 256)
    most = math.log2(min(size, count)) if count > 1 else 1.0
    if each >= _RANDOM_ENOUGH * most:
        return count * math.log2(size)
    return count * each


def _period(value: str) -> str:
    """The part that is repeated from the first character to the last, or the value."""
    # The border of a text, as Knuth, Morris and Pratt find it: linear in its length.
    borders = [0] * len(value)
    for at in range(1, len(value)):
        border = borders[at - 1]
        while border and value[at] != value[border]:
            border = borders[border - 1]
        borders[at] = border + (value[at] == value[border])
    period = len(value) - (borders[-1] if borders else 0)
    return value[:period] if 2 * period <= len(value) else value


def _without_runs(value: str) -> str:
    """Of three and more characters that go up or down by one, or stay, the first two."""
    kept = list(value[:2])
    for first, second, third in zip(value, value[1:], value[2:], strict=False):
        step = ord(third) - ord(second)
        if step != ord(second) - ord(first) or step not in (-1, 0, 1):
            kept.append(third)
    return "".join(kept)
