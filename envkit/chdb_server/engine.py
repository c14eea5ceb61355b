"""The engine: loading it, handles, sessions, and running statements on them.

The engine lives in this process and is shared by all handles. ``USE``, ``SET`` and temporary
tables belong to one handle, so a request gets a handle of its own (opening one takes 0.1 ms), or
the handle of its session.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import itertools
import os
import sys
import threading
import time
from contextlib import contextmanager

from . import failures, sqltext
from .failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

DEFAULT_FORMAT = "TabSeparated"

# The engine lets nobody choose a query id. This setting steers HTTP progress headers, which the
# engine never writes, so its value can tell one request's query from all others in
# system.processes without occupying a setting that means something to the user.
_MARK_SETTING = "http_headers_progress_interval_ms"

_CONFIG = """<clickhouse>
  <users_config>{path}</users_config>
  <query_log><database>system</database><table>query_log</table></query_log>
  <profiles><default>{profile}</default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password>
    <networks><ip>::1</ip><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota>
    <access_management>1</access_management>
    <named_collection_control>1</named_collection_control>
  </default></users>
</clickhouse>
"""


def _load_module() -> Any:
    """Import the engine's extension module without the package around it.

    ``chdb/__init__.py`` imports pyarrow, numpy, pandas and a DB-API and asks for the version with
    a query: about 110 ms of the 220 ms an import takes, none of it needed to run SQL.
    """
    spec = importlib.machinery.PathFinder.find_spec("chdb")
    if spec is None or not spec.submodule_search_locations:
        # Not in a plain directory of sys.path: leave it to whatever import hooks there are.
        return importlib.import_module("chdb")._chdb
    bare = type(sys)("chdb")
    bare.__path__ = list(spec.submodule_search_locations)
    bare.__spec__ = spec
    sys.modules["chdb"] = bare
    flags = sys.getdlopenflags()
    try:
        # As chdb/__init__.py does through ctypes: the engine's own operator new and delete must
        # win over those of a libstdc++ that is loaded already.
        sys.setdlopenflags(flags | getattr(os, "RTLD_DEEPBIND", 0))
        return importlib.import_module("chdb._chdb")
    except (ImportError, AttributeError):
        # A private module may change its shape at any release; the public import is only slower.
        sys.setdlopenflags(flags)
        del sys.modules["chdb"]
        return importlib.import_module("chdb")._chdb
    finally:
        sys.setdlopenflags(flags)


class Stats:
    """What a statement read, wrote and returned; rows and bytes."""

    __slots__ = (
        "read_bytes",
        "read_rows",
        "result_bytes",
        "result_rows",
        "started",
        "written_bytes",
        "written_rows",
    )

    def __init__(self) -> None:
        self.read_rows = self.read_bytes = 0
        self.written_rows = self.written_bytes = 0
        self.result_rows = self.result_bytes = 0
        self.started = time.perf_counter_ns()

    def add(self, result: Any) -> None:
        """Count what the engine tells about one result or block of it."""
        self.read_rows += result.storage_rows_read()
        self.read_bytes += result.storage_bytes_read()
        self.written_rows += result.rows_written()
        self.written_bytes += result.bytes_written()
        self.result_rows += result.rows_read()

    def summary(self) -> str:
        """The value of X-ClickHouse-Summary."""
        return (
            f'{{"read_rows":"{self.read_rows}","read_bytes":"{self.read_bytes}",'
            f'"written_rows":"{self.written_rows}","written_bytes":"{self.written_bytes}",'
            f'"total_rows_to_read":"0","result_rows":"{self.result_rows}",'
            f'"result_bytes":"{self.result_bytes}",'
            f'"elapsed_ns":"{time.perf_counter_ns() - self.started}"}}'
        )


class Handle:
    """One connection to the engine. Not for use by two threads at a time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._streaming: Any = None
        self.keeps_state = False

    def run(
        self,
        sql: bytes,
        output: str = DEFAULT_FORMAT,
        parameters: Mapping[str, str] | None = None,
        stats: Stats | None = None,
    ) -> bytes:
        """Run a statement and return its whole result. Raises Failure."""
        result = _guarded(self._connection.query, sql, output, params=parameters or {})
        if result.has_error():
            raise failures.from_engine(result.error_message())
        data: bytes = result.bytes()
        if stats is not None:
            stats.add(result)
            stats.result_bytes += len(data)
        return data

    def stream(
        self, sql: bytes, output: str, parameters: Mapping[str, str], stats: Stats
    ) -> Iterator[bytes]:
        """Run a SELECT and yield its result block by block. Raises Failure."""
        connection = self._connection
        try:
            result = _guarded(connection.send_query, sql, output, params=parameters)
        except Failure as failure:
            if "Streaming query is not supported" not in failure.text:
                raise
            yield self.run(sql, output, parameters, stats)
            return
        self._streaming = result
        while True:
            try:
                block = _guarded(connection.streaming_fetch_result, result)
            except Failure:
                self._streaming = None
                raise
            if block is None:
                self._streaming = None
                return
            # The last block has no rows, but what was read since the last but one.
            stats.add(block)
            if block.rows_read() == 0:
                self._streaming = None
                return
            data: bytes = block.bytes()
            stats.result_bytes += len(data)
            yield data

    def settle(self) -> None:
        """Give up a stream that was not read to its end; the handle is free again."""
        # Left to the garbage collector this would come after close(), and crash the engine.
        result, self._streaming = self._streaming, None
        if result is not None:
            _quietly(self._connection.streaming_cancel_query, result)

    def insert(self, sql: bytes, source: str, chunks: Iterable[bytes], stats: Stats) -> None:
        """Run an INSERT (without FORMAT) with rows in the format ``source``. Raises Failure."""
        connection = self._connection
        pending = _guarded(connection.send_insert, sql, source)
        done = False
        try:
            for chunk in chunks:
                if chunk:
                    _guarded(connection.insert_append, pending, chunk)
            done = True
            stats.add(_guarded(connection.insert_done, pending))
        finally:
            if not done:
                _quietly(connection.insert_cancel, pending)

    def apply(self, settings: Mapping[str, str]) -> None:
        """SET all of ``settings`` at once. Raises Failure (115 for an unknown name)."""
        if not settings:
            return
        for name in settings:
            if not name.replace("_", "a").isalnum() or not name.isascii():
                raise Failure(failures.UNKNOWN_SETTING, f"Unknown setting '{name}'.")
        pairs = (name.encode() + b" = " + sqltext.quote(settings[name]) for name in settings)
        self.run(b"SET " + b", ".join(pairs))

    def setting_values(self, names: Iterable[str]) -> dict[str, str | None]:
        """The values of the settings in force; None for one that was never changed."""
        wanted = b", ".join(sqltext.quote(name) for name in names)
        rows = self.run(
            b"SELECT name, changed, hex(value) FROM system.settings WHERE name IN (" + wanted + b")"
        )
        found: dict[str, str | None] = {}
        for line in rows.decode().splitlines():
            name, changed, value = line.split("\t")
            plain = bytes.fromhex(value).decode("utf-8", "surrogateescape")
            found[name] = plain if changed == "1" else None
        return found

    def restore(self, values: Mapping[str, str | None]) -> None:
        """Undo ``apply``, with what ``setting_values`` had told before."""
        self.apply({name: value for name, value in values.items() if value is not None})
        for name in (name for name, value in values.items() if value is None):
            self.run(b"SET " + name.encode() + b" = DEFAULT")

    def set_parameters(self, parameters: Mapping[str, str]) -> None:
        """Give the handle values for {name:Type}; for INSERT, which takes none by argument."""
        for name, value in parameters.items():
            self.run(b"SET param_" + name.encode() + b" = " + sqltext.quote(value))

    def use(self, database: str) -> None:
        """Change the handle's database. Raises Failure (81 for an unknown one)."""
        self.run(b"USE " + sqltext.quote_name(database))

    def close(self) -> None:
        self.settle()
        _quietly(self._connection.close)


def _guarded(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return call(*arguments, **named)
    except (RuntimeError, ValueError, TypeError, UnicodeError) as error:
        raise failures.from_engine(error) from None


def _quietly(call: Callable[..., Any], *arguments: Any) -> None:
    # Only for tidying up after a query whose outcome is decided already.
    try:
        call(*arguments)
    except Exception:
        return


class _Session:
    __slots__ = ("expires", "handle", "lock")

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.lock = threading.Lock()
        self.expires = 0.0


class Engine:
    """The one engine of this process; its data live under ``directory``."""

    def __init__(
        self, directory: str, settings: Mapping[str, str], database: str = "default"
    ) -> None:
        self.temporary = os.path.join(directory, "tmp")
        self.user_files = os.path.join(directory, "user_files")
        for path in (self.temporary, self.user_files):
            os.makedirs(path, mode=0o700, exist_ok=True)
        # implicit_select turns a misspelt statement into an expression and its error into another.
        profile = {"implicit_select": "0", **settings}
        config = os.path.join(directory, "engine.xml")
        with open(config, "w", encoding="utf-8") as file:
            rows = "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in profile.items())
            file.write(_CONFIG.format(path="../engine.xml", profile=rows))
        # The engine resolves relative paths of file() against the working directory; there,
        # clickhouse-server has user_files. Relative paths also spare the connection string's
        # syntax from what a directory may be called.
        os.chdir(self.user_files)
        self._connection_string = "../store?config-file=../engine.xml"
        self._module = _load_module()
        # The engine stays up as long as one handle is open.
        self._first = Handle(self._module.connect(self._connection_string))
        self.version = self._first.run(b"SELECT version()").decode().strip()
        self.timezone = self._first.run(b"SELECT timezone()").decode().strip()
        self.database = database
        if database != "default":
            self._first.run(b"CREATE DATABASE IF NOT EXISTS " + sqltext.quote_name(database))
        self._sessions: dict[str, _Session] = {}
        self._sessions_lock = threading.Lock()
        self._tokens = itertools.count(10**12)
        self._files = itertools.count()

    def new_token(self) -> str:
        """A mark no other query of this process has; see ``mark`` and ``kill``."""
        return str(next(self._tokens))

    def mark(self, token: str) -> dict[str, str]:
        """The settings that make a query findable by ``kill``."""
        return {_MARK_SETTING: token}

    def kill(self, token: str) -> None:
        """Cancel the query that carries ``token``, without waiting for its end."""
        handle = self._open()
        try:
            # SYNC waits for the query to go, and was seen to wait for ever.
            handle.run(
                b"KILL QUERY WHERE Settings['%s'] = '%s' ASYNC"
                % (_MARK_SETTING.encode(), token.encode())
            )
        finally:
            handle.close()

    def temporary_path(self) -> str:
        """A new name for a file in the server's own temporary directory."""
        return os.path.join(self.temporary, f"{os.getpid()}-{next(self._files)}")

    def _open(self) -> Handle:
        return Handle(self._module.connect(self._connection_string))

    @contextmanager
    def handle(self) -> Iterator[Handle]:
        """A handle nobody else has, closed afterwards, in the configured database."""
        handle = self._open()
        try:
            if self.database != "default":
                handle.use(self.database)
            yield handle
        finally:
            handle.close()

    @contextmanager
    def session(self, name: str, timeout: float, check: bool, close: bool) -> Iterator[Handle]:
        """The handle of the session ``name``, kept ``timeout`` seconds after its last use.

        Raises Failure 373 while another request uses it, 372 if ``check`` and there is none.
        """
        with self._sessions_lock:
            now = time.monotonic()
            for key, session in list(self._sessions.items()):
                if session.expires < now and session.lock.acquire(blocking=False):
                    del self._sessions[key]
                    session.handle.close()
            current = self._sessions.get(name)
            if current is None:
                if check:
                    raise Failure(failures.SESSION_NOT_FOUND, f"Session {name} not found.")
                handle = self._open()
                handle.keeps_state = True
                if self.database != "default":
                    handle.use(self.database)
                current = self._sessions[name] = _Session(handle)
            if not current.lock.acquire(blocking=False):
                raise Failure(
                    failures.SESSION_IS_LOCKED, f"Session {name} is locked by a concurrent client."
                )
        try:
            yield current.handle
        finally:
            with self._sessions_lock:
                current.expires = time.monotonic() + timeout
                if close:
                    self._sessions.pop(name, None)
                    current.handle.close()
                current.lock.release()


def _xml(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
