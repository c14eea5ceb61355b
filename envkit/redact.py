"""The last thing every output passes: nothing that could harm a terminal or give a secret away.

Secrets are masked by where they stand (the password of any URL) and by what they are: the values
that this process has been told of with `conceal` or `conceal_later`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

__all__ = [
    "MASK",
    "SHORTEST",
    "Redactor",
    "conceal",
    "conceal_later",
    "one_line",
    "printable",
    "redacted",
    "without_passwords",
]

MASK: Final = "***"
#: Characters; shorter values are found in too many words to be masked.
SHORTEST: Final = 8

# C0 and C1 controls but tab and newline: escape sequences in a server's log must not reach a
# terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters, and Unicode's line ends.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Up to the last "@" before white space or a quote: a password may have unescaped ones in it. A word
# may be as long as a file, and is gone through once: of the scheme only the end is looked for, and
# one without "@" is passed over as a whole.
_URL_PASSWORD = re.compile(
    r"(?P<head>(?<=[a-z0-9+.-])://[^\s:/@]*:)(?:(?P<password>[^\s\"'<>]+)(?=@)|[^\s\"'<>]+)", re.I
)
_PARAMETER = re.compile(r"(?P<head>(?:^|[?&\s])(?:ssl)?pass(?:word|wd)=)[^\s&\"']+", re.I)
# Values that everybody knows. To mask them would spoil each line that names a service.
_NO_SECRETS: Final = frozenset(
    ("127.0.0.1", "clickhouse", "embedded", "localhost", "password", "postgres", "postgresql")
)
_SHORT_ESCAPES: Final = dict(zip("\n\r\t\b\f\v\a", "nrtbfva", strict=True))
_HTML: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;|&#34;",
    "'": "&#x27;|&#39;|&apos;",
}
# What may stand for a line break of the value: one of any kind, escaped or not, with the
# indentation and the rulers that are put before the lines of a quotation.
_LINE_BREAK: Final = r"(?:[\s|>]|\\+(?:[nrt]|x0[9ad]|u000[9ad])|%(?:25)*(?:0[9AD]|20)|&\#1[03];)+"
_RUNS: Final = r"(?P<alike>[A-Za-z0-9]+)|(?P<back>\\+)|(?P<line>\s*\n\s*)|(?P<one>.)"


def printable(text: str) -> str:
    """The text with control characters made visible, and what turns the direction of text."""
    shown = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return _DIRECTION.sub(lambda match: f"\\u{ord(match[0]):04x}", shown)


def without_passwords(text: str) -> str:
    """The text with the passwords of URLs and of connection strings masked."""
    shown = _URL_PASSWORD.sub(lambda one: one["head"] + MASK if one["password"] else one[0], text)
    return _PARAMETER.sub(rf"\g<head>{MASK}", shown)


def one_line(text: str) -> str:
    return printable(text.replace("\n", " "))


class Redactor:
    """Masks known values wherever and however they are written.

    Found are the value itself and what URL-quoting, JSON, ``repr``, HTML, base64 (with a user's
    name before it, as in Basic authentication) and hexadecimal digits make of it, in any mixture
    and also if its lines were indented.

    Args:
        values: Those shorter than `SHORTEST` and those that everybody knows are left out.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = frozenset(filter(_is_secret, map(str.strip, values)))
        pieces = {piece for value in self._values for piece in _pieces(value)}
        self._patterns = [found for piece in sorted(pieces) for found in _patterns(piece)]

    def __call__(self, text: str) -> str:
        """The text with every value masked."""
        # Once more, because a mask may complete what has stars of its own; each turn shortens.
        while spans := list(self._spans(text)):
            text = _masked(text, spans)
        return text

    def also(self, values: Iterable[str]) -> Redactor:
        """One that masks these as well."""
        return Redactor([*self._values, *values])

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._values)} values>"

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for anchor, pattern in self._patterns:
            # To look for a plain word is fast, and nearly always there is none.
            if anchor in text:
                yield from (match.span() for match in pattern.finditer(text))


def _is_secret(value: str) -> bool:
    return len(value) >= SHORTEST and value.lower() not in _NO_SECRETS and set(value) != {"*"}


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    parts, done = [], 0
    end = -1
    for start, stop in sorted(spans):
        if start > end:  # what overlaps or touches is one
            parts += [text[done:start], MASK]
        end = done = max(end, stop)
    return "".join([*parts, text[done:]])


def _pieces(value: str) -> Iterator[str]:
    """The value, and each line of it: a log may put more than blanks between them."""
    yield value
    lines = [line.strip() for line in value.splitlines()]
    # The first and last line of a PEM file are no secret.
    yield from (one for one in lines if _is_secret(one) and not one.startswith("-----"))


def _patterns(value: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """What to look for, each with a word that is in all that it matches."""
    yield _anchor(value), re.compile(_spelled(value))
    raw = _bytes(value)
    for core in dict.fromkeys(core for shift in range(3) for core in _base64(raw, shift)):
        # The whole word: its rest has some bits of the value, and a user's name.
        yield core, re.compile(rf"[A-Za-z0-9+/_-]*{re.escape(core)}[A-Za-z0-9+/_-]*=*")
    for digits in (raw.hex(), raw.hex().upper()):
        yield digits, re.compile(digits)


def _bytes(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")  # as the environment has it
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def _anchor(value: str) -> str:
    """The longest part that looks the same however it is written."""
    words: list[str] = re.findall(r"[A-Za-z0-9]*", value)
    return max(words, key=len)


def _base64(raw: bytes, shift: int) -> Iterator[str]:
    """What base64 makes of the bytes after ``shift`` others (modulo 3), whatever these are."""
    import base64

    text = base64.b64encode(bytes(shift) + raw).decode()
    first = (8 * shift + 5) // 6
    last = 8 * (shift + len(raw)) // 6
    core = text[first:last]
    yield core
    yield core.translate(str.maketrans("+/", "-_"))


def _spelled(value: str) -> str:
    """A pattern for the value in any mixture of encodings."""
    parts: list[str] = []
    after_backslash = True  # there is nothing to escape before the first character
    for run in re.finditer(_RUNS, value):
        text = run[0]
        if run.lastgroup == "alike":
            parts.append(text)
        elif run.lastgroup == "back":
            # Doubled by each that escapes; one run, so that no two parts compete for it.
            parts.append(rf"(?:\\|%(?:25)*5[Cc]){{{len(text)},}}")
        elif run.lastgroup == "line":
            parts.append(_LINE_BREAK)
        else:
            parts.append(_character(text, "" if after_backslash else r"\\*"))
        after_backslash = run.lastgroup == "back"
    return "".join(parts)


def _character(char: str, before: str) -> str:
    code = ord(char)
    raw = _bytes(char)
    back = before.replace("*", "+") or r"\\*"
    ways = [_HTML[char]] if char in _HTML else []  # longer than the character that it begins with
    ways.append(before + re.escape(char))
    ways.append("".join(rf"%(?:25)*(?i:{byte:02x})" for byte in raw))
    ways.append("".join(rf"{back}x(?i:{byte:02x})" for byte in raw))
    if code < 0x100:
        ways.append(rf"{back}x(?i:{code:02x})")
    units = char.encode("utf-16-be", errors="surrogatepass")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    ways.append("".join(rf"{back}u(?i:{pair})" for pair in pairs))
    ways.append(rf"{back}U(?i:{code:08x})")
    if char in _SHORT_ESCAPES:
        ways.append(back + _SHORT_ESCAPES[char])
    if char == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(dict.fromkeys(ways))})"


class _Known:
    """The values that this process knows of."""

    def __init__(self) -> None:
        self.redactor = Redactor()
        self.sources: list[Callable[[], Iterable[str]]] = []


_KNOWN: Final = _Known()


def conceal(values: Iterable[str]) -> None:
    """Have `redacted` mask these for the rest of this process."""
    _KNOWN.redactor = _KNOWN.redactor.also(values)


def conceal_later(source: Callable[[], Iterable[str]]) -> None:
    """As `conceal`, with values that are looked for when something is printed, and not before."""
    _KNOWN.sources.append(source)


def redacted(text: str) -> str:
    """The text with the passwords of URLs and all values masked that this process knows of."""
    while _KNOWN.sources:
        # Taken out first: what it does may want to print.
        conceal(_KNOWN.sources.pop()())
    return without_passwords(_KNOWN.redactor(text))
