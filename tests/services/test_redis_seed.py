"""Files of Redis commands, as redis-cli takes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envkit.errors import TemplateFailed
from envkit.model import Endpoint, ServiceSettings
from envkit.owner import Owner
from envkit.services.redis import SPEC
from envkit.services.redis_seed import commands
from envkit.services.spec import Namespace
from tests.services.own_redis import Own, client_of


def endpoint(own: Own, namespace: Namespace) -> Endpoint:
    return Endpoint(
        service="redis",
        backend="embedded",
        product="",
        version="",
        host=own.address.host,
        port=own.address.port,
        user=namespace.user,
        password=namespace.password,
        database=namespace.database,
        url=SPEC.url(own.address, namespace),
        started_ms=0,
    )


def apply(own: Own, directory: Path, text: str | bytes) -> None:
    path = directory / "seed.redis"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    SPEC.apply(endpoint(own, own.namespace), path, "db/seed.redis")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SET a 1", [b"SET", b"a", b"1"]),
        ("  SET\ta   1  \r", [b"SET", b"a", b"1"]),
        ('SET "a key" "two words"', [b"SET", b"a key", b"two words"]),
        (r'SET a "\x00\xfF\n\r\t\a\b\"\\\q"', [b"SET", b"a", b'\x00\xff\n\r\t\x07\x08"\\q']),
        (r"SET a 'it\'s \n \x00'", [b"SET", b"a", rb"it's \n \x00"]),
        ('SET a ""', [b"SET", b"a", b""]),
        ("SET a ''", [b"SET", b"a", b""]),
        ('SET pre"fix y"', [b"SET", b"prefix y"]),
        ('SET a \'{"json": "yes"}\'', [b"SET", b"a", b'{"json": "yes"}']),
        ("SET a é", [b"SET", b"a", "é".encode()]),
        ("SET a b#c", [b"SET", b"a", b"b#c"]),
        ("SET a\N{NO-BREAK SPACE}b \N{LINE SEPARATOR}", [b"SET", b"a\xc2\xa0b", b"\xe2\x80\xa8"]),
    ],
)
def test_line_is_read_as_by_redis_cli(line: str, words: list[bytes]) -> None:
    assert commands(line) == [words]


def test_comments_and_blank_lines_are_no_commands() -> None:
    assert commands("# one\n\n   # two\n \t \nPING\n") == [[b"PING"]]


@pytest.mark.parametrize("line", ['SET "a', 'SET "a"b', "SET 'a", "SET 'a'b", 'SET a"', 'SET "\\"'])
def test_quote_that_is_not_closed_is_refused(line: str) -> None:
    with pytest.raises(TemplateFailed, match=r"line 3: a quote is not closed, or no blank"):
        commands(f"PING\n# a comment\n{line}\n")


@given(st.lists(st.binary(), min_size=1))
def test_any_words_can_be_written(words: list[bytes]) -> None:
    line = " ".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words)
    assert commands(line) == [words]


def test_file_is_run_in_order(own: Own, tmp_path: Path) -> None:
    apply(own, tmp_path, '# users\nHSET user:1 name "Ada L."\nHSET user:1 name Grace\n\nINCR n\n')
    assert own.client().hgetall("user:1") == {b"name": b"Grace"}
    assert own.client().get("n") == b"1"


def test_file_of_many_commands_is_run(own: Own, tmp_path: Path) -> None:
    apply(own, tmp_path, "".join(f"RPUSH list {number}\n" for number in range(5000)))
    assert own.client().lrange("list", -2, -1) == [b"4998", b"4999"]


def test_file_need_not_be_text(own: Own, tmp_path: Path) -> None:
    apply(own, tmp_path, b"SET a \xff\xfe\n")
    assert own.client().get("a") == b"\xff\xfe"


def test_empty_file_does_nothing(own: Own, tmp_path: Path) -> None:
    apply(own, tmp_path, "# nothing\n")
    assert own.client().dbsize() == 0


def test_file_is_run_in_the_database_of_its_lease(own: Own, tmp_path: Path) -> None:
    namespace = SPEC.create(
        own.address, "lease_1", ServiceSettings(), Owner.this_process().text, None
    )
    path = tmp_path / "seed"
    path.write_text("SET a 1\n")
    SPEC.apply(endpoint(own, namespace), path, "seed")
    with client_of(own.address, namespace) as client:
        assert client.get("a") == b"1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SET a 1\n\nINCR a b\n", "db/seed.redis, line 3: INCR was refused: ERR wrong number"),
        ("SET a x\nINCR a\nSET b 1", "db/seed.redis, line 2: INCR was refused: ERR value is not"),
        ("NONSENSE", "db/seed.redis, line 1: NONSENSE was refused: ERR unknown command"),
        ('SET a "', "db/seed.redis, line 1: a quote is not closed"),
        ("MULTI\nSET a x\nINCR a\nEXEC", "db/seed.redis, line 4: EXEC was refused: ERR value is"),
        ("PING\nsubscribe news", "db/seed.redis, line 2: subscribe has no place in a file of"),
        ("Client Reply OFF\nPING", "db/seed.redis, line 1: Client has no place in a file of"),
        ("PING\nCLIENT KILL SKIPME no\nPING", "db/seed.redis, line 3: PING was not answered: "),
    ],
)
def test_line_that_fails_is_named(own: Own, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TemplateFailed, match=re.escape(said)):
        apply(own, tmp_path, text)
