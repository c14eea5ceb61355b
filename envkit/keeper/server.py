"""The keeper's process: owns servers and leases, serves clients, ends when nobody needs it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from envkit.backends.site import Site
from envkit.engine.address import engine_address
from envkit.errors import (
    EnvkitError,
    KeeperClosing,
    UsageError,
    from_dict,
)
from envkit.keeper import protocol, record
from envkit.keeper.connection import Connection
from envkit.keeper.fleet import Fleet, Report
from envkit.keeper.home import Home
from envkit.keeper.leases import Leases, give_back
from envkit.keeper.spawn import MainThread
from envkit.model import Endpoint, Want
from envkit.owner import Owner
from envkit.processes import end_processes, remove_file
from envkit.version import __version__
from envkit.wait import Cancelled

__all__ = ["main"]

_ERRANDS_LIMIT_S = 1.0
_ACCEPT_PAUSE_S = 0.05


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
        self._errands: list[threading.Thread] = []
        self._linger: threading.Timer | None = None
        self._stumbled = False
        self._left: list[str] = []
        self._home = Home(key, self.root, self.settings.data_dir, lock_descriptor)
        self._watch = self._home.watch
        self.main_thread = MainThread(self._watch)
        site = Site(
            key=key,
            project=self.root,
            owner=Owner.this_process(),
            data=self._home.data,
            logs=self._home.logs,
            spawn=self.main_thread.spawn,
            ended=self._watch.process_ended,
            building=self._watch.building,
            later=self._later,
            containers=self._watch,
        )
        attached = partial(self._watch.attached, site.owner.run)
        self._fleet = Fleet(
            self.settings,
            site,
            self._cancelled,
            attached,
            leased=lambda service: self._leases.count(service),  # noqa: PLW0108 - made below
        )
        self._leases = Leases(
            self._fleet.pool,
            self._fleet.existing,
            lambda service: self.settings.of(service).max_leases,
        )
        self.take_over_output = self._home.take_over_output

    # -- birth and end ------------------------------------------------------------------------

    def accept_forever(self) -> None:
        while True:
            try:
                sock, _ = self._home.listener.accept()
            except OSError:
                if self._closing:
                    return
                time.sleep(_ACCEPT_PAUSE_S)  # no descriptor is free: some client will give one up
                continue
            connection = Connection(sock)
            if connection.uid != os.geteuid():
                sock.close()
                continue
            try:
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()
            except RuntimeError:  # no thread to be had; the client tries again
                sock.close()

    def _later(self, errand: Callable[[], None]) -> None:
        thread = threading.Thread(target=errand, daemon=True)
        self._errands.append(thread)
        thread.start()

    def begin_end(self) -> None:
        """Let the main thread go on to `end`, when errands are done; safe in a signal handler."""
        self._closing = True
        if not self._errands:
            self.main_thread.stop()
            return
        try:
            threading.Thread(target=self._finish_errands, daemon=True).start()
        except RuntimeError:  # no thread to be had: then errands have to be cut short
            self.main_thread.stop()

    def _finish_errands(self) -> None:
        # Before the main thread stops, because they start programs through it.
        limit = time.monotonic() + _ERRANDS_LIMIT_S
        for thread in self._errands:
            thread.join(max(0.0, limit - time.monotonic()))
        self.main_thread.stop()

    def end(self) -> None:
        """Stop and remove everything, tell those who wait, and leave."""
        self._cancelled.set()
        self._home.close()
        # Servers of our own are thrown away; on those of others nothing of ours may stay.
        problems = self._fleet.leave()
        self._stumbled |= bool(problems)
        self._left += problems
        end_processes(self._watch.processes())
        if containers := self._watch.containers():
            from envkit.keeper.sweep import remove_containers

            self._left += remove_containers(engine_address(self.settings.docker), containers)
        if self._stumbled or self._fleet.failed:
            self._home.save_logs()
        self._home.remove()
        with self._guard:
            waiting = list(self._waiting)
        for connection, request in waiting:
            answer = {"gone": True, "left": self._left}
            connection.send(protocol.Reply(id=request, result=answer))
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
            self.begin_end()

    def _linger_over(self) -> None:
        with self._guard:
            if self._holders or self._pinned or self._closing:
                return
            self.begin_end()

    # -- clients ------------------------------------------------------------------------------

    def serve(self, connection: Connection) -> None:
        """Answer one client until it is gone."""
        self._leases.open_for(connection)
        try:
            for envelope in connection.requests():
                self._answer(connection, envelope)
        finally:
            self._client_gone(connection)

    def greet(self, connection: Connection, hello: protocol.Hello) -> dict[str, Any]:
        """A client's first message.

        Raises:
            KeeperClosing: Too late; asking again starts a new keeper.
            UsageError: It speaks another version of the protocol.
        """
        if hello.version != protocol.VERSION:
            raise UsageError(
                f"this keeper speaks protocol version {protocol.VERSION}, not {hello.version}",
                hint="run envkit down with the envkit that started it",
            )
        with self._guard:
            if self._closing:
                raise KeeperClosing("the servers of this project are just being stopped")
            if hello.hold:
                self._holders.add(connection)
                if self._linger is not None:
                    self._linger.cancel()
                    self._linger = None
        return {"pid": os.getpid(), "version": __version__}

    def _answer(self, connection: Connection, envelope: protocol.Envelope) -> None:
        body = envelope.body
        work: Callable[[Report], Any]
        match body:
            case protocol.Hello():
                self._reply(connection, envelope.id, lambda _: self.greet(connection, body))
                return
            case protocol.Bye():
                self._bye(connection, envelope.id)
                return
            case protocol.Down():
                with self._guard:
                    self._waiting.append((connection, envelope.id))
                    self.begin_end()
                return
            case protocol.Pin():
                work = lambda _: self._pin()
            case protocol.Status():
                work = lambda _: self._status()
            case protocol.Logs(service=service):
                work = lambda _: self._fleet.log_files(service)
            case protocol.Start(wants=wants):
                work = lambda report: self._fleet.start(wants, report, self._leases)
            case protocol.Prepare():
                work = lambda _: self._prepare(connection, body)
            case protocol.Commit(want=want, run=run):
                work = lambda _: self._fleet.pool(want).commit(want.template, run, connection)
            case protocol.GiveUp(want=want, run=run):
                error = from_dict(body.error)
                work = lambda _: self._fleet.pool(want).give_up(
                    want.template, run, connection, error
                )
            case protocol.Warm(wants=wants, count=count):
                work = lambda _: self._warm(wants, count)
            case protocol.Take(wants=wants):
                work = lambda _: self._leases.take(connection, wants)
            case protocol.Release(lease=lease):
                work = lambda _: self._leases.release(connection, lease)
            case protocol.Keep(lease=lease):
                work = lambda _: self._keep(connection, lease)
            case protocol.Export(lease=lease) if lease:
                work = lambda _: self._leases.find(lease)
            case protocol.Export(wants=wants):
                work = lambda _: self._leases.export(wants)
        # In a thread of its own, so that the death of the client is noticed meanwhile.
        arguments = (connection, envelope.id, work)
        try:
            threading.Thread(target=self._reply, args=arguments, daemon=True).start()
        except RuntimeError:  # no thread to be had
            self._reply(*arguments)

    def _bye(self, connection: Connection, request: int) -> None:
        with self._guard:
            held = connection in self._holders
            self._holders.discard(connection)
            last = held and not self._holders and not self._pinned
            # Answered at the end of all, if that is now.
            waits = last and (self._closing or self.settings.linger <= 0)
            if waits:
                self._waiting.append((connection, request))
        if waits:
            self._end_if_unused()
            return
        # Nobody's any more as soon as the client is told; dropped when it need not wait for that.
        leases = self._leases.end_of(connection)
        self._fleet.end_of(connection)
        connection.send(protocol.Reply(id=request, result={"gone": False}))
        if held:
            self._end_if_unused()
        if not self._closing:
            give_back(leases)

    def _prepare(self, connection: Connection, asked: protocol.Prepare) -> Endpoint | None:
        want = asked.want
        build = self._fleet.pool(want).prepare(
            want.template, asked.name, asked.run, asked.work, connection
        )
        return build.held.endpoint if build is not None else None

    def _warm(self, wants: Sequence[Want], count: int) -> None:
        """Begin to have leases ready; nobody waits for that, so nobody is told what goes wrong."""

        def quietly() -> None:
            try:
                for want in wants:
                    self._fleet.pool(want).warm(want.template, count)
            except (EnvkitError, Cancelled):
                return  # whoever takes a lease will run into it again
            except Exception:
                if not self._closing:
                    traceback.print_exc()

        with contextlib.suppress(RuntimeError):  # no thread to be had: it was for speed only
            threading.Thread(target=quietly, daemon=True).start()

    def _keep(self, connection: Connection, lease: str) -> None:
        self._leases.keep(connection, lease)
        self._pin()

    def _pin(self) -> None:
        self._pinned = True

    def _status(self) -> dict[str, Any]:
        return {
            "project": self.root,
            "key": self.key,
            "pid": os.getpid(),
            "data": str(self._home.data),
            "pinned": self._pinned,
            "clients": len(self._holders),
            "services": self._fleet.status(self._leases),
        }

    def _reply(self, connection: Connection, request: int, work: Callable[[Report], Any]) -> None:
        def report(event: dict[str, Any]) -> None:
            connection.send(protocol.Reply(id=request, event=event))

        try:
            reply = protocol.Reply(id=request, result=work(report))
        except EnvkitError as error:
            reply = protocol.Reply(id=request, error=error.as_dict())
        except Cancelled:
            closing = KeeperClosing("the servers of this project are just being stopped")
            reply = protocol.Reply(id=request, error=closing.as_dict())
        except BaseException as error:  # SystemExit too: the client waits for an answer
            traceback.print_exc()
            self._stumbled = True
            unexpected = EnvkitError(
                f"the keeper ran into {type(error).__name__}: {error}",
                detail=traceback.format_exc(limit=-3),
                hint="this is a fault of envkit; envkit down, then try again",
            )
            reply = protocol.Reply(id=request, error=unexpected.as_dict())
        connection.send(reply)

    def _client_gone(self, connection: Connection) -> None:
        held = self._leases.end_of(connection)
        self._fleet.end_of(connection)
        with self._guard:
            was_holder = connection in self._holders
            self._holders.discard(connection)
            waits = any(one is connection for one, _ in self._waiting)
        if not waits:
            with contextlib.suppress(OSError):
                connection.socket.close()
        if was_holder:
            self._end_if_unused()
        if not self._closing:
            give_back(held)


def main(arguments: list[str]) -> None:
    """Run a keeper: ``KEY LOCK-DESCRIPTOR SOCKET-DESCRIPTOR``."""
    key, lock_descriptor, socket_descriptor = arguments[0], int(arguments[1]), int(arguments[2])
    for descriptor in (lock_descriptor, socket_descriptor):
        os.set_inheritable(descriptor, False)
    first = Connection(socket.socket(fileno=socket_descriptor))
    envelope = first.lines.read(protocol.Envelope)
    if envelope is None or not isinstance(envelope.body, protocol.Hello):
        remove_file(str(record.path_of(key)))  # the client was killed before it could say hello
        os._exit(1)
    try:
        os.chdir("/")  # whatever directory we were started in may go away before us
        os.umask(0o077)
        keeper = Keeper(key, envelope.body, lock_descriptor)
        first.send(protocol.Reply(id=envelope.id, result=keeper.greet(first, envelope.body)))
    except EnvkitError as error:
        first.send(protocol.Reply(id=envelope.id, error=error.as_dict()))
        os._exit(1)
    keeper.take_over_output()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.begin_end())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Inherited as ignored, it would make every child's exit code 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.setswitchinterval(0.001)
    threading.Thread(target=keeper.accept_forever, daemon=True).start()
    threading.Thread(target=keeper.serve, args=(first,), daemon=True).start()
    keeper.main_thread.run()
    keeper.end()
