"""How long a visit of the doctor takes: healthy, with an engine, and with what never answers.

``python benchmarks/doctor.py [--repeat N] [--json FILE] [--check]``

README.md says what each line means.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

# This directory would hide the package `docker` behind the benchmark of that name.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ground import LIMIT_S, Ground, Sample, facts, in_turns, p90, since

_BUDGET_MS = 1500
_LINES = {
    "python": "python -c pass",
    "connect": "floor: python connects to Postgres by psycopg",
    "healthy": "embedded, healthy",
    "up": "embedded, all three up, healthy",
    "docker": "with an engine, healthy",
    "endpoint": "an endpoint that never answers",
    "engine": "an engine that never answers",
    "log": "--log of 10,000 lines",
}
_PROJECT = '[project]\nname = "b"\nversion = "1"\n[tool.envkit]\nbackend = "{backend}"\n'


class Silent:
    """A listener that takes connections and says nothing."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._taken: list[socket.socket] = []
        listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.close()
        for one in self._taken:
            one.close()


@contextlib.contextmanager
def silent(listener: socket.socket) -> Iterator[socket.socket]:
    taker = Silent(listener)
    try:
        yield listener
    finally:
        taker.close()


class Benchmark:
    """Projects in each of the states."""

    def __init__(self, ground: Ground, port: int, engine: Path) -> None:
        self.ground = ground
        self.no_engine = {"DOCKER_HOST": f"unix://{ground.top}/no-engine.sock"}
        self.embedded = ground.new_project("embedded", _PROJECT.format(backend="embedded"))
        self.up = ground.new_project("up", _PROJECT.format(backend="embedded"))
        self.docker = ground.new_project("docker", _PROJECT.format(backend="docker"))
        self.auto = ground.new_project("auto", _PROJECT.format(backend="auto"))
        self.hung_endpoint = {
            "ENVKIT_POSTGRES_URL": f"postgresql://u:p@127.0.0.1:{port}/app_test"
        } | self.no_engine
        self.hung_engine = {"DOCKER_HOST": f"unix://{engine}"}
        self.log = ground.top / "log"
        self.log.write_text("".join(f"step {n} of the build took {n} ms\n" for n in range(10_000)))

    def visit(
        self, key: str, project: Path, environment: dict[str, str], codes: tuple[int, ...] = (0,)
    ) -> Sample:
        arguments = ["--log", str(self.log)] if key == "log" else []
        return self._timed(
            key, [*self.ground.envkit, "doctor", *arguments], project, environment, codes
        )

    def python(self) -> Sample:
        return self._timed("python", [sys.executable, "-c", "pass"], self.embedded, {}, (0,))

    def connect(self) -> Sample:
        program = (
            "import os, psycopg\npsycopg.connect(os.environ['DATABASE_URL']).execute('select 1')\n"
        )
        return self._timed("connect", [sys.executable, "-c", program], self.up, self.exported, (0,))

    def start(self) -> None:
        self.ground.run([*self.ground.envkit, "up"], cwd=self.up, env=self.no_engine)
        _, said = self.ground.run(
            [*self.ground.envkit, "export", "--format", "json"], cwd=self.up, env=self.no_engine
        )
        self.exported = {"DATABASE_URL": json.loads(said)["services"]["postgres"]["url"]}

    def _timed(
        self,
        key: str,
        command: list[str],
        project: Path,
        environment: dict[str, str],
        codes: tuple[int, ...],
    ) -> Sample:
        begun = time.monotonic()
        with self.ground.started(
            command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            said, _ = process.communicate(timeout=LIMIT_S)
            took = since(begun)
        if process.returncode not in codes:
            raise RuntimeError(f"{key}: exit code {process.returncode}\n{said.decode()}")
        return {key: took}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--repeat", type=int, default=10, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true", help="fail if a budget is missed")
    options = parser.parse_args()
    machine = facts()
    ground = Ground()
    has_engine = (
        subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )
    try:
        ground.compile()
        engine = ground.top / "hung.sock"
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.bind(str(engine))
        with silent(socket.create_server(("127.0.0.1", 0))) as endpoint, silent(unix):
            made = Benchmark(ground, endpoint.getsockname()[1], engine)
            made.start()
            steps: list[Callable[[], Sample]] = [
                made.python,
                made.connect,
                partial(made.visit, "healthy", made.embedded, made.no_engine),
                partial(made.visit, "up", made.up, made.no_engine),
                partial(made.visit, "endpoint", made.auto, made.hung_endpoint, (3,)),
                partial(made.visit, "engine", made.auto, made.hung_engine, (3,)),
                partial(made.visit, "log", made.embedded, {}, (3,)),
            ]
            if has_engine:
                steps.append(partial(made.visit, "docker", made.docker, {}))
            samples = in_turns(steps, options.repeat)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # cleaning up is not to be cut short
        ground.remove()
    print("{cpu}, {cores} cores, Linux {kernel}, Python {python}".format(**machine))
    print(f"load before {machine['load_before'][0]:.1f}; {options.repeat} rounds; milliseconds\n")
    print(f"{'':<48}{'median':>8}{'p90':>8}{'x connect':>11}  budget {_BUDGET_MS}")
    floor = statistics.median(samples["connect"])
    missed = False
    for key, what in _LINES.items():
        if key not in samples:
            print(f"{what:<48}(no engine answers)")
            continue
        median = statistics.median(samples[key])
        kept = median <= _BUDGET_MS
        missed |= not kept
        print(
            f"{what:<48}{median:>8.0f}{p90(samples[key]):>8.0f}{median / floor:>11.2f}"
            f"  {'ok' if kept else 'MISSED'}"
        )
    if options.json:
        options.json.write_text(json.dumps({"facts": machine, "samples": samples}, indent=1))
    return int(options.check and missed)


if __name__ == "__main__":
    sys.exit(main())
