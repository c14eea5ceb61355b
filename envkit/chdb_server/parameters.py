"""What a request says beside its SQL: the query string's parameters, sorted into their kinds."""

from __future__ import annotations

import re

from . import failures
from .failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .http import Request

# src/Server/HTTPHandler.cpp: parameters that are not settings.
_RESERVED = frozenset(
    (
        "query",
        "user",
        "password",
        "quota_key",
        "query_id",
        "database",
        "default_format",
        "role",
        "compress",
        "decompress",
        "stacktrace",
        "buffer_size",
        "wait_end_of_query",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "client_protocol_version",
        "http_authenticator",
        "framing",
    )
)
_EXTERNAL_SUFFIXES = ("_format", "_structure", "_types")
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})")


def unquote(text: bytes) -> bytes:
    """Undo the percent encoding of a query string's name or value."""
    text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text
    return _PERCENT.sub(lambda match: bytes((int(match.group(1), 16),)), text)


def parse_query(query: bytes) -> list[tuple[str, bytes]]:
    """The parameters of a query string, in order; names as text, values as bytes."""
    pairs = []
    for item in query.split(b"&"):
        if item:
            name, _, value = item.partition(b"=")
            pairs.append((as_text(unquote(name)), unquote(value)))
    return pairs


def as_bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def as_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


class Parameters:
    """What a request asks for beside its SQL."""

    def __init__(self, request: Request) -> None:
        self.reserved: dict[str, bytes] = {}
        self.settings: dict[str, str] = {}
        self.bound: dict[str, str] = {}
        self.external: dict[str, bytes] = {}
        self._headers = request.headers

    def load(self, pairs: list[tuple[str, bytes]], external: bool) -> None:
        """Sort parameters into their kinds. With ``external`` tables, theirs are reserved too."""
        for name, value in pairs:
            if name in _RESERVED:
                self.reserved[name] = value
            elif name.startswith("param_"):
                self.bound[name[6:]] = as_text(value)
            elif external and name.endswith(_EXTERNAL_SUFFIXES):
                self.external[name] = value
            else:
                self.settings[name] = as_text(value)

    def get(self, name: str, header: str = "") -> str:
        if name in self.reserved:
            return as_text(self.reserved[name])
        return self._headers.get(header, "") if header else ""

    def flag(self, name: str) -> bool:
        return self.get(name).lower() in ("1", "true")

    def number(self, name: str, default: int, code: int = failures.BAD_ARGUMENTS) -> int:
        value = self.get(name)
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise Failure(code, f"Parameter {name} is not a number: '{value}'.")
        return int(value)
