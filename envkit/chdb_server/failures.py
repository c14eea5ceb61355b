"""ClickHouse's error codes, the HTTP statuses they travel under, and the texts they come with."""

from __future__ import annotations

import re

CANNOT_PARSE_TEXT = 6
BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
UNKNOWN_TYPE_OF_QUERY = 78
UNKNOWN_COMPRESSION_METHOD = 89
UNKNOWN_SETTING = 115
READONLY = 164
DATABASE_ACCESS_DENIED = 291
INTO_OUTFILE_NOT_ALLOWED = 358
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
HTTP_LENGTH_REQUIRED = 381
QUERY_WAS_CANCELLED = 394
BAD_QUERY_PARAMETER = 457
AUTHENTICATION_FAILED = 516
STD_EXCEPTION = 1001

_NAMES = {
    value: name for name, value in globals().items() if isinstance(value, int) and name.isupper()
}

# src/Server/HTTP/exceptionCodeToHTTPStatus.cpp of the ClickHouse repository.
_STATUS = {
    401: (194,),
    403: (192, 193, 497, 512, 516),
    400: (
        *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123),
        *(167, 168, 223, 321, 376, 427, 441, 675, 676),
    ),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    411: (381,),
    413: (229,),
    415: (779,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS_OF = {code: status for status, codes in _STATUS.items() for code in codes}

_PREFIX = re.compile(r"(?:Code: \d+\. DB::Exception: )+(?=Code: \d+\. DB::Exception: )")
_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_NAME = re.compile(r"\s*\(([A-Z][A-Z0-9_]+)\)(?:\s*\(version [^()]*(?:\([^()]*\))?\))?\.?\s*$")


class Failure(Exception):
    """An error as ClickHouse would report it: a code, its name and a text.

    ``code`` is ClickHouse's number (``SELECT errorCodeToName(code)``), ``status`` the HTTP status.
    """

    def __init__(self, code: int, text: str, name: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.name = name or _NAMES.get(code, "UNKNOWN_EXCEPTION")
        self.text = text

    @property
    def status(self) -> int:
        return _STATUS_OF.get(self.code, 500)

    def body(self, version: str) -> str:
        """The text ClickHouse's HTTP interface sends for this error."""
        return f"Code: {self.code}. DB::Exception: {self.text} ({self.name}) (version {version})\n"


def from_engine(error: BaseException | str) -> Failure:
    """Read what the engine raised. Texts without a code of ClickHouse's get 1001."""
    message = str(error)
    # The engine wraps an error once for every layer that passes it on.
    message = _PREFIX.sub("", message)
    match = _CODE.search(message)
    if match is None:
        return Failure(STD_EXCEPTION, message.strip() or "The engine failed without a message.")
    text, name = message[match.end() :], ""
    while (end := _NAME.search(text)) is not None:
        name, text = end.group(1), text[: end.start()]
    return Failure(int(match.group(1)), text.strip(), name)


def no_access_control(statement: str) -> Failure:
    """The answer to statements about users, roles, quotas and policies."""
    return Failure(
        NOT_IMPLEMENTED,
        f"{statement} is not supported: the chdb engine behind this server has one user and no "
        "users, roles, grants, quotas or row policies in SQL. Use the docker backend, or put a "
        "`clickhouse` binary on PATH, to test access control.",
    )
