"""clickhouse-connect in everyday use."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import importlib.util
import ipaddress
import uuid
from typing import Any
from zoneinfo import ZoneInfo

import pytest

PARIS = ZoneInfo("Europe/Paris")
NOON = datetime.datetime(2024, 7, 1, 12, 0, tzinfo=datetime.UTC)


def test_the_client_negotiates_a_protocol_revision(client: Any) -> None:
    assert client.protocol_version > 0
    assert client.server_version.startswith("26.")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("UInt64", 2**63),
        ("Int128", -(10**30)),
        ("Float64", 1.5),
        ("String", "naïve\t'x'\\"),
        ("FixedString(3)", b"abc"),
        ("Nullable(String)", None),
        ("LowCardinality(String)", "low"),
        ("LowCardinality(Nullable(String))", None),
        ("Array(Array(Int32))", [[1, 2], []]),
        ("Map(String, Int32)", {"a": 1, "b": 2}),
        ("Tuple(Int32, String)", (1, "a")),
        ("Decimal(18, 4)", decimal.Decimal("1.5000")),
        ("UUID", uuid.UUID(int=7)),
        ("Enum8('a' = 1, 'b' = 2)", "b"),
        ("Bool", True),
        ("Date", datetime.date(2024, 2, 29)),
        ("Date32", datetime.date(1925, 2, 28)),
        ("DateTime('Europe/Paris')", NOON),
        ("Nullable(DateTime('Europe/Paris'))", NOON),
        ("DateTime64(3, 'Asia/Tokyo')", NOON),
        ("IPv4", ipaddress.IPv4Address("1.2.3.4")),
        ("IPv6", ipaddress.IPv6Address("::1")),
        ("JSON", {"a": {"b": 1}}),
        ("Variant(Int64, String)", "x"),
    ],
)
def test_values_come_back_as_they_went_in(client: Any, kind: str, value: object) -> None:
    client.command(f"CREATE TABLE t (id UInt8, v {kind}) ENGINE = MergeTree ORDER BY id")
    summary = client.insert("t", [[1, value], [2, value]], column_names=["id", "v"])
    assert summary.written_rows == 2
    result = client.query("SELECT v FROM t ORDER BY id")
    assert [row[0] for row in result.result_rows] == [value, value]


def test_time_zones_of_columns_survive(client: Any) -> None:
    client.command(
        "CREATE TABLE t (s String, a DateTime('Europe/Paris'), b DateTime('Asia/Tokyo'), "
        "c DateTime, d Array(DateTime('Asia/Tokyo'))) ENGINE = Memory"
    )
    client.insert("t", [["x", NOON, NOON, NOON, [NOON]]])
    row = client.query("SELECT * FROM t").result_rows[0]
    assert row[1].tzinfo == PARIS
    assert row[2].tzinfo == ZoneInfo("Asia/Tokyo")
    assert row[1] == row[2] == row[4][0] == NOON
    assert row[3] == NOON.replace(tzinfo=None)


def test_time_zones_survive_parameters_common_tables_and_comments(client: Any) -> None:
    sql = "WITH {z:String} AS z SELECT toDateTime(0, 'Europe/Paris') AS `a b`, z -- end"
    row = client.query(sql, parameters={"z": "q"}).result_rows[0]
    assert row == (datetime.datetime(1970, 1, 1, 1, 0, tzinfo=PARIS), "q")


def test_time_zones_survive_data_that_look_like_a_column_header(client: Any) -> None:
    sql = "SELECT toDateTime(0, 'Europe/Paris') AS d, '\\x01d\\x08DateTime' AS s"
    row = client.query(sql).result_rows[0]
    assert row[0].timestamp() == 0
    assert row[1] == "\x01d\x08DateTime"


def test_many_blocks_are_one_result(client: Any) -> None:
    sql = "SELECT number, toString(number), toDateTime(number, 'Europe/Paris') FROM numbers(200000)"
    result = client.query(sql, settings={"max_block_size": 10_000})
    assert result.row_count == 200_000
    assert result.result_rows[-1][:2] == (199_999, "199999")


def test_results_stream(client: Any) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(500000)") as blocks:
        assert sum(len(block) for block in blocks) == 500_000


def test_an_error_in_a_stream_is_raised(client: Any) -> None:
    from clickhouse_connect.driver.exceptions import StreamFailureError

    sql = "SELECT number, throwIf(number = 900000, 'in the middle') FROM numbers(1000000)"
    with (
        pytest.raises(StreamFailureError, match="in the middle"),
        client.query_row_block_stream(sql, settings={"max_threads": 1}) as blocks,
    ):
        for _ in blocks:
            pass


def test_commands_return_values_or_summaries(client: Any) -> None:
    assert client.command("SELECT 5") == 5
    assert client.command("SELECT 'a', 'b'") == ["a", "b"]
    assert client.command("CREATE TABLE t (n Int32) ENGINE = Memory").written_rows == 0
    assert client.command("INSERT INTO t SELECT number FROM numbers(3)").written_rows == 3
    assert client.command("SHOW TABLES") == "t"
    assert client.command("EXISTS TABLE t") == 1


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE t", "EXPLAIN SELECT 1", "SHOW DATABASES"])
def test_statements_that_show_things_can_be_queried(client: Any, sql: str) -> None:
    client.command("CREATE TABLE t (n Int32) ENGINE = Memory")
    assert client.query(sql).row_count > 0


def test_an_empty_result_has_no_rows(client: Any) -> None:
    assert client.query("SELECT 1 WHERE 0").result_rows == []


def test_data_frames(client: Any) -> None:
    pandas = pytest.importorskip("pandas")
    client.command("CREATE TABLE t (n Int32, s String) ENGINE = Memory")
    client.insert_df("t", pandas.DataFrame({"n": [1, 2], "s": ["a", "b"]}))
    assert client.query_df("SELECT * FROM t ORDER BY n").to_dict("list") == {
        "n": [1, 2],
        "s": ["a", "b"],
    }


def test_arrow(client: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    client.command("CREATE TABLE t (n Int32, s String) ENGINE = Memory")
    client.insert_arrow("t", pyarrow.table({"n": [1, 2], "s": ["a", "b"]}))
    table = client.query_arrow("SELECT * FROM t ORDER BY n", use_strings=True)
    assert table.to_pydict() == {"n": [1, 2], "s": ["a", "b"]}


def test_raw_queries_and_inserts(client: Any) -> None:
    client.command("CREATE TABLE t (n Int32, s String) ENGINE = Memory")
    client.raw_insert("t", ["n", "s"], "1\ta\n", fmt="TSV")
    client.raw_insert("t", ["n", "s"], b'{"n":2,"s":"b"}', fmt="JSONEachRow")
    assert client.raw_query("SELECT * FROM t ORDER BY n", fmt="CSV") == b'1,"a"\n2,"b"\n'


@pytest.mark.parametrize("coding", ["lz4", "zstd", "gzip"])
def test_compression_both_ways(server: Any, database: str, coding: str) -> None:
    import clickhouse_connect
    from clickhouse_connect.driver.compression import available_compression

    if coding not in available_compression:
        pytest.skip(f"the client has no module for {coding}")
    client = clickhouse_connect.get_client(dsn=server.dsn, database=database, compress=coding)
    client.command("CREATE TABLE t (n Int64) ENGINE = Memory")
    client.insert("t", [[n] for n in range(100_000)])
    assert sum(client.query("SELECT n FROM t").result_columns[0]) == sum(range(100_000))
    client.close()


def test_parameters_are_bound_by_the_server(client: Any) -> None:
    row = client.query(
        "SELECT {a:Int32}, {b:String}, {c:Array(String)}, {d:DateTime}",
        parameters={"a": 5, "b": "x'\\\n\ty", "c": ["a", "b'"], "d": NOON},
    ).result_rows[0]
    assert row == (5, "x'\\\n\ty", ["a", "b'"], NOON.replace(tzinfo=None))


def test_the_client_keeps_its_session(client: Any) -> None:
    client.command("CREATE TEMPORARY TABLE mine (n Int32)")
    client.insert("mine", [[1], [2]], column_names=["n"])
    assert client.query("SELECT sum(n) FROM mine").result_rows == [(3,)]


def test_external_data(client: Any) -> None:
    from clickhouse_connect.driver.external import ExternalData

    data = ExternalData(file_name="e.csv", data=b"1,a\n2,b\n", fmt="CSV", types="UInt8,String")
    assert client.query("SELECT * FROM e", external_data=data).result_rows == [(1, "a"), (2, "b")]


def test_errors_carry_clickhouse_codes(client: Any) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    with pytest.raises(DatabaseError, match=r"code: 60.*UNKNOWN_TABLE"):
        client.query("SELECT * FROM none")


def test_a_wrong_password_is_refused(server: Any) -> None:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import DatabaseError

    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(
            host="127.0.0.1", port=server.port, username="app", password="wrong"
        )


def test_the_async_client(server: Any, database: str) -> None:
    if importlib.util.find_spec("aiohttp") is None:
        pytest.skip("the async client needs aiohttp: pip install 'clickhouse-connect[async]'")
    import clickhouse_connect

    async def use() -> list[int]:
        async with await clickhouse_connect.get_async_client(
            dsn=server.dsn, database=database, autogenerate_session_id=False
        ) as client:
            await client.command("CREATE TABLE t (n Int32) ENGINE = Memory")
            await client.insert("t", [[n] for n in range(10)], column_names=["n"])
            queries = (client.query(f"SELECT sum(n) + {n}, sleep(0.02) FROM t") for n in range(8))
            found = await asyncio.gather(*queries)
        return [result.result_rows[0][0] for result in found]

    assert asyncio.run(use()) == [45 + n for n in range(8)]
