"""What is in a Redis database or server, read once and put into every copy.

Values travel as the server itself packs them (DUMP and RESTORE), so every type comes across as it
was. What is read is kept as the very bytes that a copy is sent.

Time to live is counted anew for each copy: a key (or a field of a hash) that had a minute left when
the template was sealed has a minute left when a copy is handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from envkit.errors import TemplateFailed
from envkit.services.resp import Answer, Connection, Refused, packed, refusals
from envkit.services.spec import Sealed

__all__ = ["Commands", "RedisSealed", "pour", "read", "read_libraries"]

# As many keys are asked for in one go, and as many bytes are sent in one go at least.
_KEYS: Final = 1000
_BYTES: Final = 1 << 20
_FIELDS: Final = 1000
_GONE: Final = -2  # what HPTTL says of a field that is not there

_T = TypeVar("_T")
#: Field to value and milliseconds left; negative if it does not expire.
_Fields = dict[bytes, tuple[bytes, int]]


class Commands(Struct, frozen=True):
    """Some commands as they are sent, one after another.

    Attributes:
        packed: All of them.
        count: How many they are.
    """

    packed: bytes
    count: int


class RedisSealed(Sealed, frozen=True, kw_only=True):
    """The content of a template.

    Attributes:
        databases: Number to what fills the database of that number.
        libraries: Of functions, as FUNCTION DUMP packs them; empty if there are none.
        keys: How many keys there are.
        restored: How many of them came as one RESTORE.
        expires: Whether anything in it does.
    """

    databases: dict[str, tuple[Commands, ...]]
    libraries: bytes = b""
    keys: int = 0
    restored: int = 0
    expires: bool = False


def read(connection: Connection, numbers: Iterable[str]) -> RedisSealed:
    """What the databases of these numbers hold; nobody may be changing them.

    Raises:
        ConnectionError: The server refuses what is asked, or is gone.
    """
    databases: dict[str, tuple[Commands, ...]] = {}
    keys = restored = 0
    expires = False
    for number in numbers:
        connection.call("SELECT", number)
        writer = _Writer()
        found = list(_keys(connection))
        for some in _batches(found, _KEYS):
            for key, payload, left, fields in _values(connection, some):
                if payload is None:  # expired since
                    continue
                keys += 1
                expires = expires or left > 0 or bool(fields)
                if fields:
                    writer.hash(key, left, fields)
                else:
                    restored += 1
                    writer.add(b"RESTORE", key, b"%d" % max(left, 0), payload)
        if chunks := writer.done():
            databases[number] = chunks
    return RedisSealed(databases=databases, keys=keys, restored=restored, expires=expires)


def read_libraries(connection: Connection) -> bytes:
    """The libraries of functions; empty if there are none, or if they are not known yet there."""
    listed, dumped = connection.pipeline(["FUNCTION", "LIST"], ["FUNCTION", "DUMP"])
    return dumped if listed and isinstance(listed, list) and isinstance(dumped, bytes) else b""


def pour(connection: Connection, sealed: Sealed, number: str = "") -> None:
    """Put a template's content where nothing is.

    Args:
        connection: With rights for it; it ends in another database than it was in.
        sealed: The template.
        number: Of the database, for a template of one; else each goes where it came from.

    Raises:
        TemplateFailed: The server refused a part of it.
        OSError: It is gone.
    """
    assert isinstance(sealed, RedisSealed)
    for home, chunks in sealed.databases.items():
        for chunk in (Commands(packed(["SELECT", number or home]), 1), *chunks):
            connection.send(chunk.packed)
            _accept(connection.answers(chunk.count))
    if sealed.libraries:
        _accept(connection.pipeline(["FUNCTION", "RESTORE", sealed.libraries]))


def _accept(answers: Iterable[Answer]) -> None:
    refused = [error for answer in answers for error in refusals(answer)]  # all must be taken
    if refused:
        raise TemplateFailed(
            f"Redis did not take what the template holds: {refused[0]}",
            hint="if it says OOM, maxmemory in [tool.envkit.redis] settings is too small",
        )


class _Writer:
    """Packs commands into chunks."""

    def __init__(self) -> None:
        self._chunks: list[Commands] = []
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, *words: bytes) -> None:
        part = packed(words)
        self._parts.append(part)
        self._size += len(part)
        if self._size >= _BYTES:
            self._close()

    def hash(self, key: bytes, left: int, fields: _Fields) -> None:
        # RESTORE would bring back the hour at which each field expires, and not the time left.
        for some in _batches(list(fields.items()), _FIELDS):
            self.add(b"HSET", key, *(word for name, (value, _) in some for word in (name, value)))
        for name, (_, lives) in fields.items():
            if lives > 0:
                self.add(b"HPEXPIRE", key, b"%d" % lives, b"FIELDS", b"1", name)
        if left > 0:
            self.add(b"PEXPIRE", key, b"%d" % left)

    def done(self) -> tuple[Commands, ...]:
        if self._parts:
            self._close()
        return tuple(self._chunks)

    def _close(self) -> None:
        self._chunks.append(Commands(b"".join(self._parts), len(self._parts)))
        self._parts = []
        self._size = 0


def _keys(connection: Connection) -> Iterable[bytes]:
    """All of a database, each once."""
    found: dict[bytes, None] = {}  # SCAN may name some twice
    cursor: Answer = b"0"
    while True:
        assert isinstance(cursor, bytes)
        (answer,) = connection.pipeline(["SCAN", cursor, "COUNT", str(_KEYS)])
        if isinstance(answer, Refused):
            raise answer
        assert isinstance(answer, list)
        cursor, names = answer
        assert isinstance(names, list)
        found.update((name, None) for name in names if isinstance(name, bytes))
        if cursor == b"0":
            return found


def _values(
    connection: Connection, keys: Sequence[bytes]
) -> Iterator[tuple[bytes, bytes | None, int, _Fields]]:
    """Key, content, milliseconds left, and the fields of a hash some of whose fields expire."""
    answers = connection.pipeline(
        *([word, key] for key in keys for word in ("TYPE", "DUMP", "PTTL"))
    )
    for error in refusals(answers):
        raise error
    hashes = [key for key, kind in zip(keys, answers[::3], strict=True) if kind == b"hash"]
    expiring = _expiring(connection, hashes)
    for key, payload, left in zip(keys, answers[1::3], answers[2::3], strict=True):
        assert payload is None or isinstance(payload, bytes)
        yield key, payload, _number(left), expiring.get(key, {})


def _expiring(connection: Connection, hashes: Sequence[bytes]) -> Mapping[bytes, _Fields]:
    """Those of which some fields expire.

    Such fields came with Redis 7.4 (https://redis.io/docs/latest/commands/hpttl/) and Valkey 9.
    """
    contents = connection.pipeline(*((b"HGETALL", key) for key in hashes))
    held = {
        key: [one for one in flat if isinstance(one, bytes)]
        for key, flat in zip(hashes, contents, strict=True)
        if isinstance(flat, list) and flat
    }
    asked = [
        [b"HPTTL", key, b"FIELDS", b"%d" % (len(flat) // 2), *flat[::2]]
        for key, flat in held.items()
    ]
    found: dict[bytes, _Fields] = {}
    for (key, flat), answer in zip(held.items(), connection.pipeline(*asked), strict=True):
        if not isinstance(answer, list):  # a server that does not know such fields
            break
        left = list(map(_number, answer))
        if max(left) >= 0:
            found[key] = {
                name: (value, lives)
                for name, value, lives in zip(flat[::2], flat[1::2], left, strict=True)
                if lives != _GONE
            }
    return found


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _number(answer: Answer) -> int:
    assert isinstance(answer, bytes)
    return int(answer)
