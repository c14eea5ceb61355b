"""Rows on their way in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def table(server: Any, database: str) -> str:
    name = f"{database}.t"
    server.rows(f"CREATE TABLE {name} (n Int32, s String) ENGINE = MergeTree ORDER BY n")
    return name


def content(server: Any, table: str) -> str:
    text: str = server.rows(f"SELECT n, s FROM {table} ORDER BY n, s")
    return text


@pytest.mark.parametrize(
    ("sql", "body"),
    [
        ("INSERT INTO {t} VALUES (1, 'a;b'), (2, 'c')", None),
        ("INSERT INTO {t} VALUES (1, 'a;b'), (1+1, 'c');", None),
        ("INSERT INTO {t} VALUES", "(1, 'a;b'), (2, 'c')"),
        ("INSERT INTO {t}", "VALUES (1, 'a;b'), (2, 'c')"),
        ("INSERT INTO {t} FORMAT CSV\n1,a;b\n2,c\n", None),
        ("INSERT INTO {t} (s, n) FORMAT CSV", "a;b,1\nc,2"),
        ("INSERT INTO {t} (* EXCEPT(s), s) FORMAT TSV", "1\ta;b\n2\tc\n"),
        (
            "INSERT INTO {t} SETTINGS async_insert = 1 FORMAT JSONEachRow",
            '{"n":1,"s":"a;b"}{"n":2,"s":"c"}',
        ),
        ("INSERT INTO TABLE {t} FORMAT RowBinary", b"\1\0\0\0\3a;b\2\0\0\0\1c"),
        ("INSERT INTO {t} SELECT number + 1, ['a;b', 'c'][number + 1] FROM numbers(2)", None),
        (
            "INSERT INTO {t} WITH 1 AS x SELECT number + x, if(number = 1, 'c', 'a;b') "
            "FROM numbers(2)",
            None,
        ),
        ("WITH 1 AS x INSERT INTO {t} FORMAT CSV\n1,a;b\n2,c", None),
        ("INSERT INTO {t} (SELECT number + 1, if(number = 1, 'c', 'a;b') FROM numbers(2))", None),
        (
            "INSERT INTO {t} SELECT x + 1, y FROM input('x Int32, y String') FORMAT CSV",
            "0,a;b\n1,c",
        ),
        (
            "INSERT INTO {t} SELECT x, y FROM input('x Int32, y String') FORMAT CSV\n1,a;b\n2,c",
            None,
        ),
    ],
)
def test_every_way_to_spell_an_insert(server: Any, table: str, sql: str, body: Any) -> None:
    answer = server.sql(sql.replace("{t}", table), body)
    assert answer.status == 200, answer.text
    assert content(server, table) == "1\ta;b\n2\tc\n"


def test_the_summary_counts_what_was_written(server: Any, table: str) -> None:
    answer = server.sql(f"INSERT INTO {table} FORMAT CSV", "1,a\n2,b\n")
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert summary["written_rows"] == "2"
    assert int(summary["written_bytes"]) > 0


def test_parameters_reach_the_values(server: Any, table: str) -> None:
    server.rows(f"INSERT INTO {table} VALUES ({{n:Int32}}, {{s:String}})", param_n=5, param_s="x'y")
    assert content(server, table) == "5\tx\\'y\n"


def test_the_table_may_be_a_parameter(server: Any, table: str) -> None:
    server.sql("INSERT INTO {t:Identifier} FORMAT CSV", "1,a", param_t=table.split(".")[1],
               database=table.split(".")[0])  # fmt: skip
    assert content(server, table) == "1\ta\n"


@pytest.mark.parametrize("name", ["format", "values", "select"])
def test_a_table_may_have_a_keyword_for_a_name(server: Any, database: str, name: str) -> None:
    table = f"{database}.`{name}`"
    server.rows(f"CREATE TABLE {table} (n Int32) ENGINE = Memory")
    server.rows(f"INSERT INTO {table} VALUES (1)")
    assert server.rows(f"SELECT n FROM {table}") == "1\n"


def test_a_chunked_packed_body_streams_into_the_table(server: Any, table: str) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, 200_000, 20_000):
            rows = "".join(f"{n},row {n}\n" for n in range(start, start + 20_000))
            yield gzip.compress(rows.encode())

    headers = {**server.basic, "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
    target = f"/?query=INSERT+INTO+{table}+FORMAT+CSV"
    answer = server.request("POST", target, pieces(), headers, encode_chunked=True)
    assert answer.status == 200, answer.text
    assert server.rows(f"SELECT count(), max(n) FROM {table}") == "200000\t199999\n"


def test_a_statement_and_many_rows_in_one_body(server: Any, table: str) -> None:
    rows = ",".join(f"({n}, 'row {n}')" for n in range(150_000))
    assert server.sql(f"INSERT INTO {table} VALUES {rows}").status == 200
    assert server.rows(f"SELECT count() FROM {table}") == "150000\n"


@pytest.mark.parametrize("name", ["Parquet", "Arrow", "ORC", "Native", "JSON", "CSVWithNames"])
def test_formats_come_back_as_they_went_out(server: Any, table: str, name: str) -> None:
    packed = server.sql(f"SELECT toInt32(number) AS n, 'x' AS s FROM numbers(3) FORMAT {name}")
    answer = server.sql(f"INSERT INTO {table} FORMAT {name}", packed.body)
    assert answer.status == 200, answer.text
    assert content(server, table) == "0\tx\n1\tx\n2\tx\n"


def test_bad_rows_are_an_error_and_nothing_is_written(server: Any, table: str) -> None:
    answer = server.sql(f"INSERT INTO {table} FORMAT CSV", "1,a\nxx,b\n")
    assert answer.status == 400
    assert content(server, table) == ""


def test_an_insert_into_no_table_is_an_error(server: Any, database: str) -> None:
    answer = server.sql(f"INSERT INTO {database}.none FORMAT CSV", "1,a\n" * 300_000)
    assert (answer.status, answer.code) == (404, 60)


def test_an_unknown_input_format_is_an_error(server: Any, table: str) -> None:
    assert server.sql(f"INSERT INTO {table} FORMAT Nonsense", "1").code == 73


def test_no_temporary_file_stays(server: Any, table: str) -> None:
    server.sql(f"INSERT INTO {table} SELECT x, '' FROM input('x Int32') FORMAT CSV", "1\n2\n")
    server.sql(f"INSERT INTO {table} SELECT x, '' FROM input('x Int32') FORMAT CSV", "bad\n")
    assert list((server.directory / "tmp").iterdir()) == []
