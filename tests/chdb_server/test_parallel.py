"""Many clients at a time, and clients that go away."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

ENDLESS = "SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))"


def running(server: Any, mark: str) -> bool:
    sql = f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%'"
    sql += " AND query NOT LIKE '%system.processes%'"
    return bool(server.rows(sql) != "0\n")


def wait_until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def send(sock: Any, server: Any, sql: str) -> None:
    body = sql.encode()
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {server.user}\r\n"
    head += f"X-ClickHouse-Key: {server.password}\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)


def test_sixteen_clients_at_a_time(server: Any, database: str) -> None:
    server.rows(f"CREATE TABLE {database}.t (n Int32) ENGINE = MergeTree ORDER BY n")

    def work(number: int) -> str:
        server.rows(f"INSERT INTO {database}.t VALUES ({number})")
        text: str = server.rows("SELECT {n:Int32}, getSetting('max_block_size')",
                                param_n=number, max_block_size=1000 + number)  # fmt: skip
        return text

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(64)))
    assert results == [f"{number}\t{1000 + number}\n" for number in range(64)]
    assert server.rows(f"SELECT count(), sum(n) FROM {database}.t") == "64\t2016\n"


def test_a_slow_query_does_not_hold_up_others(server: Any) -> None:
    with server.connection() as sock:
        send(sock, server, "SELECT sleep(2)")
        began = time.monotonic()
        assert server.rows("SELECT 1") == "1\n"
        assert time.monotonic() - began < 1


def test_a_session_serves_one_query_at_a_time(server: Any) -> None:
    slow = threading.Thread(
        target=server.rows, args=("SELECT sleep(1), 'locks it'",), kwargs={"session_id": "one"}
    )
    slow.start()
    wait_until(lambda: running(server, "locks it"))
    answer = server.sql("SELECT 1", session_id="one")
    slow.join()
    assert answer.code == 373
    assert "SESSION_IS_LOCKED" in answer.text
    assert server.rows("SELECT 1", session_id="one") == "1\n"


@pytest.mark.parametrize("kind", ["silent", "streaming", "insert"])
def test_the_query_of_a_client_that_went_away_is_killed(
    server: Any, database: str, kind: str
) -> None:
    sql = {
        "silent": ENDLESS + " AND 'silent' != ''",
        "streaming": "SELECT number, 'streaming' FROM system.numbers",
        "insert": f"INSERT INTO {database}.t SELECT count() FROM system.numbers "
        "WHERE NOT ignore(sipHash64(number), 'insert')",
    }[kind]
    server.rows(f"CREATE TABLE {database}.t (n UInt64) ENGINE = Memory")
    with server.connection() as sock:
        send(sock, server, sql)
        wait_until(lambda: running(server, f"%{kind}%"))
    wait_until(lambda: not running(server, f"%{kind}%"))


def test_a_trickling_result_arrives_while_the_query_runs(server: Any) -> None:
    sql = "SELECT sleepEachRow(0.05), number FROM numbers(40) SETTINGS max_block_size = 1"
    with server.connection() as sock:
        began = time.monotonic()
        send(sock, server, sql)
        assert b"0\t0\n" in sock.recv(65536) + sock.recv(65536)
        assert time.monotonic() - began < 1.8


def test_max_execution_time_stops_a_query(server: Any) -> None:
    answer = server.sql(ENDLESS, max_execution_time=0.3)
    assert (answer.status, answer.code) == (408, 159)


def test_kill_query_reaches_queries_of_others(server: Any) -> None:
    killed: list[Any] = []
    victim = threading.Thread(
        target=lambda: killed.append(server.sql(ENDLESS, log_comment="victim"))
    )
    victim.start()
    wait_until(lambda: running(server, "sipHash64"))
    server.rows("KILL QUERY WHERE Settings['log_comment'] = 'victim' ASYNC")
    victim.join(10)
    assert killed[0].code == 394
