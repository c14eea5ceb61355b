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
_SHORTEST_RUN: Final = 4


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
    if each >= _RANDOM_ENOUGH * _expected(count, size):
        return count * math.log2(size)
    return count * each


def _expected(count: int, size: int) -> float:
    """The bits a character that are seen, on average, in so much random text of an alphabet.

    Not all characters appear in a short text: Miller's correction (1955), and for texts shorter
    than the alphabet that of the pairs which fall together.
    """
    if count > size:
        return math.log2(size) - (size - 1) / (2 * count * math.log(2))
    return math.log2(count) - (count - 1) / size


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
    """Of four and more characters that go up or down by one, or stay, the first two.

    Three do so by chance in one of three random texts of 32 hexadecimal digits.
    """
    kept: list[str] = []
    at = 0
    while at < len(value):
        end = _run(value, at)
        if end - at >= _SHORTEST_RUN:
            kept += value[at : at + 2]
            at = end
        else:
            kept.append(value[at])
            at += 1
    return "".join(kept)


def _run(value: str, start: int) -> int:
    """Where the run ends that begins here."""
    end = start + 1
    step = ord(value[end]) - ord(value[start]) if end < len(value) else 0
    if abs(step) <= 1:
        while end < len(value) and ord(value[end]) - ord(value[end - 1]) == step:
            end += 1
    return end
