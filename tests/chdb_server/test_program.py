"""The program as a supervisor sees it: arguments, start, signals, exit codes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_says_on_one_line_that_it_is_ready(server: Any) -> None:
    lines = server.seen.decode().splitlines()
    assert lines == [
        f"chdb_server: listening on 127.0.0.1:{server.port} "
        f"(ClickHouse {server.version}, chdb-core)"
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_quickly_and_cleanly_on_a_signal(start: Any, number: signal.Signals) -> None:
    program = start()
    program.process.send_signal(number)
    assert program.process.wait(10) == 0


def test_ends_on_a_signal_while_a_query_runs(start: Any) -> None:
    program = start()
    with program.connection() as sock:
        body = b"SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))"
        head = f"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {program.user}\r\n"
        sock.sendall(head.encode() + b"X-ClickHouse-Key: " + program.password.encode())
        sock.sendall(b"\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        while program.rows("SELECT count() FROM system.processes") == "1\n":
            pass
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(10) == 0


def test_a_taken_port_gives_exit_code_98(launch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, error = launch(port=taken.getsockname()[1])
    assert code == 98
    assert error.count("\n") == 1
    assert "Address already in use" in error


def test_a_missing_configuration_is_named(launch: Any, tmp_path: Path) -> None:
    code, error = launch(config=tmp_path / "none.json")
    assert code == 2
    assert "cannot read the configuration" in error


def test_a_broken_configuration_is_reported_without_its_values(launch: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"password": "hidden-value", oops}')
    code, error = launch(config=path)
    assert code == 2
    assert "line 1" in error
    assert "hidden-value" not in error


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", 5),
        ("settings", [1]),
        ("settings", {"a<b": 1}),
        ("settings", {"max_threads": [1]}),
        ("max_execution_time", -1),
    ],
)
def test_a_wrong_field_of_the_configuration_is_named(
    launch: Any, field: str, value: object
) -> None:
    code, error = launch(**{field: value})
    assert code == 2
    assert "is wrong" in error


def test_an_unknown_setting_of_the_configuration_stops_the_start(launch: Any) -> None:
    code, error = launch(settings={"no_such_setting": "1"})
    assert code == 3
    assert "did not start" in error


def test_settings_of_the_configuration_hold_for_every_query(start: Any) -> None:
    program = start(settings={"max_threads": 1, "log_comment": "a <b> & 'c'", "readonly": False})
    assert program.rows("SELECT getSetting('max_threads')") == "1\n"
    assert program.rows("SELECT getSetting('log_comment') FORMAT TSVRaw") == "a <b> & 'c'\n"


def test_settings_of_mounted_profiles_hold_in_the_order_of_their_files(
    start: Any, tmp_path: Path
) -> None:
    profile = "<clickhouse><profiles><default>%s</default></profiles></clickhouse>"
    users = tmp_path / "users.d"
    users.mkdir()
    (users / "a.xml").write_text(profile % "<max_threads>3</max_threads><readonly>0</readonly>")
    (users / "b.xml").write_text(profile % "<max_threads>2</max_threads>")
    (users / "c.txt").write_text("not read")
    program = start(users=str(users))
    assert program.rows("SELECT getSetting('max_threads')") == "2\n"


def test_mounted_file_that_is_no_xml_is_named(launch: Any, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<clickhouse>")
    code, error = launch(users=str(tmp_path))
    assert code == 2
    assert "a.xml" in error


def test_the_configured_time_zone_is_the_servers(start: Any) -> None:
    program = start(timezone="Asia/Tokyo")
    answer = program.sql("SELECT timezone(), toDateTime(0)")
    assert answer.text == "Asia/Tokyo\t1970-01-01 09:00:00\n"
    assert answer.headers["x-clickhouse-timezone"] == "Asia/Tokyo"


def test_the_configured_database_exists_and_is_the_default(start: Any) -> None:
    program = start(database="my-app")
    assert program.rows("SELECT currentDatabase()") == "my-app\n"
    assert program.rows("SELECT currentDatabase()", database="default") == "default\n"
    assert program.rows("SELECT currentDatabase()", session_id="s") == "my-app\n"


def test_max_execution_time_of_the_configuration_limits_queries(start: Any) -> None:
    program = start(max_execution_time=0.5)
    answer = program.sql("SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))")
    assert (answer.status, answer.code) == (408, 159)
    assert "TIMEOUT_EXCEEDED" in answer.text


def test_runs_as_a_module(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "envkit.chdb_server", "--port", "x"],
        cwd=root,
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert b"--path needs a value" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_password_is_in_no_argument_environment_or_file_of_the_server(server: Any) -> None:
    process = Path(f"/proc/{server.process.pid}")
    secret = server.password.encode()
    assert secret not in (process / "cmdline").read_bytes()
    assert secret not in (process / "environ").read_bytes()
    for path in server.directory.rglob("*.xml"):
        assert secret not in path.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_neither_pandas_nor_pyarrow_is_loaded(server: Any) -> None:
    assert "pyarrow" not in Path(f"/proc/{server.process.pid}/maps").read_text()
