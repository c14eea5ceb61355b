"""Files of many statements, cut and run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envkit.errors import TemplateFailed, TemplateShared
from envkit.services.clickhouse_statements import run, statements
from envkit.services.spec import Address, Namespace

Make = Callable[..., Namespace]
Ask = Callable[[Namespace, str], str]


_CSV = "INSERT INTO t FORMAT CSV\n1,it's;\n2,b;"
_TSV = "INSERT INTO t FORMAT TSV\r\n1\t;"
_JSON = """INSERT INTO t FORMAT JSONEachRow {"a":"it's;"}\n\n{"a":1}"""
_VALUES = "INSERT INTO t VALUES (1, 'a;b'),\n\n(2, ');')"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" -- nothing\n ; ;/* at ; all */", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;\n# two\nSELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';', `;`, \";\" -- ;\n, 1; x", ["SELECT ';', `;`, \";\" -- ;\n, 1", "x"]),
        ("SELECT 'it''s;\\';'; x", ["SELECT 'it''s;\\';'", "x"]),
        ("SELECT $$a;b$$, $t$;$$;$t$; x", ["SELECT $$a;b$$, $t$;$$;$t$", "x"]),
        ("SELECT /* a /* nested; */ ; */ 1; x", ["SELECT /* a /* nested; */ ; */ 1", "x"]),
        ("INSERT INTO t SELECT 1; x", ["INSERT INTO t SELECT 1", "x"]),
        (f"{_VALUES};\nx", [_VALUES, "x"]),
        (f"{_JSON};\nx", [_JSON, "x"]),
        (f"{_CSV}\n\nSELECT 1; x", [_CSV, "SELECT 1", "x"]),
        (f"{_TSV}\r\n\r\nSELECT 1", [_TSV, "SELECT 1"]),
        ("SELECT 'unclosed; SELECT 2;", ["SELECT 'unclosed; SELECT 2;"]),
        ("SELECT 'ü;😀'; SELECT 'é'", ["SELECT 'ü;😀'", "SELECT 'é'"]),
    ],
)
def test_statements_end_where_clickhouse_ends_them(text: str, expected: list[str]) -> None:
    assert list(statements(text)) == expected


_PIECES = st.lists(
    st.sampled_from(
        [
            *("SELECT", " ", "\n", "1", "a", "'x;\\'y'", "'it''s;'", '"q;"', "`b;`", "$$;$$"),
            *("(", ")", "-- c;\n", "/* ; */", "# ;\n", ",", "+", "'ü'"),
        ]
    ),
    min_size=1,
).map(lambda pieces: "s " + " ".join(pieces).strip())


@given(st.lists(_PIECES))
def test_what_is_joined_by_semicolons_is_cut_there(parts: list[str]) -> None:
    text = "\n;".join(parts)
    # A comment at the very end belongs to its statement, which ends with what is not white space.
    assert list(statements(text)) == [part.strip() for part in parts]


def test_statements_run_in_one_session(server: Address, make: Make, ask: Ask) -> None:
    namespace = make()
    text = """
        SET max_insert_block_size = 77;
        CREATE TABLE t (id UInt64, text String) ENGINE = MergeTree ORDER BY id; -- first
        CREATE TEMPORARY TABLE temporary AS SELECT getSetting('max_insert_block_size') AS n;
        INSERT INTO t SELECT n, 'a;b' FROM temporary;
        INSERT INTO t FORMAT CSV
1,"it's;"

        INSERT INTO t VALUES (2, 'c');
    """
    run(server, namespace.database, text, "tables.sql")
    assert ask(namespace, "SELECT groupArray(text) FROM (SELECT * FROM t ORDER BY id)") == (
        "['it\\'s;','c','a;b']"
    )


def test_what_is_refused_is_told_with_its_line(server: Address, make: Make, ask: Ask) -> None:
    namespace = make()
    text = "CREATE TABLE t (a Int32) ENGINE = Memory;\n\n-- wrong:\nCREATE TABEL u (a Int32);\n"
    with pytest.raises(TemplateFailed, match="line 4: ClickHouse refused CREATE TABEL u") as caught:
        run(server, namespace.database, text, "tables.sql")
    assert "Syntax error" in caught.value.detail
    assert ask(namespace, "SELECT count() FROM t") == "0"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE FUNCTION f AS x -> x",
        "create database if not exists other",
        "CREATE NAMED COLLECTION c AS a = 1",
        "USE default",
        "GRANT SELECT ON *.* TO default",
        "CREATE ROW POLICY p ON t USING 1 TO ALL",
        "ALTER USER default IDENTIFIED BY 'x'",
        "CREATE SETTINGS PROFILE p SETTINGS max_threads = 1",
    ],
)
def test_what_is_about_the_whole_server_is_not_run(
    server: Address, make: Make, statement: str
) -> None:
    with pytest.raises(TemplateShared, match="line 2"):
        run(server, make().database, f"SELECT 1;\n/* a */ {statement};", "tables.sql")
