"""The lexer, and what it finds in a statement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envkit.chdb_server import sqltext

BLANKS = [
    " ",
    "\n",
    "\t",
    " -- c ; ' FORMAT x\n",
    "/* ; /* nested ' */ FORMAT */",
    "# x ;\n",
    "//;\n",
]
ATOMS = [
    *("a", "1", "1.5e-3", "0xFF", "'x'", "'it''s ; \\' FORMAT CSV'", '"q""uoted;"', "`b\\`;`"),
    *("$t$ ; ' $t$", "(1, 2)", "[1]", "{p:UInt8}", "x'AB'", "+", "=", ",", "number", "t.format"),
    *("\u2018curly ; \u2019", "x -> x"),
]  # fmt: skip

blanks = st.lists(st.sampled_from(BLANKS), min_size=1, max_size=3).map("".join)
body = st.lists(st.sampled_from(ATOMS), max_size=8).flatmap(
    lambda atoms: st.lists(blanks, min_size=len(atoms), max_size=len(atoms)).map(
        lambda gaps: "".join(gap + atom for gap, atom in zip(gaps, atoms, strict=True))
    )
)


def parse(sql: str) -> sqltext.Statement:
    return sqltext.parse(sql.encode())


@given(st.binary())
def test_tokens_cover_any_text_without_gap(sql: bytes) -> None:
    position = 0
    for _, start, end in sqltext.tokens(sql):
        assert start == position < end
        position = end
    assert position == len(sql)


@given(st.text(alphabet="'\"`\\$;/*-# \n(){}aFORMAT1.e", max_size=60))
def test_parsing_never_fails(sql: str) -> None:
    for head in ("", "INSERT INTO t ", "SELECT ", "INSERT INTO t SELECT * FROM input('') "):
        statement = parse(head + sql)
        assert statement.data_at is None or 0 <= statement.data_at <= len((head + sql).encode())


@pytest.mark.parametrize("quote", ["'", '"', "`", "/*", "$a$", "\u2018"])
def test_what_is_never_closed_is_read_in_linear_time(quote: str) -> None:
    assert parse("SELECT " + quote + "a\\'" * 100_000).verb == "SELECT"


@given(blanks, body, blanks)
def test_the_first_word_is_the_verb(before: str, rest: str, after: str) -> None:
    statement = parse(f"{before}seLect{rest}{after}")
    assert statement.verb == "SELECT"
    assert statement.second_at is None
    assert statement.reads_rows


@given(body, blanks, st.sampled_from(["CSV", "`CSV`"]), st.sampled_from(["", ";", " ; -- x"]))
def test_a_format_at_the_end_is_found(rest: str, gap: str, name: str, end: str) -> None:
    statement = parse(f"SELECT{rest} {gap}FORMAT{gap}{name}{end}")
    assert statement.format_name == "CSV"
    assert b"FORMAT CSV" not in statement.bare.replace(b"FORMAT CSV'", b"")
    assert sqltext.parse(statement.bare).format_name is None


@given(body)
def test_no_format_is_found_where_there_is_none(rest: str) -> None:
    assert parse(f"SELECT{rest} ").format_name is None


@given(body, blanks, body)
def test_a_second_statement_is_found(first: str, gap: str, second: str) -> None:
    sql = f"SELECT{first} ;{gap}DROP{second}"
    assert parse(sql).second_at == len(f"SELECT{first} ;{gap}".encode())


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SELECT 1 FORMAT JSON SETTINGS max_threads = 1", "JSON"),
        ("SELECT 1 SETTINGS max_threads = 1 FORMAT JSON", "JSON"),
        ("SELECT (SELECT 1 FORMAT CSV)", None),
        ("SELECT format FROM t", None),
        ("SELECT a AS format FORMAT TSV", "TSV"),
        ("SELECT format('{}', 1) FORMAT TSV", "TSV"),
        ("SELECT 1 FORMAT", None),
        ("(SELECT 1) UNION ALL (SELECT 2) FORMAT TSV", "TSV"),
        ("EXPLAIN SELECT 1 format Native", "Native"),
        ("FROM t SELECT a FORMAT CSV", "CSV"),
    ],
)
def test_formats(sql: str, name: str | None) -> None:
    assert parse(sql).format_name == name


@pytest.mark.parametrize(
    ("sql", "name", "data"),
    [
        ("INSERT INTO t VALUES (1)", "Values", " (1)"),
        ("INSERT INTO t (a, b) values(1)", "Values", "(1)"),
        ("INSERT INTO t FORMAT CSV\n1,2", "CSV", "1,2"),
        ("INSERT INTO t FORMAT CSV \r\n\n1", "CSV", "\n1"),
        ("INSERT INTO t FORMAT CSV;SELECT", "CSV", ""),
        ("INSERT INTO t SETTINGS a = 'VALUES', b=1 FORMAT TSV x", "TSV", "x"),
        ("INSERT INTO format VALUES (1)", "Values", " (1)"),
        ("INSERT INTO values FORMAT CSV 1", "CSV", "1"),
        ("INSERT INTO db.format FORMAT CSV 1", "CSV", "1"),
        ("INSERT INTO t (format, `values`) VALUES ('; SELECT')", "Values", " ('; SELECT')"),
        ("INSERT INTO FUNCTION remote('x', d.t) (a) VALUES (1)", "Values", " (1)"),
        ("INSERT INTO {t:Identifier} VALUES (1)", "Values", " (1)"),
        ("INSERT t VALUES (1)", "Values", " (1)"),
        ("WITH 1 AS y, (SELECT 2) AS z INSERT INTO t FORMAT TSV\nx;\n", "TSV", "x;\n"),
    ],
)
def test_where_the_data_of_an_insert_begin(sql: str, name: str, data: str) -> None:
    statement = parse(sql)
    assert statement.format_name == name
    assert statement.data_at is not None
    assert sql[statement.data_at :] == data
    assert statement.takes_data


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT 1",
        "INSERT INTO t (a) SELECT 1 FORMAT CSV",
        "INSERT INTO t (SELECT 1)",
        "INSERT INTO t WITH 1 AS x SELECT x",
        "INSERT INTO t SELECT * FROM values('a Int', 1)",
        "WITH 1 AS x INSERT INTO t SELECT x",
    ],
)
def test_an_insert_from_a_select_takes_no_data(sql: str) -> None:
    statement = parse(sql)
    assert statement.selects
    assert not statement.takes_data


@given(st.binary())
def test_a_quoted_text_is_one_string_token(value: bytes) -> None:
    literal = sqltext.quote(value)
    assert list(sqltext.tokens(literal)) == [("string", 0, len(literal))]


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_a_quoted_name_is_one_token(value: str) -> None:
    name = sqltext.quote_name(value)
    assert list(sqltext.tokens(name)) == [("quoted", 0, len(name))]
