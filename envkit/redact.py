"""The last thing every output passes: nothing that could harm a terminal or give a secret away."""

from __future__ import annotations

import re

__all__ = ["one_line", "printable", "without_passwords"]

# C0 and C1 controls but tab and newline: escape sequences in a server's log must not reach a
# terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Up to the last "@" before white space or a quote: a password may have unescaped ones in it.
_URL_PASSWORD = re.compile(
    r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*:)(?P<password>[^\s\"'<>]+)(?=@)", re.I
)
_PARAMETER = re.compile(r"(?P<head>(?:^|[?&\s])(?:ssl)?pass(?:word|wd)=)[^\s&\"']+", re.I)


def printable(text: str) -> str:
    """The text with control characters made visible."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def without_passwords(text: str) -> str:
    """The text with the passwords of URLs and of connection strings masked."""
    return _PARAMETER.sub(r"\g<head>***", _URL_PASSWORD.sub(r"\g<head>***", text))


def one_line(text: str) -> str:
    return printable(text.replace("\n", " "))
