"""The keeper's process: owns servers and leases, serves clients, ends when nobody needs it."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from envkit import paths, services
from envkit.backends import embedded
from envkit.backends.site import Site
from envkit.errors import (
    DiskFull,
    EnvkitError,
    KeeperAbsent,
    KeeperClosing,
    KeeperStartFailed,
    LeaseFailed,
    UsageError,
)
from envkit.host import find_programs
from envkit.keeper import protocol, record
from envkit.keeper.pool import Held, OwnServers, Pool, SharedServer, Up
from envkit.keeper.prune import OWNER_FILE, leftovers_of, remove_data
from envkit.keeper.spawn import MainThread
from envkit.keeper.watch import Watch
from envkit.model import Lease, ServiceName, ServiceStatus, as_builtins
from envkit.plan import Choice, choose
from envkit.processes import end_processes, remove_directory, remove_file, start_time
from envkit.services.spec import Address, Greeting, Service, new_password
from envkit.version import __version__
from envkit.wait import Cancelled, NotAnswering, until_answer

__all__ = ["main"]

_PORT_TRIES = 8
_EXPORT_LEASE = "export"

Report = Callable[[dict[str, Any]], None]


class Connection:
    """One client, as the keeper sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.lines = protocol.Lines(sock)
        self.pid, self.uid = _peer(sock)
        self.hold = False
        self.leases: set[str] = set()
        self.gone = False
        self._sending = threading.Lock()

    def send(self, reply: protocol.Reply) -> None:
        with self._sending, contextlib.suppress(OSError):  # its reader notices that it is gone
            self.socket.sendall(protocol.encode(reply))

    def requests(self) -> Any:
        """What the client asks, until it hangs up or its process is gone.

        A forked child of the client keeps the socket open after the client was killed; the
        process itself does not survive that, so both are watched.
        """
        watched = select.poll() if hasattr(select, "poll") else None
        assert watched is not None
        watched.register(self.socket, select.POLLIN)
        pidfd = _pidfd(self.pid)
        if pidfd is not None:
            watched.register(pidfd, select.POLLIN)
        try:
            while True:
                if not self.lines.pending:
                    ready = {descriptor for descriptor, _ in watched.poll()}
                    if pidfd in ready and self.socket.fileno() not in ready:
                        return
                envelope = self.lines.read(protocol.Envelope)
                if envelope is None:
                    return
                yield envelope
        except (OSError, msgspec.MsgspecError):
            return
        finally:
            if pidfd is not None:
                os.close(pidfd)


def _peer(sock: socket.socket) -> tuple[int, int]:
    """Pid and uid at the other end, as the kernel knows them; the pid is 0 if it cannot say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, os.geteuid()  # the socket's directory is closed to others anyway
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", data)
    return pid, uid


def _pidfd(pid: int) -> int | None:
    if pid and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


class Keeper:
    """Everything one project has running."""

    def __init__(self, key: str, hello: protocol.Hello, lock_descriptor: int) -> None:
        assert hello.settings is not None
        self.key = key
        self.root = hello.root
        self.settings = hello.settings
        self._guard = threading.RLock()
        self._holders: set[Connection] = set()
        self._waiting: list[tuple[Connection, int]] = []
        self._pinned = False
        self._closing = False
        self._cancelled = threading.Event()
        self._leases: dict[str, dict[ServiceName, Held]] = {}
        self._count = 0
        self._choices: dict[ServiceName, Choice] = {}
        self._pools: dict[ServiceName, Pool] = {}
        self._listeners: list[Report] = []
        self._states: dict[ServiceName, dict[str, Any]] = {}
        self._linger: threading.Timer | None = None
        self._unhappy = False

        self._record_path = record.path_of(key)
        try:
            self._settle(lock_descriptor)
        except BaseException:
            # We hold the lock, so nobody else is using what we remove.
            if hasattr(self, "_data"):
                remove_directory(str(self._data))
            remove_file(str(self._record_path))
            raise

    # -- birth and end ------------------------------------------------------------------------

    def _settle(self, lock_descriptor: int) -> None:
        """Make all that lies in the file system; the watchdog knows of it."""
        self._socket_path = paths.run_dir() / f"{self.key}.sock"
        self._saved_logs = paths.state_dir() / "logs"
        for dead in leftovers_of(self.key, self.settings.data_dir):
            remove_data(dead)
        self._watch = Watch(lock_descriptor)
        self._watch.file(self._socket_path)
        self._watch.file(self._record_path)
        self._data = paths.data_dir(self.key, self.settings.data_dir)
        self._watch.directory(self._data)
        self._data.chmod(0o711)  # servers of another user pass through to their own part
        (self._data / OWNER_FILE).write_text(str(self._record_path))
        self._logs = self._data / "logs"
        self._logs.mkdir(mode=0o700)
        self._watch.logs(self._logs, self._saved_logs, self.key)
        self.main_thread = MainThread(self._watch)
        self._site = Site(
            data=self._data,
            logs=self._logs,
            spawn=self.main_thread.spawn,
            ended=self._watch.process_ended,
        )
        self._listener = self._listen()
        self._write_record(lock_descriptor)

    def _listen(self) -> socket.socket:
        # We hold the lock, so whatever lies there belongs to a keeper that is dead.
        self._socket_path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        while True:
            try:
                listener.bind(str(self._socket_path))
                break
            except FileNotFoundError:
                paths.run_dir()  # the last keeper to end has just removed the empty directory
        listener.listen(64)
        return listener

    def _write_record(self, lock_descriptor: int) -> None:
        about = record.Record(
            key=self.key,
            version=__version__,
            root=self.root,
            pid=os.getpid(),
            started=start_time(os.getpid()) or 0,
            boot=_boot_id(),
            socket=str(self._socket_path),
            data=str(self._data),
        )
        os.ftruncate(lock_descriptor, 0)
        os.pwrite(lock_descriptor, msgspec.json.encode(about), 0)

    def take_over_output(self) -> None:
        """From here on, what this process prints belongs to its own log."""
        log = os.open(self._logs / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)

    def accept_forever(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed: the end has begun
            connection = Connection(sock)
            if connection.uid != os.geteuid():
                sock.close()
                continue
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def end(self) -> None:
        """Stop and remove everything, tell those who wait, and leave."""
        with self._guard:
            self._closing = True
        self._cancelled.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        end_processes(self._watch.processes())
        if self._unhappy:
            from envkit.keeper.watchdog import save_logs

            save_logs(str(self._logs), str(self._saved_logs), self.key)
        remove_directory(str(self._data))
        remove_file(str(self._socket_path))
        # Before the lock goes with the last process that has it: a newcomer that opened this very
        # file finds it unlinked and makes its own.
        remove_file(str(self._record_path))
        self._watch.done()
        with self._guard:
            waiting = list(self._waiting)
        for connection, request in waiting:
            connection.send(protocol.Reply(id=request, result={"gone": True}))
        os._exit(0)

    def _end_if_unused(self) -> None:
        with self._guard:
            if self._holders or self._pinned or self._closing:
                return
            if self._linger is not None:
                self._linger.cancel()
                self._linger = None
            if self.settings.linger > 0 and not self._waiting:
                self._linger = threading.Timer(self.settings.linger, self._linger_over)
                self._linger.daemon = True
                self._linger.start()
                return
            self._closing = True
        self.main_thread.stop()

    def _linger_over(self) -> None:
        with self._guard:
            if self._holders or self._pinned or self._closing:
                return
            self._closing = True
        self.main_thread.stop()

    # -- clients ------------------------------------------------------------------------------

    def serve(self, connection: Connection) -> None:
        """Answer one client until it is gone."""
        try:
            for envelope in connection.requests():
                self._answer(connection, envelope)
        finally:
            self._client_gone(connection)

    def greet(self, connection: Connection, envelope: protocol.Envelope) -> None:
        """Answer a client's first message.

        Raises:
            KeeperClosing: Too late; asking again starts a new keeper.
            UsageError: It speaks another version of the protocol.
        """
        hello = envelope.body
        assert isinstance(hello, protocol.Hello)
        if hello.version != protocol.VERSION:
            raise UsageError(
                f"this keeper speaks protocol version {protocol.VERSION}, not {hello.version}",
                hint="run envkit down with the envkit that started it",
            )
        with self._guard:
            if self._closing:
                raise KeeperClosing("the servers of this project are just being stopped")
            if hello.hold:
                connection.hold = True
                self._holders.add(connection)
                if self._linger is not None:
                    self._linger.cancel()
                    self._linger = None
        result = {"pid": os.getpid(), "version": __version__}
        connection.send(protocol.Reply(id=envelope.id, result=result))

    def _answer(self, connection: Connection, envelope: protocol.Envelope) -> None:
        body = envelope.body
        work: Callable[[Report], Any]
        match body:
            case protocol.Hello():
                work = lambda _: self.greet(connection, envelope)  # noqa: E731 - a table of cases
                self._reply(connection, envelope.id, work, silent=True)
                return
            case protocol.Bye():
                with self._guard:
                    self._forget_holder(connection)
                    last = not self._holders and not self._pinned
                    last = last and (self._closing or self.settings.linger <= 0)
                    if last:
                        self._waiting.append((connection, envelope.id))
                if last:
                    self._end_if_unused()
                else:
                    connection.send(protocol.Reply(id=envelope.id, result={"gone": False}))
                    self._end_if_unused()
                return
            case protocol.Down():
                with self._guard:
                    self._waiting.append((connection, envelope.id))
                    self._closing = True
                self.main_thread.stop()
                return
            case protocol.Pin():
                self._pinned = True
                work = lambda _: {}  # noqa: E731 - as above
            case protocol.Status():
                work = lambda _: self._status()  # noqa: E731 - as above
            case protocol.Logs(service=service):
                work = lambda _: self._log_files(service)  # noqa: E731 - as above
            case protocol.Start(services=wanted):
                work = lambda report: self._start(wanted, report)  # noqa: E731 - as above
            case protocol.Take(services=wanted):
                work = lambda _: self._take(connection, wanted)  # noqa: E731 - as above
            case protocol.Release(lease=lease):
                work = lambda _: self._release(connection, lease)  # noqa: E731 - as above
            case protocol.Keep(lease=lease):
                work = lambda _: self._keep(connection, lease)  # noqa: E731 - as above
            case protocol.Export(services=wanted, lease=lease):
                work = lambda _: self._export(wanted, lease)  # noqa: E731 - as above
        # In a thread of its own, so that the death of the client is noticed meanwhile.
        threading.Thread(
            target=self._reply, args=(connection, envelope.id, work), daemon=True
        ).start()

    def _reply(
        self,
        connection: Connection,
        request: int,
        work: Callable[[Report], Any],
        silent: bool = False,
    ) -> None:
        def report(event: dict[str, Any]) -> None:
            connection.send(protocol.Reply(id=request, event=event))

        try:
            result = work(report)
        except EnvkitError as error:
            reply = protocol.Reply(id=request, error=error.as_dict())
        except Cancelled:
            closing = KeeperClosing("the servers of this project are just being stopped")
            reply = protocol.Reply(id=request, error=closing.as_dict())
        except Exception as error:
            traceback.print_exc()
            self._unhappy = True
            unexpected = EnvkitError(
                f"the keeper ran into {type(error).__name__}: {error}",
                detail=traceback.format_exc(limit=-3),
                hint="this is a fault of envkit; envkit down, then try again",
            )
            reply = protocol.Reply(id=request, error=unexpected.as_dict())
        else:
            if silent:
                return
            reply = protocol.Reply(id=request, result=result)
        connection.send(reply)

    def _forget_holder(self, connection: Connection) -> None:
        self._holders.discard(connection)
        connection.hold = False

    def _client_gone(self, connection: Connection) -> None:
        with self._guard:
            connection.gone = True
            leases, connection.leases = connection.leases, set()
            held = [h for lease in leases for h in self._leases.pop(lease, {}).values()]
            was_holder = connection in self._holders
            self._forget_holder(connection)
            waits = any(one is connection for one, _ in self._waiting)
        if not waits:
            with contextlib.suppress(OSError):
                connection.socket.close()
        if was_holder:
            self._end_if_unused()
        if not self._closing:
            self._give_back(held)

    # -- services -----------------------------------------------------------------------------

    def _pool(self, service: ServiceName) -> Pool:
        with self._guard:
            pool = self._pools.get(service)
            if pool is None:
                spec = services.load(service)
                kind = OwnServers if spec.own_server else SharedServer
                pool = kind(spec, self.settings.of(service), lambda name: self._up(spec, name))
                self._pools[service] = pool
            return pool

    def _choice(self, spec: Service) -> Choice:
        with self._guard:
            choice = self._choices.get(spec.name)
        if choice is None:
            choice = choose(spec.name, self.settings, find_programs(spec.programs))
            with self._guard:
                self._choices[spec.name] = choice
        return choice

    def _up(self, spec: Service, name: str) -> Up:
        """Bring one server up."""
        first = spec.name not in self._states or self._states[spec.name]["state"] != "ready"
        try:
            if first:
                self._tell(spec.name, state="starting")
            up = self._bring_up(spec, name)
        except EnvkitError as error:
            if first:
                self._tell(spec.name, state="failed", slug=error.slug)
            raise
        if first:
            self._tell(
                spec.name,
                state="ready",
                ms=up.started_ms,
                product=up.product,
                version=up.greeting.version,
                backend=up.choice.backend,
            )
        return up

    def _bring_up(self, spec: Service, name: str) -> Up:
        begun = time.monotonic()
        choice = self._choice(spec)
        recipe = spec.process(self.settings.of(spec.name), choice.program)
        while True:
            password = new_password()
            server = embedded.prepare(
                name=name,
                found=choice.program,
                recipe=recipe,
                user=spec.admin,
                password=password,
                site=self._site,
            )
            try:
                address, greeting = self._answering(spec, server, password)
            except NotAnswering as error:
                failure = _start_failure(spec, server, error)
                server.stop()
                if error.ended and server.forget_cache():
                    continue  # perhaps the copy was damaged: once more, from nothing
                self._unhappy = True
                raise failure from None
            except BaseException:
                server.stop()
                raise
            return Up(
                server=server,
                choice=choice,
                address=address,
                greeting=greeting,
                started_ms=(time.monotonic() - begun) * 1000,
            )

    def _answering(
        self, spec: Service, server: embedded.EmbeddedServer, password: str
    ) -> tuple[Address, Greeting]:
        for tries_left in reversed(range(_PORT_TRIES)):
            server.launch()
            address = Address(
                host=server.host,
                port=server.port,
                user=spec.admin,
                password=password,
                socket_dir=server.socket_dir,
            )

            def ask(limit: float, address: Address = address) -> Greeting:
                return spec.greet(address, limit)

            try:
                greeting = until_answer(
                    ask,
                    ended=server.ended,
                    cancelled=self._cancelled,
                    limit=self.settings.start_timeout,
                )
            except NotAnswering:
                if tries_left and server.lost_its_port():
                    continue
                raise
            return address, greeting
        raise AssertionError("unreachable")

    def _tell(self, service: ServiceName, **event: Any) -> None:
        with self._guard:
            self._states[service] = event
            listeners = list(self._listeners)
        for listener in listeners:
            listener({"service": service, **event})

    def _start(self, wanted: tuple[ServiceName, ...], report: Report) -> list[dict[str, Any]]:
        """Bring these up at the same time; the first error is raised when all have come to rest."""
        with self._guard:
            self._listeners.append(report)
        errors: list[BaseException] = []

        def one(service: ServiceName) -> None:
            try:
                self._pool(service).ready()
            except BaseException as error:
                errors.append(error)

        try:
            threads = [
                threading.Thread(target=one, args=(service,), daemon=True) for service in wanted
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            with self._guard:
                self._listeners.remove(report)
        if errors:
            raise errors[0]
        return [s for s in self._status()["services"] if s["service"] in wanted]

    def _status(self) -> dict[str, Any]:
        with self._guard:
            pools = dict(self._pools)
            leased = [held for lease in self._leases.values() for held in lease.values()]
        found: list[ServiceStatus] = []
        for service, pool in pools.items():
            choice = self._choices.get(service)
            ups = pool.servers()
            up = ups[0] if ups else None
            state = self._states.get(service, {}).get("state", "starting")
            if state == "ready" and up is None and not any(h.up.alive for h in leased):
                state = "stopped"
            found.append(
                ServiceStatus(
                    service=service,
                    state=state,
                    backend=choice.backend if choice else "embedded",
                    why=choice.why if choice else "",
                    product=up.product if up else "",
                    version=up.greeting.version if up else "",
                    host=up.address.host if up else "",
                    port=up.address.port if up else 0,
                    pid=up.server.pid if up else 0,
                    started_ms=up.started_ms if up else 0.0,
                    leases=sum(1 for h in leased if h.endpoint.service == service),
                )
            )
        return {
            "project": self.root,
            "key": self.key,
            "pid": os.getpid(),
            "data": str(self._data),
            "pinned": self._pinned,
            "clients": len(self._holders),
            "services": as_builtins(found),
        }

    def _log_files(self, service: ServiceName) -> list[str]:
        return sorted(
            str(path) for path in self._logs.glob("*.log") if re.match(rf"{service}\b", path.name)
        )

    # -- leases -------------------------------------------------------------------------------

    def _take(self, connection: Connection, wanted: tuple[ServiceName, ...]) -> dict[str, Any]:
        lease, held = self._new_lease(wanted)
        with self._guard:
            if not connection.gone:
                self._leases[lease] = held
                connection.leases.add(lease)
                return _describe(lease, held)
        self._give_back(list(held.values()))
        raise KeeperClosing("the client is gone")

    def _new_lease(self, wanted: tuple[ServiceName, ...]) -> tuple[str, dict[ServiceName, Held]]:
        with self._guard:
            self._count += 1
            name = f"lease_{self._count}_{os.urandom(3).hex()}"
        held: dict[ServiceName, Held] = {}
        try:
            for service in wanted:
                held[service] = self._pool(service).take(name)
        except BaseException:
            self._give_back(list(held.values()))
            raise
        return name, held

    def _release(self, connection: Connection, lease: str) -> dict[str, Any]:
        with self._guard:
            if lease not in connection.leases:
                raise LeaseFailed(f"lease {lease!r} is not one of this client's")
            connection.leases.discard(lease)
            held = self._leases.pop(lease)
        self._give_back(list(held.values()))
        return {}

    def _keep(self, connection: Connection, lease: str) -> dict[str, Any]:
        with self._guard:
            if lease not in connection.leases:
                raise LeaseFailed(f"lease {lease!r} is not one of this client's")
            connection.leases.discard(lease)
            self._pinned = True
            return _describe(lease, self._leases[lease])

    def _export(self, wanted: tuple[ServiceName, ...], lease: str) -> dict[str, Any]:
        with self._guard:
            if lease:
                if lease not in self._leases:
                    have = ", ".join(sorted(self._leases)) or "none"
                    raise UsageError(
                        f"there is no lease {lease!r}", hint=f"those that exist: {have}"
                    )
                return _describe(lease, self._leases[lease])
            current = self._leases.setdefault(_EXPORT_LEASE, {})
            for service in wanted:
                pool = self._pools.get(service)
                if pool is None or not pool.servers():
                    continue
                if service not in current or not current[service].up.alive:
                    current[service] = pool.take(f"export_{os.urandom(3).hex()}")
            chosen = {service: current[service] for service in wanted if service in current}
            if not chosen:
                raise KeeperAbsent(
                    f"not running: {', '.join(wanted)}", hint=f"envkit up {' '.join(wanted)}"
                )
            return _describe(_EXPORT_LEASE, chosen)

    def _give_back(self, held: list[Held]) -> None:
        for one in held:
            try:
                one.give_back()
            except Exception:
                # Whoever had it is done with it, and it goes with the server at the latest.
                traceback.print_exc()


def _describe(lease: str, held: dict[ServiceName, Held]) -> dict[str, Any]:
    endpoints = {service: one.endpoint for service, one in held.items()}
    described: dict[str, Any] = as_builtins(Lease(id=lease, endpoints=endpoints))
    return described


def _start_failure(
    spec: Service, server: embedded.EmbeddedServer, error: NotAnswering
) -> EnvkitError:
    tail = server.log_tail()
    if re.search("No space left on device|Disk quota exceeded", tail):
        return DiskFull(
            f"{spec.title} ran out of room in {server.log.parent.parent} while starting",
            detail=tail,
            hint="free some room, or set TMPDIR (or data_dir in [tool.envkit]) elsewhere",
        )
    if error.ended:
        code = server.exit_code
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return KeeperStartFailed(
            f"{spec.title} ended with {how} while starting",
            detail=tail or "(it printed nothing)",
            hint=f"see what it says above; [tool.envkit.{spec.name}] settings are passed to it",
        )
    return KeeperStartFailed(
        f"{spec.title} did not answer within {error.waited:.0f} s; the last try: {error.last}",
        detail=tail,
        hint="see its log above; start_timeout in [tool.envkit] gives it more time",
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def main(arguments: list[str]) -> None:
    """Run a keeper: ``KEY LOCK-DESCRIPTOR SOCKET-DESCRIPTOR``."""
    key, lock_descriptor, socket_descriptor = arguments[0], int(arguments[1]), int(arguments[2])
    for descriptor in (lock_descriptor, socket_descriptor):
        os.set_inheritable(descriptor, False)
    first = Connection(socket.socket(fileno=socket_descriptor))
    envelope = first.lines.read(protocol.Envelope)
    if envelope is None or not isinstance(envelope.body, protocol.Hello):
        os._exit(1)
    try:
        os.chdir("/")  # whatever directory we were started in may go away before us
        os.umask(0o077)
        keeper = Keeper(key, envelope.body, lock_descriptor)
        keeper.greet(first, envelope)
    except EnvkitError as error:
        first.send(protocol.Reply(id=envelope.id, error=error.as_dict()))
        os._exit(1)
    keeper.take_over_output()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.main_thread.stop())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.setswitchinterval(0.001)
    threading.Thread(target=keeper.accept_forever, daemon=True).start()
    threading.Thread(target=keeper.serve, args=(first,), daemon=True).start()
    keeper.main_thread.run()
    keeper.end()
