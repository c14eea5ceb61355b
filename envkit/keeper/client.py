"""The client's end: find or start the project's keeper, ask it for things, let go of it."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from envkit.errors import (
    EnvkitError,
    KeeperAbsent,
    KeeperClosing,
    KeeperLost,
    KeeperStartFailed,
    from_dict,
)
from envkit.keeper import protocol, record
from envkit.model import Endpoint, Lease, ServiceName, ServiceStatus, Settings, Want
from envkit.processes import remove_file, start_time
from envkit.services.spec import Groundwork

__all__ = ["Client", "connect", "join", "running"]

_KEEPER_PROGRAM = str(Path(__file__).with_name("__main__.py"))
_JOIN_LIMIT_S = 20.0
_ANSWER_LIMIT_S = 10.0

# What would change how the keeper's interpreter behaves and is meant for the user's program.
_NOT_INHERITED = (
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
    "COV_CORE_DATAFILE",
    "PYTHONASYNCIODEBUG",
    "PYTHONBREAKPOINT",
    "PYTHONDEVMODE",
    "PYTHONINSPECT",
    "PYTHONSTARTUP",
    "PYTHONTRACEMALLOC",
    "PYTHONWARNINGS",
)

Event = Callable[[dict[str, Any]], None]


class Client:
    """A connection to a keeper; while a holding one lives, so do the servers.

    Calls may come from several threads; they are answered one after another. A forked child does
    not inherit it: there every call raises `KeeperLost`.

    Attributes:
        left: After `close` or `down`: containers that could not be removed.
        lost: After `close`: whether the keeper had gone away before.
        building: Held from `prepare` to `commit`: another thread that waited for the template
            meanwhile would keep this one from saying that it is done.
    """

    def __init__(self, sock: socket.socket, *, key: str) -> None:
        self.key = key
        self.keeper_pid = 0
        self.left: list[str] = []
        self.lost = False
        self.building = threading.Lock()
        self._socket = sock
        self._lines = protocol.Lines(sock)
        self._guard = threading.Lock()
        self._next = 0
        self._why_closed = ""
        _open_clients.add(self)

    @property
    def closed(self) -> bool:
        """Whether it cannot be used any more."""
        return bool(self._why_closed)

    @property
    def is_gone(self) -> bool:
        """Whether the keeper has ended, as far as can be seen without asking it anything."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    # -- what it can ask ----------------------------------------------------------------------

    def start(
        self, services: Sequence[ServiceName | Want], on_event: Event | None = None
    ) -> list[ServiceStatus]:
        """Bring services up, all at once, and wait until each answers.

        Args:
            services: Which; as they are configured, or as somebody wants them.
            on_event: Gets ``{"service", "state", "ms", …}`` as it happens.

        Raises:
            UnavailableError: No backend here can serve one of them.
            StartError: One could not be started.
            KeeperLost: The keeper died meanwhile.
        """
        rows = self._call(protocol.Start(wants=_wants(services)), on_event)
        return msgspec.convert(rows, list[ServiceStatus])

    def prepare(self, want: Want, *, name: str, run: str, work: Groundwork) -> Endpoint | None:
        """None once a template is there; else where this client is to prepare it.

        Args:
            want: Of which service, and under which key.
            name: That it has in the configuration.
            run: What has failed for this run fails again, for another it is tried again.
            work: For the keeper, before anybody else.

        Raises:
            UnavailableError, StartError: As `start`.
            EnvkitError: What another client of this run has failed with.
            KeeperLost: The keeper died meanwhile.
        """
        body = protocol.Prepare(want=want, name=name, run=run, work=work)
        return msgspec.convert(self._call(body), Endpoint | None)

    def commit(self, want: Want, *, run: str) -> None:
        """What `prepare` asked for is done.

        Raises:
            TemplateFailed, TemplateShared, TemplateUntouched: It cannot be a template as it is.
            KeeperLost: The keeper died meanwhile.
        """
        self._call(protocol.Commit(want=want, run=run))

    def give_up(self, want: Want, error: EnvkitError, *, run: str) -> None:
        """What `prepare` asked for came to nothing."""
        self._call(protocol.GiveUp(want=want, run=run, error=error.as_dict()))

    def warm(self, wants: Sequence[Want], count: int) -> None:
        """Leases like these will be taken, so many at most: some are made ready meanwhile."""
        self._call(protocol.Warm(wants=tuple(wants), count=count))

    def take(self, services: Sequence[ServiceName | Want]) -> Lease:
        """Isolated namespaces of this client's own, until `release` or the client's end.

        Args:
            services: Which; empty ones, or as somebody wants them.

        Raises:
            UnavailableError, StartError: As `start`.
            LeaseFailed: A server refused.
            LeaseLimit: There are as many as there may be.
            TemplateAbsent: A template has to be prepared first.
            KeeperLost: The keeper died meanwhile.
        """
        return msgspec.convert(self._call(protocol.Take(wants=_wants(services))), Lease)

    def release(self, lease: str) -> None:
        """Drop a lease and all that is in it."""
        self._call(protocol.Release(lease=lease))

    def keep(self, lease: str) -> None:
        """Leave a lease, and with it the servers, until `down`."""
        self._call(protocol.Keep(lease=lease))

    def export(self, services: Sequence[ServiceName | Want], lease: str = "") -> Lease:
        """The long-lived namespaces on what is up, or the endpoints of somebody's lease.

        Raises:
            KeeperAbsent: None of these services is up.
            TemplateAbsent: A template has to be prepared first.
            UsageError: There is no such lease.
        """
        body = protocol.Export(wants=_wants(services), lease=lease)
        return msgspec.convert(self._call(body), Lease)

    def pin(self) -> None:
        """Keep the servers up when nobody holds them any more, until `down`."""
        self._call(protocol.Pin())

    def status(self) -> dict[str, Any]:
        result: dict[str, Any] = self._call(protocol.Status())
        return result

    def logs(self, service: ServiceName) -> list[Path]:
        """Where a service's servers write their logs."""
        return [Path(path) for path in self._call(protocol.Logs(service=service))]

    def down(self) -> None:
        """Stop everything, whoever uses it, and wait until it is gone."""
        try:
            self.left = self._call(protocol.Down())["left"]
            self._wait_for_end()
        finally:
            self._shut("the servers were stopped")

    def close(self) -> None:
        """Let go; if nobody else holds the servers, wait until they are gone."""
        if self._why_closed:
            return
        try:
            answer = self._call(protocol.Bye())
            if answer["gone"]:
                self.left = answer["left"]
                self._wait_for_end()
        except KeeperLost:
            self.lost = True  # its watchdog cleans up
        finally:
            self._shut("it was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- how it asks --------------------------------------------------------------------------

    def hello(self, hello: protocol.Hello) -> None:
        answer = self._call(hello)
        self.keeper_pid = answer["pid"]

    def _call(self, body: protocol.Request, on_event: Event | None = None) -> Any:
        with self._guard:
            if self._why_closed:
                raise KeeperLost(
                    f"this connection to the servers cannot be used: {self._why_closed}",
                    hint="take a lease in the process that uses it",
                )
            self._next += 1
            request = self._next
            try:
                self._socket.sendall(protocol.encode(protocol.Envelope(id=request, body=body)))
                while True:
                    reply = self._lines.read(protocol.Reply)
                    if reply is None:
                        raise ConnectionError("the connection was closed")
                    if reply.id != request:
                        continue  # of a call that was interrupted
                    if reply.event is not None:
                        if on_event is not None:
                            on_event(reply.event)
                        continue
                    break
            except OSError as error:
                self._shut("the keeper is gone")
                raise KeeperLost(
                    f"the process that keeps the servers went away (pid {self.keeper_pid}): "
                    f"{error}",
                    hint="run it again; what was running is being removed by its watchdog",
                ) from None
        if reply.error is not None:
            raise from_dict(reply.error)
        return reply.result

    def _wait_for_end(self) -> None:
        """Wait until the keeper's process is gone: it closes its end by ending."""
        self._socket.settimeout(_ANSWER_LIMIT_S)
        with contextlib.suppress(OSError):
            while self._socket.recv(4096):
                pass
        limit = time.monotonic() + 1
        while start_time(self.keeper_pid) is not None and time.monotonic() < limit:
            time.sleep(0.001)

    def _shut(self, why: str) -> None:
        self._why_closed = why
        _open_clients.discard(self)
        with contextlib.suppress(OSError):
            self._socket.close()

    def _forked(self) -> None:
        self._shut("it belongs to the parent process")
        self._guard = threading.Lock()  # another thread of the parent may have held it
        self.building = threading.Lock()


def _wants(services: Sequence[ServiceName | Want]) -> tuple[Want, ...]:
    return tuple(one if isinstance(one, Want) else Want(service=one) for one in services)


_open_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_open_clients):
        client._forked()


def _at_exit() -> None:
    for client in list(_open_clients):
        client.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)


def connect(root: Path, settings: Settings) -> Client:
    """A holding connection to the project's keeper, which is started if there is none.

    Raises:
        KeeperStartFailed: It could not be started, or does not let anybody in for 20 s.
        RunDirUnsafe, TmpReadonly, DiskFull: There is no good place for its files.
    """
    key = record.key_of(root, settings)
    limit = time.monotonic() + _JOIN_LIMIT_S
    pause = 0.001
    while True:
        with contextlib.suppress(KeeperClosing, KeeperAbsent, KeeperLost):
            return join(key, hold=True)
        lock_descriptor = record.lock(key)
        if lock_descriptor is not None:
            try:
                return _spawn(key, root, settings, lock_descriptor)
            finally:
                os.close(lock_descriptor)
        # Somebody is starting the keeper, or it is stopping, or its watchdog is at work.
        if time.monotonic() > limit:
            who = record.read(key)
            raise KeeperStartFailed(
                "another envkit process holds this project's lock "
                f"({record.path_of(key)}) but lets nobody in for {_JOIN_LIMIT_S:.0f} s",
                hint=f"if it hangs: kill {who.pid}" if who else "envkit down",
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def join(key: str, *, hold: bool, limit: float | None = None) -> Client:
    """A connection to a keeper that is there already.

    Args:
        key: Of the keeper.
        hold: Whether it is to stay as long as this connection does.
        limit: Seconds that each answer may take, from the first to the last; None gives 10 to the
            first and no limit to others, which may have servers to start.

    Raises:
        KeeperAbsent: There is none.
        KeeperClosing: It is stopping.
        KeeperLost: It died while it was asked.
    """
    about = record.read(key)
    if about is None:
        raise KeeperAbsent("nothing is running", hint="envkit up")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(limit or _ANSWER_LIMIT_S)
    try:
        sock.connect(about.socket)
    except OSError:
        sock.close()
        raise KeeperAbsent("nothing is running", hint="envkit up") from None
    client = _greeted(sock, key, protocol.Hello(hold=hold))
    sock.settimeout(limit)
    return client


def running(root: Path | None) -> list[record.Record]:
    """The keepers of a project (None: of this user) that are alive, whatever their settings."""
    return [r for r in record.all_records(root) if start_time(r.pid) == r.started]


def _greeted(sock: socket.socket, key: str, hello: protocol.Hello) -> Client:
    client = Client(sock, key=key)
    try:
        client.hello(hello)
    except BaseException:
        client._shut("it was refused")
        raise
    sock.settimeout(None)
    return client


def _spawn(key: str, root: Path, settings: Settings, lock_descriptor: int) -> Client:
    ours, theirs = (
        socket.socket(fileno=record.above_standard(end.detach())) for end in socket.socketpair()
    )
    # Not a file of ours in a directory that may be full: what a keeper prints before it has a log.
    output = record.above_standard(
        os.memfd_create("envkit-keeper") if hasattr(os, "memfd_create") else os.dup(2)
    )
    try:
        # libpq reads PG*, and the keeper has servers of its own to talk to.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in _NOT_INHERITED and not name.startswith("PG")
        }
        program = subprocess.Popen(
            [
                sys.executable,
                "-P",  # what lies in the current directory is not ours to import
                _KEEPER_PROGRAM,
                key,
                str(lock_descriptor),
                str(theirs.fileno()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            pass_fds=[lock_descriptor, theirs.fileno()],
        )
        theirs.close()
        # It forks and leaves at once; the keeper is its child and not ours.
        threading.Thread(target=program.wait, daemon=True).start()
        try:
            ours.settimeout(_JOIN_LIMIT_S)
            return _greeted(
                ours, key, protocol.Hello(hold=True, settings=settings, root=record.name_of(root))
            )
        except KeeperLost:
            said = b""
            if hasattr(os, "memfd_create"):
                said = os.pread(output, 1 << 14, 0)
            raise KeeperStartFailed(
                "the keeper's process ended while starting",
                detail=said.decode(errors="replace").strip()[-2000:],
                hint=f"try: {sys.executable} -c 'import envkit, psycopg, msgspec'",
            ) from None
        except BaseException:
            ours.close()
            raise
    except OSError as error:
        remove_file(str(record.path_of(key)))  # nobody was started, and we have its lock
        raise KeeperStartFailed(
            f"{sys.executable} cannot be started: {error.strerror}",
            hint="is the virtual environment whole?",
        ) from None
    finally:
        os.close(output)
