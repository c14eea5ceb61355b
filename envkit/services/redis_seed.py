r"""Files of Redis commands, one a line and written as for redis-cli.

Words are separated by blanks; in ``"…"`` there are ``\n``, ``\r``, ``\t``, ``\a``, ``\b``, ``\xhh``
and ``\"``, in ``'…'`` only ``\'`` (https://redis.io/docs/latest/develop/tools/cli/). Lines that
begin with ``#`` are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from envkit.errors import TemplateFailed
from envkit.model import Endpoint
from envkit.services.resp import Connection, packed, refusals
from envkit.services.spec import address_of

__all__ = ["apply", "commands"]

_LIMIT_S: Final = 30.0
_BATCH: Final = 1000
_BLANKS: Final = " \t\r\v\f"
_WORD: Final = re.compile(
    r"""
    (?P<plain>[^\s"']*)
    (?:"(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)')?
    (?=\s|$)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_CONTROLS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
# These are not answered once each, or end the connection.
_NO_PLACE: Final = frozenset(
    b"hello monitor psubscribe psync punsubscribe quit shutdown ssubscribe subscribe sunsubscribe "
    b"sync unsubscribe".split()
)


def commands(text: str) -> list[list[bytes]]:
    """The words of each command.

    Raises:
        TemplateFailed: A quote is not closed, or something follows it without a blank.
    """
    return [words for _, words in _numbered(text, "the file of Redis commands")]


def apply(endpoint: Endpoint, path: Path, shown: str) -> None:
    """Run a file of commands in somebody's namespace, as `Service.apply` says.

    Raises:
        TemplateFailed: A command was refused, was not answered, or is not written as it should be.
        OSError: There is no such file; or the server lets this user not in, or is gone.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    found = list(_numbered(text, shown))
    for line, words in found:
        if words[0].lower() in _NO_PLACE or b" ".join(words[:2]).lower() == b"client reply":
            raise _failed(shown, line, words, "has no place in a file of commands")
    with Connection(address_of(endpoint), _LIMIT_S) as connection:
        connection.log_in()
        connection.call("SELECT", endpoint.database)
        for begin in range(0, len(found), _BATCH):
            _run(connection, found[begin : begin + _BATCH], shown)


def _run(connection: Connection, some: list[tuple[int, list[bytes]]], name: str) -> None:
    line, words = some[0]
    try:
        connection.send(b"".join(packed(words) for _, words in some))
        answers = connection.answers(len(some))
        for line, words in some:
            for error in refusals(next(answers)):
                raise _failed(name, line, words, f"was refused: {error}")
    except TimeoutError:
        raise _failed(name, line, words, f"was not answered within {_LIMIT_S:g} s") from None
    except OSError as error:
        raise _failed(name, line, words, f"was not answered: {error}") from None


def _failed(name: str, line: int, words: list[bytes], what: str) -> TemplateFailed:
    return TemplateFailed(f"{name}, line {line}: {words[0].decode(errors='replace')} {what}")


def _numbered(text: str, name: str) -> Iterator[tuple[int, list[bytes]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if (bare := line.strip(_BLANKS)) and not bare.startswith("#"):
            yield number, _words(bare, f"{name}, line {number}")


def _words(line: str, where: str) -> list[bytes]:
    words = []
    rest = line
    while rest:
        found = _WORD.match(rest)
        if found is None:
            raise TemplateFailed(
                f"{where}: a quote is not closed, or no blank follows it",
                hint='in "…" write \\" for a quote and \\\\ for a backslash',
            )
        plain, double, single = (
            (found[name] or "").encode("utf-8", "surrogateescape")
            for name in ("plain", "double", "single")
        )
        words.append(plain + _ESCAPE.sub(_escaped, double) + single.replace(rb"\'", b"'"))
        rest = rest[found.end() :].lstrip(_BLANKS)
    return words


def _escaped(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes.fromhex(found[1].decode())
    return _CONTROLS.get(found[2], found[2])
