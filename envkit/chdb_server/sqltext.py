"""What must be known about a statement before the engine sees it, found with a real lexer.

The rules are those of ClickHouse's own lexer (src/Parsers/Lexer.cpp) and of its INSERT parser
(src/Parsers/ParserInsertQuery.cpp): where the data of an INSERT begins, which FORMAT a statement
asks for, whether a second statement follows. Text is bytes throughout, because ClickHouse's
queries need not be valid UTF-8.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Possessive and atomic groups: an unclosed quote must fail at once, not after 2^n attempts.
_TOKEN = re.compile(
    rb"""
     (?P<space>[\ \t\n\r\f\v]++|\xc2\xa0|\xe2\x80[\x80-\x8b]|\xe3\x80\x80|\xef\xbb\xbf)
    |(?P<comment>(?:--|//|\#[\ !])[^\n]*+)
    |(?P<block>/\*)
    |(?P<string>[xXbB]?'(?:[^'\\]|\\.|'')*+'|\xe2\x80\x98.*?\xe2\x80\x99)
    |(?P<quoted>"(?:[^"\\]|\\.|"")*+"|`(?:[^`\\]|\\.|``)*+`|\xe2\x80\x9c.*?\xe2\x80\x9d)
    |(?P<unclosed>['"`].*+)
    |(?P<number>0[xX][0-9a-fA-F][0-9a-fA-F_]*+(?:\.[0-9a-fA-F_]*+)?(?:[pP][+-]?[0-9_]*+)?[\w$]*+
               |[0-9][0-9_]*+(?:\.[0-9_]*+)?(?:[eE][+-]?[0-9_]*+)?[\w$]*+)
    |(?P<word>[A-Za-z_][\w$]*+)
    |(?P<dollar>\$)
    |(?P<arrow>->)
    |(?P<mark>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_NESTED = re.compile(rb"/\*|\*/")
_AFTER_FORMAT = re.compile(rb"[ \t\f]*+\r?\n?")
_WORD = re.compile(rb"[\w$]++")
_SILENT = frozenset({"space", "comment"})
_OPENING, _CLOSING = frozenset({b"(", b"[", b"{"}), frozenset({b")", b"]", b"}"})
_READS = frozenset({"SELECT", "WITH", "FROM", "("})
_SHOWS = frozenset({"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "KILL"})
_ACCESS_ENTITIES = frozenset({"USER", "ROLE", "QUOTA", "POLICY", "PROFILE"})
_FILLERS = frozenset({"OR", "REPLACE", "IF", "NOT", "EXISTS", "DEFAULT", "SETTINGS", "ROW"})


def tokens(sql: bytes, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Cut ``sql`` into (kind, start, end) without gaps, white space and comments included."""
    position, size = start, len(sql)
    while position < size:
        match = _TOKEN.match(sql, position)
        # The last alternative matches any byte.
        assert match is not None
        kind, end = match.lastgroup or "mark", match.end()
        if kind == "block":
            kind, end = "comment", _end_of_block(sql, end)
        elif kind == "dollar":
            kind, end = _after_dollar(sql, position)
        yield kind, position, end
        position = end


def _end_of_block(sql: bytes, position: int) -> int:
    depth = 1
    for match in _NESTED.finditer(sql, position):
        depth += 1 if match.group() == b"/*" else -1
        if depth == 0:
            return match.end()
    return len(sql)


def _after_dollar(sql: bytes, position: int) -> tuple[str, int]:
    close = sql.find(b"$", position + 1)
    if close >= 0:
        tag = sql[position : close + 1]
        end = sql.find(tag, close + 1)
        if end >= 0:
            return "string", end + len(tag)
    word = _WORD.match(sql, position)
    assert word is not None
    return ("word", word.end()) if word.end() > position + 1 else ("mark", position + 1)


class Statement:
    """One statement, taken apart as far as the server needs it.

    ``verb`` is its first word in capitals ("(" for a bracketed SELECT, "" for an empty text);
    ``text`` the statement without a closing semicolon and, if it is an INSERT with data, without
    FORMAT or VALUES; ``data_at`` where that data begins in the request, or None;
    ``format_name`` what FORMAT asks for; ``bare`` is the text without its FORMAT clause;
    ``second_at`` where a second statement begins, or None.
    """

    __slots__ = (
        "bare",
        "data_at",
        "file_paths",
        "format_name",
        "infile",
        "input_calls",
        "outfile",
        "second_at",
        "selects",
        "text",
        "verb",
        "words",
    )

    def __init__(self) -> None:
        self.verb = ""
        self.words: list[str] = []
        self.text = b""
        self.bare = b""
        self.format_name: str | None = None
        self.data_at: int | None = None
        self.second_at: int | None = None
        self.selects = False
        self.outfile = False
        self.infile = False
        self.file_paths: list[bytes] = []
        self.input_calls: list[tuple[int, bool]] = []

    @property
    def reads_rows(self) -> bool:
        """Whether the engine can stream it: SELECT and its other spellings."""
        return self.verb in _READS

    @property
    def returns_rows(self) -> bool:
        """Whether there is a result set, if perhaps an empty one."""
        return self.reads_rows or self.verb in _SHOWS

    @property
    def takes_data(self) -> bool:
        """Whether it is an INSERT whose rows come with the request."""
        return self.verb == "INSERT" and (not self.selects or bool(self.input_calls))

    @property
    def changes_nothing(self) -> bool:
        """Whether ClickHouse allows it with ``readonly = 2``, the mode of GET requests."""
        return (
            self.reads_rows
            or self.verb in _SHOWS - {"KILL", "CHECK"}
            or self.verb in ("", "USE", "SET")
            or self.words[:2] == ["CREATE", "TEMPORARY"]
        )

    def access_control(self) -> str:
        """Which change of users, roles, grants or policies it asks for, or ""."""
        rest = [word for word in self.words[1:] if word not in _FILLERS][:1]
        if self.verb in ("GRANT", "REVOKE"):
            return self.verb
        if self.verb in ("CREATE", "ALTER", "DROP") and rest and rest[0] in _ACCESS_ENTITIES:
            return f"{self.verb} {rest[0]}"
        if self.verb == "SET" and rest == ["ROLE"]:
            return "SET ROLE"
        return ""


def parse(sql: bytes) -> Statement:
    """Take the first statement of ``sql`` apart.

    Never fails: what is wrong with the SQL is for the engine to say.
    """
    statement = Statement()
    stream = ((k, s, e) for k, s, e in tokens(sql) if k not in _SILENT)
    first = next(stream, None)
    if first is None:
        return statement
    head = sql[first[1] : first[2]]
    if first[0] == "word":
        statement.verb = head.decode().upper()
        statement.words.append(statement.verb)
    else:
        statement.verb = "(" if head == b"(" else "?"
    if statement.verb == "WITH" and (insert_at := _insert_after_with(sql, first[2])) >= 0:
        # WITH … INSERT INTO …: what it defines is of use to a SELECT only.
        statement.verb = statement.words[0] = "INSERT"
        start = insert_at + len("INSERT")
        stream = ((k, s, e) for k, s, e in tokens(sql, start) if k not in _SILENT)
        _parse_insert(statement, sql, stream)
        if not statement.selects:
            statement.text = statement.bare = statement.text[insert_at:]
    elif statement.verb == "INSERT":
        _parse_insert(statement, sql, stream)
    else:
        _parse_plain(statement, sql, stream, first[2], depth=1 if head == b"(" else 0)
    return statement


def _parse_plain(
    statement: Statement,
    sql: bytes,
    stream: Iterator[tuple[str, int, int]],
    end: int,
    depth: int = 0,
) -> None:
    """Run to the end of the statement; note FORMAT, OUTFILE, file() and a second statement."""
    outside: list[tuple[str, bytes, int, int]] = []
    closed = False
    previous = before = b""
    for kind, start, stop in stream:
        piece = sql[start:stop]
        if closed:
            if piece != b";":
                statement.second_at = start
                break
            continue
        upper = piece.upper() if kind == "word" else b""
        if upper and len(statement.words) < 8:
            statement.words.append(upper.decode())
        if piece == b";" and depth == 0:
            closed = True
            continue
        if kind == "mark" and piece in _OPENING:
            depth += 1
            if piece == b"(" and previous == b"INPUT":
                statement.input_calls.append((start, False))
        elif kind == "mark" and piece in _CLOSING:
            depth -= 1
            if piece == b")" and previous == b"(" and before == b"INPUT":
                statement.input_calls[-1] = (statement.input_calls[-1][0], True)
        elif upper == b"OUTFILE" and previous == b"INTO":
            statement.outfile = True
        elif kind == "string" and previous == b"(" and before == b"FILE":
            statement.file_paths.append(piece)
        if depth == 0:
            outside.append((kind, upper or piece, start, stop))
        before, previous = previous, upper or piece
        end = stop
    statement.text = statement.bare = sql[:end]
    for index in range(len(outside) - 2, -1, -1):
        if outside[index][1] != b"FORMAT" or (index and outside[index - 1][1] == b"."):
            continue
        kind, _, start, stop = outside[index + 1]
        follower = outside[index + 2][1] if index + 2 < len(outside) else b""
        # Anything else behind it makes FORMAT the name of a column.
        if kind in ("word", "quoted") and follower in (b"", b"SETTINGS"):
            statement.format_name = sql[start:stop].decode("utf-8", "replace").strip('`"')
            statement.bare = sql[: outside[index][2]] + sql[stop:end]
            return


def _parse_insert(statement: Statement, sql: bytes, stream: Iterator[tuple[str, int, int]]) -> None:
    depth = 0
    named = False
    expect_name = True
    previous = b""
    end = 0
    for kind, start, stop in stream:
        piece = sql[start:stop]
        upper = piece.upper() if kind == "word" else b""
        if depth == 0 and not named and upper in (b"INTO", b"TABLE", b"FUNCTION"):
            end = stop
            continue
        keyword = upper == b"FORMAT" and depth == 0 and not expect_name
        if depth == 0 and expect_name:
            # The table's name comes first, and may well be spelled `format` or `values`.
            named, expect_name = True, False
            depth += piece in _OPENING
        elif piece == b"." and depth == 0:
            expect_name = True
        elif kind == "mark" and piece in _OPENING:
            depth += 1
        elif kind == "mark" and piece in _CLOSING:
            depth -= 1
        elif upper in (b"SELECT", b"WITH") and (depth == 0 or (depth == 1 and previous == b"(")):
            _parse_insert_select(statement, sql, stop, depth)
            return
        elif depth == 0 and upper == b"INFILE":
            statement.infile = True
        elif depth == 0 and previous == b"FORMAT" and kind in ("word", "quoted"):
            statement.format_name = piece.decode("utf-8", "replace").strip('`"')
            rest = _AFTER_FORMAT.match(sql, stop)
            statement.data_at = rest.end() if rest else stop
            if sql[statement.data_at : statement.data_at + 1] == b";":
                statement.data_at = len(sql)
            break
        elif depth == 0 and upper == b"VALUES":
            statement.format_name, statement.data_at = "Values", stop
            end = start
            break
        elif depth == 0 and piece == b";":
            statement.data_at = stop
            break
        previous = b"" if upper == b"FORMAT" and not keyword else upper or piece
        if not keyword:
            # FORMAT itself is not part of the text.
            end = stop
    statement.text = statement.bare = sql[:end]


def _parse_insert_select(statement: Statement, sql: bytes, stop: int, depth: int) -> None:
    statement.selects = True
    rest = ((k, s, e) for k, s, e in tokens(sql, stop) if k not in _SILENT)
    if not _calls_input(sql, stop):
        _parse_plain(statement, sql, rest, stop, depth)
        return
    # With input() the data follows the FORMAT name, so nothing behind it may be read as SQL.
    previous = b""
    for kind, begin, end in tokens(sql, stop):
        piece = sql[begin:end]
        if kind in _SILENT:
            continue
        upper = piece.upper() if kind == "word" else b""
        depth += (piece in _OPENING) - (piece in _CLOSING) if kind == "mark" else 0
        if depth == 0 and previous == b"FORMAT" and kind == "word":
            head = sql[:end]
            _parse_plain(
                statement,
                head,
                ((k, s, e) for k, s, e in tokens(head, stop) if k not in _SILENT),
                stop,
            )
            after = _AFTER_FORMAT.match(sql, end)
            statement.data_at = after.end() if after else end
            statement.text = statement.bare
            return
        previous = upper or piece
    _parse_plain(statement, sql, rest, stop, depth)


def _insert_after_with(sql: bytes, position: int) -> int:
    """Where INSERT INTO stands after a WITH clause; -1 if SELECT comes first, as it mostly does."""
    depth = 0
    insert_at = -1
    for kind, start, stop in tokens(sql, position):
        if kind in _SILENT:
            continue
        piece = sql[start:stop]
        word = piece.upper() if kind == "word" else b""
        if insert_at >= 0 and word == b"INTO":
            return insert_at
        if depth == 0 and word in (b"SELECT", b"FROM"):
            return -1
        insert_at = start if depth == 0 and word == b"INSERT" else -1
        depth += (piece in _OPENING) - (piece in _CLOSING) if kind == "mark" else 0
    return -1


def _calls_input(sql: bytes, position: int) -> bool:
    previous = b""
    for kind, start, stop in tokens(sql, position):
        if kind in _SILENT:
            continue
        piece = sql[start:stop]
        if piece == b"(" and previous == b"INPUT":
            return True
        previous = piece.upper() if kind == "word" else piece
        if previous == b"FORMAT":
            return False
    return False


def quote(value: bytes | str) -> bytes:
    """A string literal of ClickHouse that stands for ``value``."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return b"'" + raw.replace(b"\\", b"\\\\").replace(b"'", b"\\'") + b"'"


def quote_name(name: str) -> bytes:
    """A quoted identifier of ClickHouse."""
    raw = name.encode("utf-8", "surrogateescape")
    return b"`" + raw.replace(b"\\", b"\\\\").replace(b"`", b"\\`") + b"`"
