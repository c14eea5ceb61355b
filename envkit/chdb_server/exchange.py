"""One request for SQL and its response."""

from __future__ import annotations

import binascii
import json
import os
import time
from contextlib import ExitStack
from functools import partial

from . import compression, failures, formats, multipart, native, sqltext
from .engine import DEFAULT_FORMAT, Handle, Stats
from .failures import Failure
from .parameters import Parameters, as_bytes, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .app import App
    from .http import Request, Response

    Headers = list[tuple[str, str]]

# clickhouse-server holds back this much before it commits to a status (http_response_buffer_size
# and buffer_size, 1 MiB), so that an early error still gets its own.
_HELD_BACK = 1 << 20
# A result that trickles is passed on all the same, or its reader would wait for a MiB of it.
_HELD_BACK_NANOSECONDS = 500_000_000
_MAX_SESSION_TIMEOUT = 3600
_DEFAULT_SESSION_TIMEOUT = 60
_TEXT = ("Content-Type", "text/plain; charset=UTF-8")


class Exchange:
    """One request for SQL and its response."""

    def __init__(self, app: App, request: Request, response: Response) -> None:
        self._app = app
        self._engine = app._engine
        self._request = request
        self._response = response
        self._parameters = Parameters(request)
        self._stats = Stats()
        self._token = self._engine.new_token()
        self._query_id = self._token
        self._timezone = self._engine.timezone
        self._end: Callable[[], None] = response.finish
        self._tag = binascii.hexlify(os.urandom(8)).decode()

    # Reading the request

    def run(self, pairs: list[tuple[str, bytes]]) -> None:
        request, parameters = self._request, self._parameters
        self._query_id = request.headers.get("x-clickhouse-query-id") or _uuid()
        for name, value in pairs:
            if name == "query_id" and value:
                self._query_id = as_text(value)
        self._app.authenticate(request, pairs)
        if request.method == "POST" and not request.has_length:
            raise Failure(
                failures.HTTP_LENGTH_REQUIRED,
                "The Transfer-Encoding is not chunked and there is no Content-Length header for "
                "POST or PUT request",
                "HTTP_LENGTH_REQUIRED",
            )
        body = self._body()
        form = None
        content_type = request.headers.get("content-type", "")
        if content_type.lower().startswith("multipart/form-data"):
            form = multipart.parse(content_type, b"".join(body))
            pairs = pairs + form.fields
            body = iter(())
        parameters.load(pairs, external=form is not None and bool(form.files))
        self._refuse_unsupported()
        with ExitStack() as stack:
            handle = self._open(stack)
            self._prepare(handle, stack)
            for name, data in form.files if form is not None else ():
                self._external_table(handle, stack, name, data)
            self._execute(handle, body)
        # Not before the handle is given back: the client's next request may need the session.
        self._end()

    def _body(self) -> Iterator[bytes]:
        chunks = iter(self._request.read, b"")
        codings = self._request.headers.get("content-encoding", "").lower().split(",")
        for coding in reversed([name.strip() for name in codings]):
            if coding in ("", "identity"):
                continue
            plain = compression.decode(coding, chunks)
            if plain is None and coding in compression.BY_ENGINE:
                plain = self._decode_by_engine(coding, chunks)
            if plain is None:
                raise Failure(
                    failures.UNKNOWN_COMPRESSION_METHOD,
                    f"Unknown compression method: {coding}. Content-Encoding may be gzip, deflate, "
                    f"{', '.join(sorted(compression.BY_ENGINE))}.",
                )
            chunks = _checked(plain, coding)
        return chunks

    def _decode_by_engine(self, coding: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        path = self._engine.temporary_path()
        try:
            with open(path, "wb") as file:
                file.writelines(chunks)
            with self._engine.handle() as handle:
                sql = b"SELECT * FROM file(%b, 'RawBLOB', 'data String', %b)"
                arguments = (sqltext.quote(path), sqltext.quote(coding))
                yield handle.run(sql % arguments, "RawBLOB")
        finally:
            os.unlink(path)

    def _refuse_unsupported(self) -> None:
        for name in ("compress", "decompress"):
            if self._parameters.flag(name):
                raise Failure(
                    failures.NOT_IMPLEMENTED,
                    f"{name}=1 (ClickHouse's own block compression) is not supported by this "
                    "server; use HTTP compression (enable_http_compression=1 with Accept-Encoding, "
                    "or Content-Encoding) instead.",
                )
        if self._parameters.get("role"):
            raise failures.no_access_control("Parameter role")

    # The handle the statement runs on

    def _open(self, stack: ExitStack) -> Handle:
        parameters = self._parameters
        if "session_id" not in parameters.reserved:
            return stack.enter_context(self._engine.handle())
        name = parameters.get("session_id")
        if not name:
            raise Failure(
                failures.BAD_ARGUMENTS, "Session id query parameter was provided, but it was empty"
            )
        timeout = parameters.number(
            "session_timeout", _DEFAULT_SESSION_TIMEOUT, failures.INVALID_SESSION_TIMEOUT
        )
        if timeout > _MAX_SESSION_TIMEOUT:
            raise Failure(
                failures.INVALID_SESSION_TIMEOUT,
                f"Session timeout '{timeout}' is larger than max_session_timeout: "
                f"{_MAX_SESSION_TIMEOUT}. Maximum session timeout could be modified in "
                "configuration file.",
            )
        check, close = parameters.flag("session_check"), parameters.flag("close_session")
        return stack.enter_context(self._engine.session(name, timeout, check, close))

    def _prepare(self, handle: Handle, stack: ExitStack) -> None:
        settings = dict(self._parameters.settings)
        if handle.keeps_state and settings:
            # In a session, what SET changes stays and what the URL says is for one query.
            stack.callback(handle.restore, handle.setting_values(settings))
        settings.update(self._engine.mark(self._token))
        if "query_id" in self._parameters.reserved or self._request.headers.get(
            "x-clickhouse-query-id"
        ):
            # Its only trace in system.query_log, since the engine numbers queries itself.
            settings.setdefault("log_comment", self._query_id)
        database = self._parameters.get("database", "x-clickhouse-database")
        if database:
            if handle.keeps_state:
                before = handle.run(b"SELECT currentDatabase()", "RawBLOB").decode(
                    "utf-8", "surrogateescape"
                )
                if before != database:
                    handle.use(database)
                    stack.callback(self._undo_use, handle, before, database)
            elif database != self._engine.database:
                handle.use(database)
        handle.apply(settings)
        if "session_timezone" in settings or handle.keeps_state:
            self._timezone = handle.run(b"SELECT timezone()").decode().strip()

    def _undo_use(self, handle: Handle, before: str, during: str) -> None:
        now = handle.run(b"SELECT currentDatabase()", "RawBLOB").decode("utf-8", "surrogateescape")
        # A USE in the statement itself is meant to last.
        if now == during:
            handle.use(before)

    def _external_table(self, handle: Handle, stack: ExitStack, name: str, data: bytes) -> None:
        given = self._parameters.external
        structure = given.get(f"{name}_structure")
        if structure is None:
            types = given.get(f"{name}_types")
            if types is None:
                raise Failure(
                    failures.BAD_ARGUMENTS,
                    f"Neither structure nor types have not been provided for external table {name}."
                    f" Use fields {name}_structure or {name}_types to do so.",
                )
            structure = b", ".join(
                b"_%d %b" % (number, kind)
                for number, kind in enumerate(_split_types(types), start=1)
            )
        table = sqltext.quote_name(name)
        handle.run(b"CREATE TEMPORARY TABLE " + table + b" (" + structure + b") ENGINE = Memory")
        if handle.keeps_state:
            stack.callback(handle.run, b"DROP TEMPORARY TABLE " + table)
        source = as_text(given.get(f"{name}_format", b"TabSeparated"))
        handle.insert(b"INSERT INTO " + table, source, [data], Stats())

    # Running it

    def _execute(self, handle: Handle, body: Iterator[bytes]) -> None:
        sql = self._parameters.reserved.get("query", b"")
        if sql and not sql.endswith(b"\n"):
            sql += b"\n"
        for chunk in body:
            sql += chunk
            if len(sql) > _HELD_BACK:
                break
        statement = sqltext.parse(sql)
        if not statement.takes_data:
            rest = b"".join(body)
            if rest:
                sql += rest
                statement = sqltext.parse(sql)
        self._check(statement)
        with self._app._watch.over(self._request.socket, self._token):
            if statement.takes_data and statement.data_at is not None:
                self._insert(handle, statement, sql[statement.data_at :], body)
                self._respond(statement, iter(()), DEFAULT_FORMAT)
                return
            try:
                self._answer_with_rows(handle, statement)
            finally:
                handle.settle()

    def _check(self, statement: sqltext.Statement) -> None:
        if not statement.verb:
            raise Failure(failures.SYNTAX_ERROR, "Empty query")
        if statement.second_at is not None:
            raise Failure(
                failures.SYNTAX_ERROR,
                "Syntax error (Multi-statements are not allowed): failed at position "
                f"{statement.second_at} (end of query).",
            )
        if self._request.method != "POST" and not statement.changes_nothing:
            raise Failure(
                failures.READONLY,
                "default: Cannot execute query in readonly mode. For queries over HTTP, method GET "
                "implies readonly. You should use method POST for modifying queries.",
            )
        if asked := statement.access_control():
            raise failures.no_access_control(asked)
        if statement.outfile:
            raise Failure(failures.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed")
        if statement.infile:
            raise Failure(
                failures.UNKNOWN_TYPE_OF_QUERY, "Query has infile and was send directly to server"
            )
        root = self._engine.user_files
        for literal in statement.file_paths:
            path = os.fsdecode(literal[1:-1])
            if os.path.commonpath((root, os.path.normpath(os.path.join(root, path)))) != root:
                raise Failure(
                    failures.DATABASE_ACCESS_DENIED, f"File `{path}` is not inside `{root}`"
                )

    def _insert(
        self,
        handle: Handle,
        statement: sqltext.Statement,
        first: bytes,
        rest: Iterator[bytes],
    ) -> None:
        source = statement.format_name or "Values"

        def chunks() -> Iterator[bytes]:
            yield first
            yield from rest

        if not statement.selects:
            handle.set_parameters(self._parameters.bound)
            handle.insert(statement.text, source, chunks(), self._stats)
            return
        # INSERT ... SELECT ... FROM input(): the engine has no data to offer input(), but a file.
        path = self._engine.temporary_path()
        try:
            with open(path, "wb") as file:
                file.writelines(chunks())
            text = statement.text
            opening, empty = statement.input_calls[0]
            head = text[:opening].rstrip()[: -len("input")]
            arguments = sqltext.quote(path) + b", " + sqltext.quote(source)
            text = head + b"file(" + arguments + (b"" if empty else b", ") + text[opening + 1 :]
            handle.run(text, DEFAULT_FORMAT, self._parameters.bound, self._stats)
        finally:
            os.unlink(path)

    def _answer_with_rows(self, handle: Handle, statement: sqltext.Statement) -> None:
        bound = self._parameters.bound
        output = (
            statement.format_name
            or self._parameters.get("default_format", "x-clickhouse-format")
            or DEFAULT_FORMAT
        )
        if statement.reads_rows and formats.streams(output):
            chunks = handle.stream(statement.text, output, bound, self._stats)
        else:
            chunks = iter((handle.run(statement.text, output, bound, self._stats),))
        revision = self._parameters.number("client_protocol_version", 0)
        if output.lower() == "native" and revision:
            chunks = self._revise(statement, native.Reviser(revision), chunks)
        self._respond(statement, chunks, output)

    def _revise(
        self,
        statement: sqltext.Statement,
        reviser: native.Reviser,
        chunks: Iterator[bytes],
    ) -> Iterator[bytes]:
        learned = not statement.reads_rows
        for chunk in chunks:
            if not learned and reviser.lacks_zones(chunk):
                learned = True
                reviser.learn(self._describe(statement))
            yield reviser.revise(chunk)

    def _describe(self, statement: sqltext.Statement) -> list[tuple[bytes, bytes]]:
        # Its own handle, because the other one is busy with the rows.
        with self._engine.handle() as other:
            try:
                settings = dict(self._parameters.settings)
                database = self._parameters.get("database", "x-clickhouse-database")
                if database:
                    other.use(database)
                other.apply(settings)
                sql = b"DESCRIBE (" + statement.bare + b"\n)"
                rows = other.run(sql, "JSONCompactEachRow", self._parameters.bound)
            except Failure:
                # Temporary tables are out of its sight; instants stay right without zones.
                return []
        columns = (json.loads(line) for line in as_text(rows).split("\n") if line)
        return [(as_bytes(column[0]), as_bytes(column[1])) for column in columns]

    # Writing the response

    def _headers(self, output: str | None) -> Headers:
        headers = [
            self._app._display_name,
            ("X-ClickHouse-Query-Id", self._query_id),
            ("X-ClickHouse-Timezone", self._timezone),
            ("X-ClickHouse-Exception-Tag", self._tag),
        ]
        if output is not None:
            headers.append(("Content-Type", formats.content_type(output)))
            headers.append(("X-ClickHouse-Format", output))
        return headers

    def _respond(self, statement: sqltext.Statement, chunks: Iterator[bytes], output: str) -> None:
        response = self._response
        coding, encoder = self._encoder()
        whole = self._parameters.flag("wait_end_of_query")
        held: list[bytes] = []
        size = 0
        ended = True
        for chunk in chunks:
            held.append(chunk if encoder is None else encoder.compress(chunk))
            size += len(chunk)
            late = time.perf_counter_ns() - self._stats.started > _HELD_BACK_NANOSECONDS
            if (size > _HELD_BACK or late) and not whole:
                ended = False
                break
        # Clients tell an empty result from no result by whether a format is named.
        headers = self._headers(output if statement.returns_rows or size else None)
        if not (statement.returns_rows or size):
            headers.append(_TEXT)
        if coding:
            headers.append(("Content-Encoding", coding))
        headers.append(("X-ClickHouse-Summary", self._stats.summary()))
        if ended:
            if encoder is not None:
                held.append(encoder.flush())
            self._end = partial(response.send, 200, headers, b"".join(held))
            return
        response.begin(200, headers)
        for chunk in held:
            response.write(chunk)
        held.clear()
        try:
            for chunk in chunks:
                response.write(chunk if encoder is None else encoder.compress(chunk))
        except Failure as failure:
            text = self._in_band(failure)
            response.write(text if encoder is None else encoder.compress(text) + encoder.flush())
            self._end = response.break_off
            return
        if encoder is not None:
            response.write(encoder.flush())

    def _encoder(self) -> tuple[str, compression.Encoder | None]:
        settings = {**self._app._profile, **self._parameters.settings}
        if settings.get("enable_http_compression", "0").lower() not in ("1", "true"):
            return "", None
        accepted = self._request.headers.get("accept-encoding", "")
        level = settings.get("http_zlib_compression_level", "3")
        return compression.encoder_for(accepted, int(level) if level.isdigit() else 3)

    def _in_band(self, failure: Failure) -> bytes:
        # src/Server/HTTP/WriteBufferFromHTTPServerResponse.cpp, since ClickHouse 25.11.
        text = failure.body(self._engine.version).rstrip("\n").encode("utf-8", "surrogateescape")
        tag = self._tag.encode()
        return b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (
            tag,
            text,
            len(text) + 1,
            tag,
        )

    def fail(self, failure: Failure) -> None:
        """Answer with an error, unless the response has begun."""
        if self._response.started:
            self._response.break_off()
            return
        body = failure.body(self._engine.version).encode("utf-8", "surrogateescape")
        headers = [*self._headers(None), _TEXT]
        headers.append(("X-ClickHouse-Exception-Code", str(failure.code)))
        if failure.status == 401:
            headers.append(("WWW-Authenticate", 'Basic realm="ClickHouse server HTTP API"'))
        headers.append(("X-ClickHouse-Summary", self._stats.summary()))
        self._response.send(failure.status, headers, body)


def _checked(chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
    try:
        yield from chunks
    except ValueError as error:
        raise Failure(
            failures.CANNOT_PARSE_TEXT, f"The body is not valid {coding}: {error}."
        ) from None


def _split_types(types: bytes) -> Iterator[bytes]:
    depth = start = 0
    for _, begin, end in sqltext.tokens(types):
        piece = types[begin:end]
        depth += (piece == b"(") - (piece == b")")
        if piece == b"," and depth == 0:
            yield types[start:begin].strip()
            start = end
    yield types[start:].strip()


def _uuid() -> str:
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
