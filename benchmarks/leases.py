"""How long leases take: hand-out, first answers, recycling, rates, memory; and those of others.

``python benchmarks/leases.py [--quick] [--json FILE] [--check]``

Everything is measured in one run, and the others work on the same Postgres server. README.md says
what each line means.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import psycopg

# This directory would hide the package `docker` behind the benchmark of that name.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.cycles import WAYS, Job, Server, schema
from benchmarks.ground import LIMIT_S, Ground, Samples, facts, since
from benchmarks.lease_tables import BUDGET_TABLES, Budget, budgets, print_all
from envkit import config
from envkit.keeper.client import Client, connect
from envkit.model import SERVICES, ServiceName, Want
from envkit.processes import descendants
from envkit.templates import Templates

_CYCLES = str(Path(__file__).with_name("cycles.py"))
_WORK_S = 0.05
_POOL = 4
_WARM = 8  # of each service, to see what one of them takes
_MANY = 10_000  # tests are to come, as far as the keeper knows
_PEER = "pytest-postgresql"
_CONFIGURATION = '[tool.envkit]\nbackend = "embedded"\n'


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    tables: tuple[int, ...] = (0, 50, 500)
    works: tuple[str, ...] = ("idle", "writing", "ddl")
    rounds: int = 100
    few: int = 15
    clients: tuple[int, ...] = (1, 4, 16)
    seconds: float = 1.5


_QUICK = Extent(tables=(50,), rounds=20, few=5, clients=(1, 4), seconds=0.7)


class Keeper:
    """A project of the benchmark, and a connection to its keeper."""

    def __init__(self, ground: Ground, name: str, tables: Sequence[int], pool: int) -> None:
        templates = [f't{n} = {{ schema = ["{n}.sql"] }}\n' for n in tables if n]
        pools = [f"[tool.envkit.{service}]\npool = {pool}\n" for service in SERVICES]
        text = [_CONFIGURATION, *pools, "[tool.envkit.postgres.templates]\n", *templates]
        self.project = ground.new_project(name, "".join(text))
        for number in tables:
            (self.project / f"{number}.sql").write_text(schema(number))
        loaded = config.load(self.project)
        self.client: Client = connect(loaded.root, loaded.settings)
        self._templates = Templates(loaded)

    def wants(self, services: Sequence[ServiceName], tables: int) -> list[Want]:
        """With the templates of these built."""
        wants = self._templates.wants(services, template=template(tables))
        self._templates.ensure(self.client, wants)
        return wants

    def settled(self, **ready: int) -> None:
        """Wait until nothing is to be made, renewed or removed any more.

        Args:
            ready: Service to how many are to be ready then.
        """
        begun = time.monotonic()
        while any(
            row["pending"] or row["ready"] < ready.get(row["service"], 0)
            for row in self.client.status()["services"]
        ):
            if since(begun) > LIMIT_S * 1000:
                raise RuntimeError(f"the keeper does not finish: {self.client.status()}")
            time.sleep(0.0005)

    def admin(self) -> psycopg.Connection[Any]:
        """A superuser's session, over the socket that the keeper uses itself."""
        status = self.client.status()
        port = next(row["port"] for row in status["services"] if row["service"] == "postgres")
        host = f"{status['data']}/postgres/run"
        return psycopg.connect(
            host=host, port=port, user="postgres", dbname="postgres", autocommit=True
        )

    def superuser(self) -> Server:
        """One for others, who come the same way as users of leases."""
        with self.admin() as admin:
            admin.execute("CREATE ROLE peer SUPERUSER LOGIN PASSWORD 'peer'")
            return Server(host="127.0.0.1", port=admin.info.port, user="peer", password="peer")

    def job(self, tables: int, **other: Any) -> Job:
        return Job(
            tables=tables,
            schema=str(self.project / f"{tables}.sql"),
            project=str(self.project),
            template=template(tables),
            **other,
        )


def template(tables: int) -> str:
    return f"t{tables}" if tables else "empty"


class Benchmark:
    """All that is measured; ``result`` is what ``--json`` writes."""

    def __init__(self, ground: Ground, extent: Extent, peers: Sequence[str]) -> None:
        self.result: dict[str, Any] = {}
        self._ground = ground
        self._extent = extent
        self._peers = peers

    def measure(self) -> None:
        warm = Keeper(self._ground, "warm", self._extent.tables, _POOL)
        with warm.client:
            server = self._up(warm)
            steps: dict[str, Callable[[], list[dict[str, Any]]]] = {
                "latency": lambda: self._latency(warm),
                "turn_around": lambda: self._turn_around(warm),
                "peers": lambda: self._latency_of_peers(warm, server),
                "rates": lambda: self._rates(warm, server),
            }
            for name, step in steps.items():
                self._say(name)
                self.result[name] = step()
        self._say("without a pool")
        cold = Keeper(self._ground, "cold", self._extent.tables, 0)
        with cold.client:
            self.result["no_pool"] = self._without_pool(cold)
        self._say("memory")
        large = Keeper(self._ground, "large", self._extent.tables, _WARM)
        with large.client:
            self.result["memory"] = self._memory(large)

    def _say(self, what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{what:<20}", end="\r", file=sys.stderr)

    def _up(self, keeper: Keeper) -> Server:
        keeper.client.start(SERVICES)
        for tables in self._extent.tables:
            keeper.client.warm(keeper.wants(SERVICES, tables), _MANY)
        each = _POOL * len(self._extent.tables)  # of each template
        keeper.settled(postgres=each, redis=_POOL, clickhouse=_POOL)
        return keeper.superuser()

    # -- one client ---------------------------------------------------------------------------

    def _latency(self, keeper: Keeper) -> list[dict[str, Any]]:
        """Tests that do something for a while, one after another."""
        rows = []
        for tables, work in self._kinds():
            job = keeper.job(
                tables,
                way="envkit",
                services=SERVICES,
                work=work,
                work_s=_WORK_S,
                rounds=self._extent.rounds,
            )
            [done] = self._together([job], keeper)["clients"]
            rows.append({"tables": tables, "work": work, "samples": done["samples"]})
        return rows

    def _turn_around(self, keeper: Keeper) -> list[dict[str, Any]]:
        """From the release until all that comes of it is done, with nobody taking another."""
        rows = []
        for tables, work in self._kinds():
            job = keeper.job(tables, way="envkit", services=SERVICES, work=work)
            way = WAYS["envkit"](job)
            took = []
            with contextlib.closing(way):
                for _ in range(self._extent.few):
                    keeper.settled()
                    way.once()
                    begun = time.monotonic()
                    keeper.settled()
                    took.append(since(begun))
            rows.append({"tables": tables, "work": work, "samples": {"turn-around": took}})
        return rows

    def _kinds(self) -> list[tuple[int, str]]:
        # Where there is no table nobody can write into one.
        every = product(self._extent.tables, self._extent.works)
        return [(tables, work) for tables, work in every if tables or work != "writing"]

    def _latency_of_peers(self, keeper: Keeper, server: Server) -> list[dict[str, Any]]:
        rows = []
        for tables, way in product(self._extent.tables, ("envkit", *self._peers)):
            rounds = self._extent.few if tables < 500 else max(3, self._extent.few // 3)
            job = keeper.job(tables, way=way, server=server, rounds=rounds, work_s=_WORK_S)
            [done] = self._together([job], keeper)["clients"]
            rows.append({"tables": tables, "way": way, "samples": done["samples"]})
        return rows

    # -- several clients ----------------------------------------------------------------------

    def _rates(self, keeper: Keeper, server: Server) -> list[dict[str, Any]]:
        """Tests that do nothing else, as many as there can be; their removal counts as well."""
        rows: list[dict[str, Any]] = []
        ways: list[tuple[str, tuple[ServiceName, ...]]] = [("envkit", ("postgres",))]
        ways += [(peer, ("postgres",)) for peer in self._peers]
        ways += [("envkit", SERVICES)]
        for work, clients in product(("idle", "writing"), self._extent.clients):
            for way, services in ways:
                jobs = [
                    keeper.job(
                        BUDGET_TABLES,
                        way=way,
                        number=number,
                        services=services,
                        server=server,
                        work=work,
                        seconds=self._extent.seconds,
                    )
                    for number in range(clients)
                ]
                done = self._together(jobs, keeper)
                count = sum(one["count"] for one in done["clients"])
                rows.append(
                    {
                        "way": way,
                        "services": services,
                        "work": work,
                        "clients": clients,
                        "count": count,
                        "rate": count / done["seconds"],
                    }
                )
            ways = [*ways[1:], ways[0]]  # so that none always follows another
        return rows

    def _together(self, jobs: Sequence[Job], keeper: Keeper) -> dict[str, Any]:
        """Clients that begin at the same moment; and seconds until all of it is cleaned up."""
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(self._process(job)) for job in jobs]
            for process in processes:
                _said(process)
            keeper.settled()
            begun = time.monotonic()
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            clients = [json.loads(_said(process)) for process in processes]
            ended = max(one["ended"] for one in clients)
            if jobs[0].way == "envkit":
                keeper.settled()
                ended = time.monotonic()
        return {"clients": clients, "seconds": ended - begun}

    @contextlib.contextmanager
    def _process(self, job: Job) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, _CYCLES, msgspec.json.encode(job).decode()]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._ground.environment,
            cwd=self._ground.top,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        try:
            yield process
        finally:
            try:
                process.communicate(timeout=LIMIT_S)  # it cleans up at the end of its input
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    # -- the rest -----------------------------------------------------------------------------

    def _without_pool(self, keeper: Keeper) -> list[dict[str, Any]]:
        """A lease that is made when it is asked for, and the same server's own statement."""
        keeper.client.start(["postgres"])
        rows = []
        with keeper.admin() as admin:
            for tables in self._extent.tables:
                wants = keeper.wants(["postgres"], tables)
                source = f"template_{wants[0].template}" if tables else "template0"
                samples: Samples = {"lease": [], "statement": []}
                for turn in range(-2, self._extent.few):
                    for kind in ("lease", "statement")[:: 1 if turn % 2 else -1]:
                        keeper.settled()
                        begun = time.monotonic()
                        if kind == "lease":
                            lease = keeper.client.take(wants)
                            took = since(begun)
                            keeper.client.release(lease.id)
                        else:
                            how = f'CREATE DATABASE mine TEMPLATE "{source}" STRATEGY file_copy'
                            admin.execute(how.encode())
                            took = since(begun)
                            admin.execute("DROP DATABASE mine")
                        if turn >= 0:
                            samples[kind].append(took)
                rows.append({"tables": tables, "samples": samples})
        return rows

    def _memory(self, keeper: Keeper) -> list[dict[str, Any]]:
        """What grows by ready leases, one service after another."""
        rows: list[dict[str, Any]] = []
        kinds: list[tuple[ServiceName, int]] = [("postgres", n) for n in self._extent.tables]
        for service, tables in [*kinds, ("redis", 0), ("clickhouse", 0)]:
            others = _WARM * sum(row["service"] == service for row in rows)
            keeper.client.start([service])
            wants = keeper.wants([service], tables)
            lease = keeper.client.take(wants)  # the first one brings up what all have in common
            keeper.client.release(lease.id)
            keeper.client.warm(wants, 1)
            keeper.settled(**{service: others + 1})
            before = self._taken(keeper)
            keeper.client.warm(wants, _WARM)
            keeper.settled(**{service: others + _WARM})
            after = self._taken(keeper)
            row = {what: (after[what] - before[what]) / (_WARM - 1) for what in after}
            rows.append({"service": service, "tables": tables, **row})
        return rows

    def _taken(self, keeper: Keeper) -> dict[str, float]:
        """MiB that the keeper and its servers have, and their files."""
        status = keeper.client.status()
        sums = dict.fromkeys(("Rss", "Pss"), 0)
        for pid in descendants([status["pid"]]) | {status["pid"]}:
            with contextlib.suppress(OSError):
                said = Path(f"/proc/{pid}/smaps_rollup").read_text()
                for name in sums:
                    sums[name] += int(re.findall(rf"^{name}: *(\d+) kB", said, re.MULTILINE)[0])
        files = 0
        for path in Path(status["data"]).rglob("*"):
            with contextlib.suppress(OSError):
                files += path.lstat().st_blocks * 512
        return {"rss": sums["Rss"] / 1024, "pss": sums["Pss"] / 1024, "files": files / (1 << 20)}


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    _, err = process.communicate(timeout=LIMIT_S)
    raise RuntimeError(f"a client ended with exit code {process.returncode}\n{err}")


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, in under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples and facts")
    parser.add_argument("--check", action="store_true", help="exit 1 if a budget is missed")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    peers = [way for way in WAYS if way != "envkit"]
    if find_spec("pytest_postgresql") is None:
        peers.remove(_PEER)
        print(f"without {_PEER}; to compare with it: pip install 'envkit-services[benchmarks]'")
    machine, ground = facts(), Ground()
    os.environ.clear()  # this process is a client of envkit as well
    os.environ.update(ground.environment)
    begun = time.monotonic()
    benchmark = Benchmark(ground, _QUICK if options.quick else Extent(), peers)
    try:
        ground.compile()
        benchmark.measure()
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # cleaning up is not to be cut short
        ground.remove()
    machine |= {"load_after": os.getloadavg(), "seconds": since(begun) / 1000}
    judged: list[Budget] = budgets(benchmark.result)
    print_all(machine, benchmark.result, judged)
    if options.json:
        result = {"facts": machine, **benchmark.result}
        result["budgets"] = [msgspec.to_builtins(one) for one in judged]
        options.json.write_text(json.dumps(result, indent=1))
    return int(options.check and not all(one.met for one in judged))


if __name__ == "__main__":
    sys.exit(main())
