"""ClickHouse's HTTP interface: routes, credentials, parameters, formats, errors."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import pytest


@pytest.mark.parametrize("path", ["/ping", "/replicas_status", "/"])
def test_health_checks_need_no_credentials(server: Any, path: str) -> None:
    answer = server.request("GET", path)
    assert (answer.status, answer.text) == (200, "Ok.\n")


def test_other_paths_are_not_found(server: Any) -> None:
    answer = server.request("GET", "/nothing")
    assert answer.status == 404
    assert "There is no handle /nothing" in answer.text


def test_other_methods_are_not_implemented(server: Any) -> None:
    assert server.request("DELETE", "/").status == 501


# Credentials


def test_credentials_by_basic_authorization(server: Any) -> None:
    pair = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    answer = server.request("GET", "/?query=SELECT+1", headers={"Authorization": f"Basic {pair}"})
    assert answer.text == "1\n"


def test_credentials_by_parameters(server: Any) -> None:
    target = "/?user=app&password=pa+ss%2Fw%C3%B6rd%26%25&query=SELECT%201"
    assert server.request("GET", target).text == "1\n"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-ClickHouse-User": "app", "X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-User": "other", "X-ClickHouse-Key": "pa ss/wörd&%"},
        {"Authorization": "Basic nonsense"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic YTpi", "X-ClickHouse-User": "app"},
    ],
)
def test_wrong_credentials_get_403_and_code_516(server: Any, headers: dict[str, str]) -> None:
    answer = server.request("GET", "/?query=SELECT+1", headers=headers)
    assert (answer.status, answer.code) == (403, 516)
    assert "(AUTHENTICATION_FAILED) (version 26." in answer.text
    assert server.password not in answer.text


def test_the_refusal_is_worded_as_clickhouse_does(server: Any) -> None:
    answer = server.request("GET", "/?query=SELECT+1", headers={"X-ClickHouse-User": "eve"})
    assert answer.text == (
        "Code: 516. DB::Exception: eve: Authentication failed: password is incorrect, or there is "
        f"no user with such name. (AUTHENTICATION_FAILED) (version {server.version})\n"
    )


# Statements and parameters


def test_query_parameter_and_body_are_joined(server: Any) -> None:
    assert server.sql("SELECT number FROM", body="numbers(2)").text == "0\n1\n"


def test_a_query_may_come_by_get(server: Any) -> None:
    assert server.sql("SELECT 1", method="GET").text == "1\n"


def test_get_does_not_modify(server: Any) -> None:
    answer = server.sql("CREATE DATABASE by_get", method="GET")
    assert (answer.status, answer.code) == (500, 164)
    assert "method GET implies readonly" in answer.text


def test_sql_need_not_be_utf_8(server: Any) -> None:
    assert server.sql(b"SELECT hex('\xff\xfe')").text == "FFFE\n"


@pytest.mark.parametrize("sql", ["", "  ", "-- nothing\n", "/* nothing */"])
def test_an_empty_query_is_a_syntax_error(server: Any, sql: str) -> None:
    answer = server.sql(sql, body="")
    assert (answer.status, answer.code) == (400, 62)
    assert "Empty query" in answer.text


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1;\n-- x\nDROP TABLE t;"])
def test_a_second_statement_is_refused(server: Any, sql: str) -> None:
    answer = server.sql(sql)
    assert (answer.status, answer.code) == (400, 62)
    assert "Multi-statements are not allowed" in answer.text


@pytest.mark.parametrize("sql", ["SELECT ';'", "SELECT 1;", "SELECT 1;; -- end", "SELECT 1 -- ;\n"])
def test_a_semicolon_alone_makes_no_second_statement(server: Any, sql: str) -> None:
    assert server.sql(sql).status == 200


def test_a_misspelt_statement_is_a_syntax_error(server: Any) -> None:
    assert server.sql("SELECTT 1").code == 62


def test_other_parameters_are_settings_of_this_query_only(server: Any) -> None:
    assert server.rows("SELECT getSetting('max_block_size')", max_block_size=77) == "77\n"
    assert server.rows("SELECT getSetting('max_block_size')") != "77\n"


def test_an_unknown_setting_gets_404_and_code_115(server: Any) -> None:
    answer = server.sql("SELECT 1", no_such_setting=1)
    assert (answer.status, answer.code) == (404, 115)
    assert "no_such_setting" in answer.text


def test_a_setting_name_cannot_carry_sql(server: Any) -> None:
    assert server.sql("SELECT 1", **{"a = 1, b": "2"}).code == 115


def test_a_wrong_setting_value_is_an_error(server: Any) -> None:
    assert server.sql("SELECT 1", max_threads="many").code != 0


def test_settings_do_not_leak_between_requests(server: Any) -> None:
    server.rows("SET max_block_size = 33")
    assert server.rows("SELECT getSetting('max_block_size')") != "33\n"


def test_the_database_may_be_a_parameter_or_a_header(server: Any, database: str) -> None:
    assert server.rows("SELECT currentDatabase()", database=database) == f"{database}\n"
    answer = server.sql("SELECT currentDatabase()", headers={"X-ClickHouse-Database": database})
    assert answer.text == f"{database}\n"


def test_an_unknown_database_gets_404_and_code_81(server: Any) -> None:
    answer = server.sql("SELECT 1", database="no `such` 'one'")
    assert (answer.status, answer.code) == (404, 81)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("UInt8", "5", "5"),
        ("String", "it's \\\\ \\t é", "it\\'s \\\\ \\t é"),
        ("Array(String)", "['a','b\\'c']", "['a','b\\'c']"),
        ("Nullable(Int32)", "\\N", "\\N"),
        ("Date", "2024-02-29", "2024-02-29"),
    ],
)
def test_parameters_of_the_query(server: Any, kind: str, value: str, expected: str) -> None:
    assert server.rows(f"SELECT {{x:{kind}}}", param_x=value) == f"{expected}\n"


def test_a_missing_parameter_of_the_query_is_an_error(server: Any) -> None:
    assert server.sql("SELECT {x:UInt8}").code == 456


def test_an_identifier_may_be_a_parameter(server: Any) -> None:
    sql = "SELECT count() FROM {db:Identifier}.{table:Identifier}"
    assert server.rows(sql, param_db="system", param_table="one") == "1\n"


def test_roles_are_not_supported(server: Any) -> None:
    assert server.sql("SELECT 1", role="admin").code == 48


@pytest.mark.parametrize("name", ["compress", "decompress"])
def test_clickhouse_block_compression_is_refused_by_name(server: Any, name: str) -> None:
    answer = server.sql("SELECT 1", **{name: 1})
    assert (answer.status, answer.code) == (501, 48)
    assert f"{name}=1" in answer.text


# Formats and headers


def test_the_default_format_is_tab_separated(server: Any) -> None:
    answer = server.sql("SELECT 1, 'a'")
    assert answer.text == "1\ta\n"
    assert answer.headers["x-clickhouse-format"] == "TabSeparated"
    assert answer.headers["content-type"] == "text/tab-separated-values; charset=UTF-8"


def test_the_format_clause_wins_over_parameter_and_header(server: Any) -> None:
    header = {"X-ClickHouse-Format": "JSONEachRow"}
    assert server.sql("SELECT 1 AS a", headers=header).text == '{"a":1}\n'
    assert server.sql("SELECT 1 AS a", headers=header, default_format="CSV").text == "1\n"
    answer = server.sql("SELECT 1 AS a FORMAT XML", headers=header, default_format="CSV")
    assert answer.headers["x-clickhouse-format"] == "XML"
    assert answer.headers["content-type"] == "application/xml; charset=UTF-8"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("JSON", "application/json; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("Native", "application/octet-stream"),
        ("Pretty", "text/plain; charset=UTF-8"),
    ],
)
def test_the_content_type_follows_the_format(server: Any, name: str, kind: str) -> None:
    assert server.sql(f"SELECT 1 FORMAT {name}").headers["content-type"] == kind


def test_an_unknown_format_gets_code_73_once(server: Any) -> None:
    answer = server.sql("SELECT 1 FORMAT Nonsense")
    assert (answer.status, answer.code) == (404, 73)
    assert answer.text.count("DB::Exception") == answer.text.count("UNKNOWN_FORMAT") == 1


@pytest.mark.parametrize("name", ["TSVWithNames", "JSON", "Pretty", "Values", "XML", "Vertical"])
def test_formats_with_heads_are_one_document_however_long(server: Any, name: str) -> None:
    sql = f"SELECT number FROM numbers(150000) FORMAT {name}"
    many = server.sql(sql, max_block_size=1000, output_format_pretty_max_rows=200_000)
    one = server.sql(sql, max_block_size=200_000, output_format_pretty_max_rows=200_000)
    strip = (lambda t: t.partition('"statistics"')[0]) if name == "JSON" else str
    if name == "XML":
        strip = lambda t: t.partition("<statistics>")[0]
    assert strip(many.text) == strip(one.text)


@pytest.mark.parametrize("name", ["TSV", "CSV", "JSONEachRow", "TSKV", "JSONCompactEachRow"])
def test_streamed_formats_are_complete_and_in_order(server: Any, name: str) -> None:
    answer = server.sql(f"SELECT number AS n FROM numbers(300000) ORDER BY n FORMAT {name}")
    assert "transfer-encoding" in answer.headers or len(answer.body) < 1 << 20
    lines = answer.text.splitlines()
    assert len(lines) == 300_000
    assert "299999" in lines[-1]


def test_with_wait_end_of_query_the_result_has_a_length(server: Any) -> None:
    sql = "SELECT number FROM numbers(300000)"
    assert "content-length" not in server.sql(sql).headers
    assert int(server.sql(sql, wait_end_of_query=1).headers["content-length"]) > 1 << 20


def test_the_summary_counts_rows(server: Any) -> None:
    sql = "SELECT number FROM numbers(700000) WHERE number % 70000 = 0"
    answer = server.sql(sql, wait_end_of_query=1)  # without it the header is sent before the end
    summary = json.loads(answer.headers["x-clickhouse-summary"])
    assert all(isinstance(value, str) for value in summary.values())
    assert summary["result_rows"] == "10"
    assert 0 < int(summary["read_rows"]) <= 700_000  # the engine tells of its progress now and then


def test_the_query_id_comes_back_and_into_the_log_comment(server: Any) -> None:
    answer = server.sql("SELECT getSetting('log_comment')", query_id="my-id")
    assert answer.headers["x-clickhouse-query-id"] == "my-id"
    assert answer.text == "my-id\n"


def test_the_query_log_knows_the_query_id_as_log_comment(server: Any) -> None:
    server.rows("SELECT 1 AS for_the_log", query_id="logged-id")
    server.rows("SYSTEM FLUSH LOGS")
    sql = "SELECT DISTINCT query FROM system.query_log WHERE log_comment = 'logged-id'"
    assert server.rows(sql) == "SELECT 1 AS for_the_log\n"


def test_a_query_id_is_made_up_where_none_is_given(server: Any) -> None:
    ids = {server.sql("SELECT 1").headers["x-clickhouse-query-id"] for _ in range(3)}
    assert len(ids) == 3


def test_session_timezone_is_named_in_the_header(server: Any) -> None:
    answer = server.sql("SELECT 1", session_timezone="Europe/Paris")
    assert answer.headers["x-clickhouse-timezone"] == "Europe/Paris"


def test_statements_without_a_result_name_no_format(server: Any) -> None:
    assert "x-clickhouse-format" not in server.sql("SET max_threads = 1").headers
    assert "x-clickhouse-format" in server.sql("SELECT 1 WHERE 0").headers


# Compression


@pytest.mark.parametrize(
    ("accepted", "unpack"),
    [("gzip", gzip.decompress), ("deflate", zlib.decompress), ("x, gzip;q=0.5", gzip.decompress)],
)
@pytest.mark.parametrize("rows", [1, 300_000])
def test_results_are_packed_when_asked_for(
    server: Any, accepted: str, unpack: Any, rows: int
) -> None:
    answer = server.sql(
        f"SELECT number FROM numbers({rows})",
        headers={"Accept-Encoding": accepted},
        enable_http_compression=1,
    )
    assert answer.headers["content-encoding"] in accepted
    assert unpack(answer.body).count(b"\n") == rows


@pytest.mark.parametrize(
    ("accepted", "enabled"), [("gzip", 0), ("nothing-known", 1), ("gzip;q=0", 1), ("", 1)]
)
def test_results_are_plain_otherwise(server: Any, accepted: str, enabled: int) -> None:
    headers = {"Accept-Encoding": accepted}
    answer = server.sql("SELECT 1", headers=headers, enable_http_compression=enabled)
    assert "content-encoding" not in answer.headers
    assert answer.text == "1\n"


def test_a_packed_query_is_unpacked(server: Any) -> None:
    body = gzip.compress(b"SELECT ") + gzip.compress(b"42")
    answer = server.request("POST", "/", body, {**server.basic, "Content-Encoding": "gzip"})
    assert answer.text == "42\n"


def test_codings_without_a_python_module_are_unpacked_by_the_engine(server: Any) -> None:
    import lzma

    headers = {**server.basic, "Content-Encoding": "xz"}
    assert server.request("POST", "/", lzma.compress(b"SELECT 42"), headers).text == "42\n"


def test_an_unknown_coding_is_named(server: Any) -> None:
    answer = server.sql("SELECT 1", headers={"Content-Encoding": "rot13"})
    assert answer.code == 89
    assert "rot13" in answer.text


@pytest.mark.parametrize(
    "body", [b"not gzip", gzip.compress(b"SELECT 1")[:-4]], ids=["no-gzip", "cut-off"]
)
def test_a_damaged_packed_body_is_an_error(server: Any, body: bytes) -> None:
    answer = server.request("POST", "/", body, {**server.basic, "Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (400, 6)


# Errors


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELEC", 400, 62, "SYNTAX_ERROR"),
        ("SELECT nope", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nope", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT nope()", 404, 46, "UNKNOWN_FUNCTION"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT toInt32('x')", 400, 6, "CANNOT_PARSE_TEXT"),
        ("BEGIN TRANSACTION", 501, 48, "NOT_IMPLEMENTED"),
    ],
)
def test_errors_keep_code_name_and_status(
    server: Any, sql: str, status: int, code: int, name: str
) -> None:
    answer = server.sql(sql)
    assert (answer.status, answer.code) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert answer.text.endswith(f"({name}) (version {server.version})\n")


def test_an_error_in_the_middle_is_marked_and_breaks_the_connection(server: Any) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sql = b"SELECT number, throwIf(number = 900000) FROM numbers(1000000)"
    headers = {name: value.encode() for name, value in server.basic.items()}
    connection.request("POST", "/?max_threads=1", sql, headers)
    response = connection.getresponse()
    assert response.status == 200
    tag = response.headers["X-ClickHouse-Exception-Tag"]
    with pytest.raises(http.client.IncompleteRead) as broken:
        response.read()
    connection.close()
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in broken.value.partial


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE USER u",
        "CREATE USER IF NOT EXISTS u IDENTIFIED BY 'x'",
        "create role r",
        "ALTER USER u",
        "DROP ROLE IF EXISTS r",
        "GRANT SELECT ON *.* TO u",
        "REVOKE ALL ON *.* FROM u",
        "CREATE ROW POLICY p ON t TO ALL",
        "CREATE QUOTA q",
        "CREATE SETTINGS PROFILE p",
        "SET ROLE r",
        "SET DEFAULT ROLE r TO u",
    ],
)
def test_access_control_is_refused_with_a_way_out(server: Any, sql: str) -> None:
    answer = server.sql(sql)
    assert (answer.status, answer.code) == (501, 48)
    assert "docker backend" in answer.text
    assert "`clickhouse` binary on PATH" in answer.text


def test_a_table_may_be_called_user(server: Any, database: str) -> None:
    server.rows(f"CREATE TABLE {database}.user (id UInt8) ENGINE = Memory")
    assert server.rows("SHOW TABLES", database=database) == "user\n"


# Files


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 INTO OUTFILE '/tmp/out.tsv'", 358),
        ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", 78),
        ("SELECT * FROM file('/etc/passwd', 'LineAsString')", 291),
        ("SELECT * FROM file('../../x', 'LineAsString')", 291),
    ],
)
def test_files_of_the_machine_are_out_of_reach(server: Any, sql: str, code: int) -> None:
    assert server.sql(sql).code == code


def test_file_means_user_files(server: Any) -> None:
    (server.directory / "user_files" / "in.csv").write_text("1,a\n")
    assert server.rows("SELECT * FROM file('in.csv', 'CSV', 'n UInt8, s String')") == "1\ta\n"


# Sessions


def test_a_session_keeps_temporary_tables_and_settings(server: Any) -> None:
    server.rows("CREATE TEMPORARY TABLE kept (n UInt8)", session_id="keeps")
    server.rows("INSERT INTO kept VALUES (7)", session_id="keeps")
    server.rows("SET max_block_size = 55", session_id="keeps")
    sql = "SELECT n, getSetting('max_block_size') FROM kept"
    assert server.rows(sql, session_id="keeps") == "7\t55\n"
    assert server.sql(sql).code == 60
    assert server.sql(sql, session_id="another").code == 60


def test_a_session_undoes_what_the_url_said(server: Any, database: str) -> None:
    server.rows("SET max_block_size = 55", session_id="undo")
    sql = "SELECT getSetting('max_block_size'), getSetting('max_threads'), currentDatabase()"
    first = server.rows(sql, session_id="undo")
    inside = server.rows(
        sql, session_id="undo", max_block_size=66, max_threads=1, database=database
    )
    assert inside == f"66\t1\t{database}\n"
    assert server.rows(sql, session_id="undo") == first


def test_use_lasts_in_a_session(server: Any, database: str) -> None:
    server.rows(f"USE {database}", session_id="use", database="default")
    assert server.rows("SELECT currentDatabase()", session_id="use") == f"{database}\n"
    server.rows("USE default", session_id="use")


def test_session_check_demands_an_existing_session(server: Any) -> None:
    answer = server.sql("SELECT 1", session_id="unseen", session_check=1)
    assert answer.code == 372


def test_a_closed_session_is_gone(server: Any) -> None:
    server.rows("SELECT 1", session_id="closing")
    server.rows("SELECT 1", session_id="closing", session_check=1, close_session=1)
    assert server.sql("SELECT 1", session_id="closing", session_check=1).code == 372


def test_a_session_ends_after_its_timeout(server: Any) -> None:
    import time

    server.rows("SELECT 1", session_id="short", session_timeout=1)
    time.sleep(1.05)
    assert server.sql("SELECT 1", session_id="short", session_check=1).code == 372


@pytest.mark.parametrize("timeout", ["soon", "3601"])
def test_an_invalid_session_timeout_is_refused(server: Any, timeout: str) -> None:
    assert server.sql("SELECT 1", session_id="x", session_timeout=timeout).code == 374


# External tables


def test_an_external_table_comes_with_the_request(server: Any) -> None:
    body = (
        b'--B\r\nContent-Disposition: form-data; name="query"\r\n\r\n'
        b"SELECT sum(n), {p:String} FROM ext\r\n"
        b'--B\r\nContent-Disposition: form-data; name="param_p"\r\n\r\nv\r\n'
        b'--B\r\nContent-Disposition: form-data; name="ext"; filename="x"\r\n'
        b"Content-Type: text/plain\r\n\r\n1\r\n2\r\n--B--\r\n"
    )
    headers = {**server.basic, "Content-Type": "multipart/form-data; boundary=B"}
    target = "/?ext_structure=n+UInt8&ext_format=CSV"
    assert server.request("POST", target, body, headers).text == "3\tv\n"


def test_a_broken_form_is_an_error(server: Any) -> None:
    headers = {**server.basic, "Content-Type": "multipart/form-data; boundary=B"}
    assert server.request("POST", "/", b"--B\r\nabc", headers).code == 36
