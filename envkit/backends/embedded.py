"""Servers as plain processes of this machine: interprets a `ProcessRecipe`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from envkit.backends import pristine
from envkit.backends.accounts import account_for_server, program_for
from envkit.backends.placeholders import fill
from envkit.backends.server import tail_of
from envkit.backends.site import Account, Site
from envkit.errors import DiskFull, EnvkitError, KeeperStartFailed, PortsExhausted
from envkit.paths import cache_dir
from envkit.processes import end_processes, remove_directory, start_time
from envkit.recipes import FoundProgram, ProcessRecipe
from envkit.wait import NotAnswering

__all__ = ["EmbeddedServer", "free_port", "prepare"]

_STOP_LIMIT_S = 1.0
_LAUNCHES = 8


def free_port() -> int:
    """A port of the loopback interface that is free at this moment; the server must bind it.

    Raises:
        PortsExhausted: The kernel has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.bind(("127.0.0.1", 0))
        except OSError as error:
            raise PortsExhausted(
                f"no free port on 127.0.0.1: {error.strerror}",
                hint="see who holds them with: ss -tanp | awk '{print $1,$NF}' | sort | uniq -c",
            ) from None
        port: int = sock.getsockname()[1]
        return port


class EmbeddedServer:
    """One server process and its files.

    Attributes:
        ended: Set as soon as the process is gone.
    """

    host = "127.0.0.1"
    container = ""

    def __init__(
        self,
        *,
        name: str,
        service: str,
        product: str,
        recipe: ProcessRecipe,
        program: Path,
        account: Account | None,
        values: dict[str, str],
        place: Path,
        site: Site,
        cache_entry: Path | None,
    ) -> None:
        self.name = name
        self.product = product
        self.log = site.logs / f"{name}.log"
        self.port = 0
        self.ended = threading.Event()
        self._recipe = recipe
        self._program = program
        self._account = account
        self._values = values
        self._place = place
        self._site = site
        self._cache_entry = cache_entry
        self._service = service
        self._launches = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def socket_dir(self) -> str:
        return str(self._place / "run") if self._recipe.has_socket else ""

    def launch(self, pick_port: Callable[[], int] = free_port) -> None:
        """Start the process on a port that was free a moment ago; it may lose the race."""
        self._launches += 1
        self.port = pick_port()
        self.ended = threading.Event()
        values = self._values | {"port": str(self.port), "program": str(self._program)}
        for name, content in self._recipe.files.items():
            _write(Path(fill(name, values)), fill(content, values), self._account)
        environment = _environment(self._place) | {
            name: fill(text, values) for name, text in self._recipe.environment.items()
        }
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = self._site.spawn(
                [fill(text, values) for text in self._recipe.arguments],
                environment=environment,
                directory=self._place,
                output=log,
                account=self._account,
                stop_signal=self._recipe.stop_signal,
            )
        except OSError as error:
            raise _cannot_start(str(self._program), error, self._account) from None
        finally:
            os.close(log)
        try:
            reaper = threading.Thread(
                target=self._reap, args=(self._process, self.ended), daemon=True
            )
            reaper.start()
        except RuntimeError as error:
            self.signal_stop()
            raise KeeperStartFailed(
                f"{self.name} cannot be watched: {error}",
                hint="see how many processes and threads you may have: ulimit -u; ulimit -v",
            ) from None

    def wants_another_try(self) -> bool:
        """Whether the process ended because somebody else had taken its port meanwhile."""
        return (
            self._launches < _LAUNCHES
            and self.ended.is_set()
            and bool(re.search(self._recipe.port_taken, self.log_tail()))
        )

    def wants_fresh_start(self) -> bool:
        """Remove the cached directory this one was copied from; False if there was none."""
        if self._cache_entry is None or not self.ended.is_set():
            return False
        pristine.forget(self._cache_entry)
        return True

    def log_tail(self) -> str:
        return tail_of(self.log)

    def failure(self, title: str, error: NotAnswering) -> EnvkitError:
        tail = self.log_tail()
        if re.search("No space left on device|Disk quota exceeded", tail):
            return DiskFull(
                f"{title} ran out of room in {self._site.data} while starting",
                detail=tail,
                hint="free some room, or set TMPDIR (or data_dir in [tool.envkit]) elsewhere",
            )
        if error.ended:
            code = self._process.returncode if self._process else None
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            return KeeperStartFailed(
                f"{title} ended with {how} while starting",
                detail=tail or "(it printed nothing)",
                hint="see what it says above; "
                f"[tool.envkit.{self._service}] settings are passed to it",
            )
        return KeeperStartFailed(
            f"{title} did not answer within {error.limit:g} s; the last try: {error.last}",
            detail=tail,
            hint="start_timeout in [tool.envkit] gives it more time",
        )

    def signal_stop(self) -> None:
        """Ask the process to end, without waiting."""
        if self._process is not None and not self.ended.is_set():
            with contextlib.suppress(OSError):
                os.kill(self._process.pid, self._recipe.stop_signal)

    def stop(self) -> None:
        """End the process and remove its files."""
        self.signal_stop()
        if self._process is not None and not self.ended.wait(_STOP_LIMIT_S):
            started = start_time(self._process.pid)
            if started is not None:
                end_processes({self._process.pid: (started, signal.SIGKILL)})
            self.ended.wait(_STOP_LIMIT_S)
        remove_directory(str(self._place))

    def _reap(self, process: subprocess.Popen[bytes], ended: threading.Event) -> None:
        process.wait()
        self._site.ended(process.pid)
        ended.set()


def prepare(
    *,
    name: str,
    service: str,
    found: FoundProgram,
    recipe: ProcessRecipe,
    user: str,
    password: str,
    site: Site,
) -> EmbeddedServer:
    """Everything up to the start: directories, account, a copy of the pristine data.

    Raises:
        KeeperStartFailed: The data directory could not be made; with the tool's own output.
        UidNameless: See `account_for_server`.
        RunDirUnsafe: See `program_for`.
    """
    account = account_for_server() if recipe.unprivileged else None
    program = program_for(found, account, site)
    place = site.data / name
    if place.exists():  # of a start that failed half-way
        remove_directory(str(place))
    place.mkdir()
    place.chmod(0o711)  # not by mkdir, whose mode the umask narrows
    data, run = place / "data", place / "run"
    values = {
        "python": sys.executable,
        "data": str(data),
        "run": str(run),
        "user": user,
        "password": password,
    }
    for directory in [run] + ([] if recipe.pristine else [data]):
        directory.mkdir(mode=0o700)
        if account:
            os.chown(directory, account.uid, account.gid)
    cache_entry = None
    if recipe.pristine:
        arguments = recipe.pristine.arguments

        def run_tool(command: Sequence[str], owner: Account | None = None) -> None:
            _run_to_end(command, name=name, place=place, site=site, account=owner)

        def make() -> None:
            data.mkdir(mode=0o700)
            if account:
                os.chown(data, account.uid, account.gid)
            maker = program.with_name(recipe.pristine.program if recipe.pristine else "")
            run_tool([str(maker), *(fill(text, values) for text in arguments)], account)

        cache_entry = pristine.provide(
            data,
            cache=cache_dir(),
            identity=(
                found.version,
                found.fingerprint,
                account.name if account else "",
                *arguments,
            ),
            make=make,
            run=run_tool,
            building=site.building,
            later=site.later,
        )
    return EmbeddedServer(
        name=name,
        service=service,
        product=found.program.product,
        recipe=recipe,
        program=program,
        account=account,
        values=values,
        place=place,
        site=site,
        cache_entry=cache_entry,
    )


def _write(path: Path, content: str, account: Account | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if account:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(content)


def _environment(place: Path) -> dict[str, str]:
    """What a server gets to see: nothing of the user's that could change what it does."""
    kept = (
        "PATH",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPYCACHEPREFIX",
    )
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {
        "HOME": str(place / "run"),
        "TMPDIR": str(place / "run"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def _cannot_start(program: str, error: OSError, account: Account | None) -> KeeperStartFailed:
    who = f" as user {account.name}" if account else ""
    if isinstance(error, PermissionError):
        hint = f"look for the closed door with: namei -l {program}"
    else:
        hint = "pip install --force-reinstall 'envkit-services[embedded]'"
    return KeeperStartFailed(f"{program} cannot be started{who}: {error.strerror}", hint=hint)


def _run_to_end(
    command: Sequence[str], *, name: str, place: Path, site: Site, account: Account | None
) -> None:
    log = site.logs / f"{name}.log"
    output = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    begun = os.fstat(output).st_size
    try:
        process = site.spawn(
            command,
            environment=_environment(place),
            directory=place,
            output=output,
            account=account,
            stop_signal=signal.SIGKILL,
        )
        process.wait()
        site.ended(process.pid)
        said = os.pread(output, 1 << 16, begun).decode(errors="replace").strip()
    except OSError as error:
        raise _cannot_start(command[0], error, account) from None
    finally:
        os.close(output)
    if process.returncode:
        raise KeeperStartFailed(
            f"{Path(command[0]).name} failed with exit code {process.returncode}",
            detail=said,
            hint="read what it says above",
        )
