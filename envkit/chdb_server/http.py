"""HTTP/1.1 on threads: requests in, responses out, nothing known about ClickHouse.

The standard library's server costs 40 ms to import and about 1 ms a request; this one is strict
and small instead. RFC 9112 is the measure: what it calls invalid is answered with 400.
"""

from __future__ import annotations

import re
import socket
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# clickhouse-server's defaults: http_max_uri_size, http_max_fields, http_max_field_value_size.
MAX_TARGET = 1 << 20
MAX_FIELDS = 1000
MAX_FIELD = 128 << 10
_MAX_HEAD = MAX_TARGET + (4 << 20)
# Idle connections cost a sleeping thread; closing them early would race with a client's next use.
_IDLE_SECONDS = 3600.0
_STALLED_SECONDS = 300.0
_RECEIVE = 256 << 10
_DRAIN = 64 << 20

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e\x80-\xff]+) HTTP/(\d)\.(\d)")
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")

_REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    411: "Length Required",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Malformed(Exception):
    """The peer did not speak HTTP; the connection ends with ``status``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Disconnected(Exception):
    """The peer went away."""


class _Wire:
    """Buffered bytes of one socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = b""

    def more(self) -> None:
        try:
            data = self.socket.recv(_RECEIVE)
        except (OSError, ValueError):
            raise Disconnected from None
        if not data:
            raise Disconnected
        self.buffer = self.buffer + data if self.buffer else data

    def take(self, most: int) -> bytes:
        if not self.buffer:
            self.more()
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        return data

    def line(self, limit: int = 8192) -> bytes:
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > limit:
                raise Malformed(400, "A line of the chunked body is too long.")
            self.more()
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        return line

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (OSError, ValueError):
            raise Disconnected from None


class Request:
    """One request: its head, and its body as a stream."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self.method = ""
        self.path = b""
        self.query = b""
        self.minor = 1
        self.headers: dict[str, str] = {}
        self.has_length = False
        self._left = 0
        self._chunked = False
        self._expects = False

    @property
    def socket(self) -> socket.socket:
        return self._wire.socket

    @property
    def keep_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return "close" not in connection if self.minor else "keep-alive" in connection

    def read(self, most: int = _RECEIVE) -> bytes:
        """Up to ``most`` bytes of the body, b"" at its end."""
        if self._expects:
            self._expects = False
            self._wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._left == 0 and self._chunked:
            self._next_chunk()
        if self._left == 0:
            return b""
        data = self._wire.take(min(most, self._left))
        self._left -= len(data)
        if self._left == 0 and self._chunked and self._wire.line():
            raise Malformed(400, "A chunk is longer than its size says.")
        return data

    def _next_chunk(self) -> None:
        match = _CHUNK_LINE.fullmatch(self._wire.line())
        if match is None:
            raise Malformed(400, "The size of a chunk is not a hexadecimal number.")
        self._left = int(match.group(1), 16)
        if self._left == 0:
            self._chunked = False
            while self._wire.line(MAX_FIELD):
                pass

    def drain(self) -> bool:
        """Read the rest of the body away; False if that is not worth while."""
        if self._expects:
            # The client still waits for leave to send it, and now never gets it.
            return self._left == 0 and not self._chunked
        total = 0
        while data := self.read():
            total += len(data)
            if total > _DRAIN:
                return False
        return True


class Response:
    """One response; either ``send`` at once, or ``begin``, ``write``…, ``finish``."""

    def __init__(self, wire: _Wire, request: Request) -> None:
        self._wire = wire
        self._bodyless = request.method == "HEAD"
        self._chunked = request.minor > 0
        self.keep_alive = request.keep_alive
        self.started = False

    def _head(self, status: int, headers: list[tuple[str, str]]) -> bytes:
        self.started = True
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if self.keep_alive:
            lines.append("Connection: Keep-Alive")
            lines.append(f"Keep-Alive: timeout={int(_IDLE_SECONDS)}")
        else:
            lines.append("Connection: Close")
        head = "\r\n".join(lines)
        # A value with a line break would be a header of its own.
        if head.count("\r\n") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
            head = "\r\n".join(" ".join(line.split()) for line in lines)
        return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n"

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        """The whole response."""
        if status != 204:
            headers = [*headers, ("Content-Length", str(len(body)))]
        head = self._head(status, headers)
        if self._bodyless:
            body = b""
        if len(body) < 64 << 10:
            self._wire.send(head + body)
        else:
            self._wire.send(head)
            self._wire.send(body)

    def begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        """The head of a response whose length is not known yet."""
        if self._chunked:
            headers = [*headers, ("Transfer-Encoding", "chunked")]
        else:
            self.keep_alive = False
        self._wire.send(self._head(status, headers))

    def write(self, data: bytes) -> None:
        """A piece of the body."""
        if not data or self._bodyless:
            return
        if not self._chunked:
            self._wire.send(data)
        elif len(data) < 64 << 10:
            self._wire.send(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._wire.send(b"%x\r\n" % len(data))
            self._wire.send(data)
            self._wire.send(b"\r\n")

    def finish(self) -> None:
        """The end of the body."""
        if self._chunked and not self._bodyless:
            self._wire.send(b"0\r\n\r\n")

    def break_off(self) -> None:
        """End the connection without the end of the body, so nobody takes it for complete."""
        self.keep_alive = False


def _read_request(wire: _Wire) -> Request:
    while wire.buffer.startswith(b"\r\n"):
        # RFC 9112, 2.2: a server should ignore empty lines before the request line.
        wire.buffer = wire.buffer[2:]
    scanned = 0
    while (end := wire.buffer.find(b"\r\n\r\n", max(0, scanned - 3))) < 0:
        scanned = len(wire.buffer)
        if scanned > _MAX_HEAD:
            raise Malformed(431, "The head of the request is too large.")
        newline = wire.buffer.find(b"\n")
        if newline < 0 and scanned > MAX_TARGET + 64:
            raise Malformed(414, "The request line is too long.")
        if newline == 0 or (newline > 0 and wire.buffer[newline - 1 : newline] != b"\r"):
            raise Malformed(400, "Lines must end with CR LF.")
        wire.more()
        if scanned == 0:
            while wire.buffer.startswith(b"\r\n"):
                wire.buffer = wire.buffer[2:]
    head, wire.buffer = wire.buffer[:end], wire.buffer[end + 4 :]
    lines = head.split(b"\r\n")
    request = Request(wire)
    _parse_request_line(request, lines[0])
    if len(lines) - 1 > MAX_FIELDS:
        raise Malformed(431, "Too many header fields.")
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise Malformed(400, "A header field has no valid name.")
        if len(value) > MAX_FIELD:
            raise Malformed(431, "A header field is too large.")
        value = value.strip(b" \t")
        if b"\r" in value or b"\n" in value or b"\0" in value:
            raise Malformed(400, "A header field has a control character in its value.")
        key = name.decode("ascii").lower()
        text = value.decode("utf-8", "surrogateescape")
        if key in ("content-length", "host", "authorization") and key in request.headers:
            raise Malformed(400, f"More than one {name.decode('ascii')} header field.")
        known = request.headers.get(key)
        request.headers[key] = text if known is None else f"{known}, {text}"
    _frame_body(request)
    return request


def _parse_request_line(request: Request, line: bytes) -> None:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Malformed(400, "The request line is not one of HTTP.")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise Malformed(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if len(target) > MAX_TARGET:
        raise Malformed(414, "The request target is too long.")
    request.method = method.decode()
    request.minor = min(int(minor), 1)
    if target.startswith((b"http://", b"https://")):
        # The absolute form, which every server must accept (RFC 9112, 3.2.2).
        target = b"/" + target.split(b"/", 3)[3] if target.count(b"/") > 2 else b"/"
    if not target.startswith(b"/") and target != b"*":
        raise Malformed(400, "The request target is not a path.")
    request.path, _, request.query = target.partition(b"?")


def _frame_body(request: Request) -> None:
    headers = request.headers
    if request.minor and "host" not in headers:
        raise Malformed(400, "The Host header field is missing.")
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Malformed(400, "Both Content-Length and Transfer-Encoding are given.")
        if coding.lower() != "chunked":
            raise Malformed(501, "Only the transfer encoding `chunked` is understood.")
        request._chunked = request.has_length = True
    elif length is not None:
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise Malformed(400, "Content-Length is not a number.")
        request._left = int(length)
        request.has_length = True
    expect = headers.get("expect")
    if expect is not None and expect.lower() == "100-continue" and request.minor:
        request._expects = request._chunked or request._left > 0


class Server:
    """Accepts connections on a bound listener and serves each in a thread of its own."""

    def __init__(
        self, listener: socket.socket, answer: Callable[[Request, Response], None]
    ) -> None:
        self._listener = listener
        self._answer = answer

    def serve(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if self._listener.fileno() < 0:
                    return
                # Out of descriptors: those in use come back, and exiting would help nobody.
                print(f"chdb_server: accept failed: {error}", file=sys.stderr, flush=True)
                threading.Event().wait(0.05)
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = _Wire(connection)
            try:
                while self._one(wire):
                    pass
            except Disconnected:
                return
            except Malformed as error:
                refusal = Response(wire, Request(wire))
                refusal.keep_alive = False
                self._last_words(wire, refusal, error.status, str(error))

    def _one(self, wire: _Wire) -> bool:
        wire.socket.settimeout(_IDLE_SECONDS)
        request = _read_request(wire)
        # A peer that stops reading or writing in the middle must not hold its thread for ever.
        wire.socket.settimeout(_STALLED_SECONDS)
        response = Response(wire, request)
        try:
            self._answer(request, response)
        except Malformed as error:
            if response.started:
                return False
            response.keep_alive = False
            self._last_words(wire, response, error.status, str(error))
            return False
        if not response.keep_alive:
            self._linger(wire)
            return False
        if not request.drain():
            self._linger(wire)
            return False
        return True

    def _last_words(self, wire: _Wire, response: Response, status: int, text: str) -> None:
        try:
            response.send(status, [("Content-Type", "text/plain; charset=UTF-8")], text.encode())
        except Disconnected:
            return
        self._linger(wire)

    def _linger(self, wire: _Wire) -> None:
        # Closing with unread data makes the kernel send RST, which can take the response with it.
        try:
            wire.socket.shutdown(socket.SHUT_WR)
            wire.socket.settimeout(1.0)
            total = 0
            while total < _DRAIN and (data := wire.socket.recv(_RECEIVE)):
                total += len(data)
        except OSError:
            return
