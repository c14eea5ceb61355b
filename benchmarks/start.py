"""How long starts take: each server alone, all three through envkit, and what envkit adds besides.

``python benchmarks/start.py [--repeat N] [--json FILE] [--check]``

Everything is measured in one run and in turns, so that a machine that slows down slows all alike.
README.md says what each line means.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

# This directory would hide the package `docker` behind the benchmark of that name.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ground import LIMIT_S, Ground, Sample, Samples, facts, in_turns, p90, since
from envkit import config, services
from envkit.backends.accounts import account_for_server
from envkit.backends.embedded import free_port
from envkit.host import find_programs
from envkit.keeper.client import connect
from envkit.model import SERVICES, ServiceName, Settings
from envkit.recipes import FoundProgram
from envkit.services.spec import Address, new_password

_PLUGIN_PAIRS = 15  # pytest runs of 0.3 s vary by more than the few ms looked for
_FLOOR = "clickhouse-floor"
_PHASES = ("connect", "start", "lease", "answers")


@dataclass(frozen=True)
class Row:
    """One line of the table: ``floor`` names the line it is divided by, ``most`` is a budget."""

    key: str
    what: str
    floor: str = ""
    most_ms: float | None = None
    most_ratio: float | None = None


_THROUGH_ENVKIT = (
    Row("three", "three through envkit, connect to answers", _FLOOR, 900, 2.5),
    Row("three-run", "  whole command: envkit run -- true", _FLOOR),
    Row("first", "the very first time, connect to answers", _FLOOR, 1500),
    Row("first-run", "  whole command: envkit run -- true", _FLOOR),
    Row("close", "closing as the last client"),
    Row("join", "joining what is up, connect + start", "", 50),
    Row("join-run", "  whole command: envkit run -- true", "python"),
    Row("down", "envkit down with three up, whole command", "python", 300),
    Row("help", "envkit --help, whole command", "python", 120),
    Row("pytest", "pytest -p no:envkit, one trivial test", "python"),
    Row("plugin", "  what the plugin adds (difference in pairs)", "", 15),
)


# -- one server alone -----------------------------------------------------------------------------


class Alone:
    """One server, started by hand from envkit's own recipe for it."""

    def __init__(self, ground: Ground, service: ServiceName, found: FoundProgram) -> None:
        self.name = f"{found.program.product} {found.version}"
        self.found = found
        self._ground = ground
        self._spec = services.load(service)
        self._recipe = self._spec.process(Settings().of(service), found)
        self._options: dict[str, Any] = {"cwd": "/", "stop_signal": self._recipe.stop_signal}
        self._owner = (-1, -1)  # as chown(2) says it: whoever it is
        if account := account_for_server() if self._recipe.unprivileged else None:
            self._owner = (account.uid, account.gid)
            self._options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
        self.program = program_in_use(ground, service) if account else Path(found.path)
        self._pristine = self._directory(ground.data / f"pristine-{service}")
        self._initdb(self._pristine)

    def start(self, *, initdb: bool = False) -> float:
        """Milliseconds from exec to the first answer; ``initdb`` counts the making of its data."""
        place = Path(tempfile.mkdtemp(prefix="s-", dir=self._ground.data))
        place.chmod(0o711)
        data, run, log = place / "data", place / "run", place / "log"
        values = {"program": str(self.program), "python": sys.executable}
        values |= {"data": str(self._directory(data)), "run": str(self._directory(run))}
        port = free_port()
        values |= {"user": self._spec.admin, "password": new_password(), "port": str(port)}
        if not initdb:
            subprocess.run(["cp", "-a", f"{self._pristine}/.", str(data)], check=True)
        begun = time.monotonic()
        if initdb:
            self._initdb(data)
        for name, content in self._recipe.files.items():
            path = Path(_fill(name, values))
            path.write_text(_fill(content, values))
            os.chown(path, *self._owner)
        command = [_fill(text, values) for text in self._recipe.arguments]
        # Over its socket Postgres lets its admin in as it is; setting a password comes later.
        host = str(run) if self._recipe.has_socket else "127.0.0.1"
        address = Address(host=host, port=port, user=values["user"], password=values["password"])
        with (
            log.open("wb") as out,
            self._ground.started(command, stdout=out, stderr=out, **self._options) as process,
        ):
            while True:
                try:
                    self._spec.greet(address, LIMIT_S)
                    break
                except Exception as error:  # every driver has its own kinds of "not yet"
                    if process.poll() is not None or since(begun) > LIMIT_S * 1000:
                        said = log.read_text(errors="replace")
                        raise RuntimeError(f"{command[0]}: {error}\n{said}") from None
                    time.sleep(0.001)
            took = since(begun)
        shutil.rmtree(place)
        return took

    def _initdb(self, data: Path) -> None:
        if pristine := self._recipe.pristine:
            arguments = [_fill(text, {"data": str(data)}) for text in pristine.arguments]
            maker = str(self.program.with_name(pristine.program))
            self._ground.run([maker, *arguments], **self._options)

    def _directory(self, path: Path) -> Path:
        path.mkdir(mode=0o700)
        os.chown(path, *self._owner)
        return path


def program_in_use(ground: Ground, service: ServiceName) -> Path:
    """The file that envkit runs; root's may be a copy that the server's user can reach."""
    ground.run([*ground.envkit, "up", service])
    said = json.loads(ground.run([*ground.envkit, "status", "--format", "json"])[1])
    program = Path(f"/proc/{said['keepers'][0]['services'][0]['pid']}/exe").readlink()
    ground.run([*ground.envkit, "down"])
    return program


def _fill(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\{([a-z]+)\}", lambda match: values.get(match[1], match[0]), text)


# -- all three through envkit ---------------------------------------------------------------------


def client(task: str) -> None:
    """In a process of its own: be a client of envkit, and print as JSON what that took.

    Python is up and the drivers are imported before the clock starts, as in a test run.
    """
    loaded = config.load()
    for name in ("psycopg", "http.client", *(f"envkit.services.{one}" for one in SERVICES)):
        import_module(name)
    took: Sample = {}
    begun = time.monotonic()
    with connect(loaded.root, loaded.settings) as held:
        took["connect"] = since(begun)
        held.start(SERVICES)
        took["start"] = since(begun)
        if task == "answers":
            lease = held.take(SERVICES)
            took["lease"] = since(begun)
            for service, e in lease.endpoints.items():
                address = Address(host=e.host, port=e.port, user=e.user, password=e.password)
                services.load(service).greet(address, LIMIT_S)
            took["answers"] = since(begun)
        closing = time.monotonic()
    print(json.dumps(took | {"close": since(closing)}))


class Benchmark:
    """The steps, the rows they fill, and their samples."""

    def __init__(self, ground: Ground, repeat: int) -> None:
        self.samples: Samples = {}
        self._ground = ground
        self._repeat = repeat
        self._pairs = 0
        here = {name: find_programs(services.load(name).programs) for name in SERVICES}
        postgres = self.postgres = Alone(ground, "postgres", here["postgres"][0])
        clickhouse = Alone(ground, "clickhouse", here["clickhouse"][0])
        self.rows = [
            Row("python", "empty Python interpreter, whole command"),
            Row("postgres", f"{postgres.name} alone, exec to answer"),
            Row("postgres-initdb", "  with initdb each time", "postgres"),
        ]
        self._steps: list[Callable[[], Sample]] = [
            lambda: {"postgres": postgres.start()},
            lambda: {"postgres-initdb": postgres.start(initdb=True)},
        ]
        for number, found in enumerate(here["redis"]):
            redis, key = Alone(ground, "redis", found), f"redis-{number}"
            self.rows.append(Row(key, f"{redis.name} alone, exec to answer"))
            self._steps.append(partial(lambda key, server: {key: server.start()}, key, redis))
        key = _FLOOR  # a real server from PATH is its own floor
        if clickhouse.found.program.origin == "module":
            self.rows.append(Row(_FLOOR, "ClickHouse's floor: import chdb + one SELECT"))
            self._steps.append(self._chdb)
            key = "clickhouse"
        self.rows.append(Row(key, f"{clickhouse.name} alone, exec to answer", _FLOOR))
        self.rows += _THROUGH_ENVKIT
        self._steps += [
            partial(lambda key: {key: clickhouse.start()}, key),
            self._three,
            lambda: {"three-run": self._command("run", "--", "true")},
            self._first,
            self._joined,
            lambda: {"help": self._command("--help")},
            lambda: {"python": self._python("-c", "pass")[0]},
        ]

    def measure(self) -> None:
        """All rounds; the plugin's pairs are too many to take turns with the rest."""
        self._ground.compile()
        pairs = -(-_PLUGIN_PAIRS // self._repeat)
        self.samples = in_turns(self._steps, self._repeat, [self._plugin] * pairs)

    def _python(self, *arguments: str, **environment: str) -> tuple[float, str]:
        return self._ground.run([sys.executable, *arguments], env=environment)

    def _command(self, *arguments: str, **environment: str) -> float:
        return self._ground.run([*self._ground.envkit, *arguments], env=environment)[0]

    def _client(self, task: str, **environment: str) -> Sample:
        took: Sample = json.loads(self._python(__file__, "--client", task, **environment)[1])
        return took

    def _chdb(self) -> Sample:
        begun = time.monotonic()
        # The answer comes before the end, which costs this process some time more.
        code = "import chdb, time; print(chdb.query('SELECT 1'), time.monotonic())"
        answer = self._python("-c", code)[1].split()
        return {_FLOOR: (float(answer[1]) - begun) * 1000}

    def _three(self) -> Sample:
        took = self._client("answers")
        phases = {f"three:{name}": took[name] for name in _PHASES}
        return {"three": took["answers"], "close": took["close"]} | phases

    def _first(self) -> Sample:
        new = partial(tempfile.TemporaryDirectory, dir=self._ground.top)
        with new() as one, new() as other:
            took = self._client("answers", XDG_CACHE_HOME=one)["answers"]
            run = self._command("run", "--", "true", XDG_CACHE_HOME=other)
        return {"first": took, "first-run": run}

    def _joined(self) -> Sample:
        self._command("up")
        return {
            "join": self._client("join")["start"],
            "join-run": self._command("run", "--", "true"),
            "down": self._command("down"),
        }

    def _plugin(self) -> Sample:
        """A pair of runs; in every other pair the one without the plugin is the first."""
        took: dict[bool, float] = {}
        self._pairs += 1
        # Whatever else is installed would be in both, and only add noise.
        others = {one.name for one in metadata.entry_points(group="pytest11")} - {"envkit"}
        for without in (True, False) if self._pairs % 2 else (False, True):
            blocked = others | ({"envkit"} if without else set())
            arguments = [f"-pno:{name}" for name in ("cacheprovider", *sorted(blocked))]
            took[without], _ = self._python("-m", "pytest", "-q", *arguments)
        return {"pytest": took[True], "plugin": took[False] - took[True]}


# -- what comes out -------------------------------------------------------------------------------


def figures(row: Row, samples: Samples) -> dict[str, Any]:
    """A row's figures; ``ok`` is None without a budget."""
    own = samples[row.key]
    median = statistics.median(own)
    ratio = median / statistics.median(samples[row.floor]) if row.floor else None
    kept = [median < row.most_ms] if row.most_ms else []
    kept += [ratio <= row.most_ratio] if row.most_ratio and ratio else []
    found = {"what": row.what.strip(), "median_ms": median, "min_ms": min(own), "p90_ms": p90(own)}
    budget = {"most_ms": row.most_ms, "most_ratio": row.most_ratio}
    return found | {"ratio": ratio} | budget | {"ok": all(kept) if kept else None}


def line(row: Row, found: dict[str, Any]) -> str:
    """A line of the table, at most 100 columns wide."""
    numbers = "{median_ms:>8.1f}{min_ms:>8.1f}{p90_ms:>8.1f}".format(**found)
    ratio = "" if found["ratio"] is None else f"{found['ratio']:.2f}"
    budget = [f"< {row.most_ms:.0f}"] if row.most_ms else []
    budget += [f"<= {row.most_ratio}x"] if row.most_ratio else []
    verdict = {True: "ok", False: "MISSED", None: ""}[found["ok"]]
    return f"{row.what:<46}{numbers}{ratio:>9}  {', '.join(budget):<15}{verdict}".rstrip()


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=7, metavar="N", help="rounds (default 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples and facts")
    parser.add_argument("--check", action="store_true", help="exit 1 if a budget is missed")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options.client)
        return 0
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    machine, ground = facts(), Ground()
    # Not the backend that suits this machine best, which may be docker.
    project = ground.new_project("p", '[tool.envkit]\nbackend = "embedded"\n')
    (project / "test_trivial.py").write_text("def test_trivial():\n    pass\n")
    try:
        benchmark = Benchmark(ground, options.repeat)
        benchmark.measure()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # cleaning up is not to be cut short
        ground.remove()
    samples = benchmark.samples
    found = {row.key: figures(row, samples) for row in benchmark.rows}
    print("{cpu}, {cores} cores, Linux {kernel}, Python {python}".format(**machine))
    print(f"load before {machine['load_before'][0]:.1f}; {options.repeat} rounds; milliseconds\n")
    print(f"{'':<46}{'median':>8}{'min':>8}{'p90':>8}{'x floor':>9}  budget")
    for row in benchmark.rows:
        print(line(row, found[row.key]))
    phases = [f"{name} {statistics.median(samples[f'three:{name}']):.0f}" for name in _PHASES]
    print(f"\nthree through envkit, since connect: {', '.join(phases)}")
    print("Byte code was compiled beforehand, as installing does; without a terminal.")
    if str(benchmark.postgres.program) != benchmark.postgres.found.path:
        print(f"As root: {benchmark.postgres.program}\nwas there before 'the very first time'.")
    if options.json:
        result = {"facts": machine, "figures": found, "samples": samples}
        options.json.write_text(json.dumps(result, indent=1))
    return int(options.check and any(one["ok"] is False for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
