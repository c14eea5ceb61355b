"""HTTP/1.1 on the wire, as RFC 9112 wants it."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest

CLOSE = b"Connection: close\r\n\r\n"


def credentials(server: Any) -> bytes:
    pair = base64.b64encode(f"{server.user}:{server.password}".encode())
    return b"Host: x\r\nAuthorization: Basic " + pair + b"\r\n"


def post(server: Any, body: bytes, *more: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\n" + credentials(server) + b"".join(more)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read_one(sock: socket.socket) -> bytes:
    """One response that has a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        piece = sock.recv(65536)
        assert piece, body
        body += piece
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /ping\r\n\r\n",
        b"GET ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get /ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/1.1\nHost: x\n\n",
        b"GET /ping HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_400_and_the_end(server: Any, request_bytes: bytes) -> None:
    assert server.exchange(request_bytes).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /ping HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1001 + b"\r\n", 431),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 1_100_000, 414),
    ],
)
def test_what_is_too_much_gets_its_status(server: Any, request_bytes: bytes, status: int) -> None:
    assert server.exchange(request_bytes).startswith(b"HTTP/1.1 %d " % status)


def test_a_connection_serves_many_requests(server: Any) -> None:
    with server.connection() as sock:
        for number in range(5):
            sock.sendall(post(server, b"SELECT %d" % number))
            assert read_one(sock).endswith(b"\r\n\r\n%d\n" % number)


def test_pipelined_requests_are_answered_in_order(server: Any) -> None:
    data = post(server, b"SELECT 1") + post(server, b"SELECT 2", b"Connection: close\r\n")
    received = server.exchange(data)
    assert received.count(b"HTTP/1.1 200 ") == 2
    assert received.index(b"\r\n\r\n1\n") < received.index(b"\r\n\r\n2\n")


def test_a_connection_survives_a_refused_request_with_a_body(server: Any) -> None:
    with server.connection() as sock:
        body = b"x" * 500_000
        head = b"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: nobody\r\n"
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert read_one(sock).startswith(b"HTTP/1.1 403 ")
        sock.sendall(post(server, b"SELECT 1"))
        assert read_one(sock).endswith(b"1\n")


def test_connection_close_is_honoured(server: Any) -> None:
    assert b"\r\nConnection: Close\r\n" in server.exchange(
        b"GET /ping HTTP/1.1\r\nHost: x\r\n" + CLOSE
    )


def test_http_1_0_is_answered_and_closed(server: Any) -> None:
    assert server.exchange(b"GET /ping HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nOk.\n")


def test_http_1_0_gets_long_results_without_chunks(server: Any) -> None:
    body = b"SELECT number FROM numbers(400000)"
    head = b"POST / HTTP/1.0\r\n" + credentials(server)
    received = server.exchange(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b"chunked" not in received[:2000]
    assert received.partition(b"\r\n\r\n")[2] == b"".join(b"%d\n" % n for n in range(400_000))


def test_the_body_may_come_in_chunks(server: Any) -> None:
    head = b"POST / HTTP/1.1\r\n" + credentials(server) + b"Transfer-Encoding: chunked\r\n" + CLOSE
    received = server.exchange(head + b"4;ext=1\r\nSELE\r\n5\r\nCT 42\r\n0\r\nTrailer: x\r\n\r\n")
    assert received.endswith(b"\r\n\r\n42\n")


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"4\r\nSELECT 1\r\n0\r\n\r\n", b"-1\r\n"])
def test_broken_chunks_get_400(server: Any, chunks: bytes) -> None:
    head = b"POST / HTTP/1.1\r\n" + credentials(server) + b"Transfer-Encoding: chunked\r\n\r\n"
    assert server.exchange(head + chunks).startswith(b"HTTP/1.1 400 ")


def test_the_body_is_asked_for_when_the_client_expects_it(server: Any) -> None:
    with server.connection() as sock:
        head = b"POST / HTTP/1.1\r\n" + credentials(server)
        sock.sendall(head + b"Expect: 100-continue\r\nContent-Length: 8\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"SELECT 1")
        assert read_one(sock).endswith(b"1\n")


def test_a_refused_client_is_not_asked_for_its_body(server: Any) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: nobody\r\n"
    received = server.exchange(head + b"Expect: 100-continue\r\nContent-Length: 8\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("path", [b"/ping", b"/"])
def test_head_gets_no_body(server: Any, path: bytes) -> None:
    received = server.exchange(b"HEAD " + path + b" HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert b"Content-Length: 4\r\n" in received
    assert received.endswith(b"\r\n\r\n")


def test_the_absolute_form_of_a_target_is_understood(server: Any) -> None:
    received = server.exchange(b"GET http://x/ping HTTP/1.1\r\nHost: x\r\n" + CLOSE)
    assert received.endswith(b"Ok.\n")


def test_post_without_a_length_gets_411(server: Any) -> None:
    received = server.exchange(b"POST / HTTP/1.1\r\n" + credentials(server) + CLOSE)
    assert received.startswith(b"HTTP/1.1 411 ")


def test_a_query_id_cannot_smuggle_a_header(server: Any) -> None:
    answer = server.sql("SELECT 1", query_id="a\r\nX-Evil: 1")
    assert answer.status == 200
    assert "x-evil" not in answer.headers
