"""What the benchmarks share: a place of their own, rounds in turns, facts about the machine."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import envkit
from envkit.paths import data_dir

__all__ = ["LIMIT_S", "Ground", "Sample", "Samples", "facts", "in_turns", "p90", "since"]

LIMIT_S = 60.0
Sample = dict[str, float]
Samples = dict[str, list[float]]


def since(begun: float) -> float:
    """Milliseconds since a `time.monotonic`."""
    return (time.monotonic() - begun) * 1000


def p90(values: Sequence[float]) -> float:
    if not values[1:]:
        return values[0]
    return statistics.quantiles(values, n=10, method="inclusive")[-1]


class Ground:
    """Directories of our own, and an environment that leads envkit into them."""

    def __init__(self) -> None:
        # Below /tmp whatever TMPDIR says: a socket's path may not be longer than 108 bytes.
        self.top = Path(tempfile.mkdtemp(prefix="envkit-b-", dir="/tmp"))
        self.top.chmod(0o711)  # a server of another user passes through to its own part
        self.project = self.top  # of commands that are not told another
        self.projects: list[Path] = []
        self._places = [self.top]
        # The interpreter's development switches and CI's variables change what a start does.
        foreign = (
            "ENVKIT_",
            "COV",
            "PYTEST_",
            "PYTHON",
            "CI",
            "USE_REAL_",
            "TESTCONTAINERS_",
            "TC_",
        )
        self.environment = {"LANG": "C.UTF-8", "TZ": "UTC"}
        for name, value in os.environ.items():
            if name == "PYTHONPATH" or not name.startswith(foreign):
                self.environment.setdefault(name, value)
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "PYTHONPYCACHEPREFIX"):
            self.environment[name] = str(self.top / name[4])
            (self.top / name[4]).mkdir(mode=0o700)
        script = Path(sys.executable).with_name("envkit")
        self.envkit = [str(script)] if script.exists() else [sys.executable, "-m", "envkit"]

    @functools.cached_property
    def data(self) -> Path:
        """Where envkit's own servers would have theirs."""
        path = data_dir("benchmark")
        path.chmod(0o711)
        self._places.append(path)
        return path

    def new_project(self, name: str, configuration: str) -> Path:
        """A directory with this pyproject.toml; the first one is the default for commands."""
        path = self.top / name
        path.mkdir()
        (path / "pyproject.toml").write_text(configuration)
        self.projects.append(path)
        self.project = self.projects[0]
        return path

    @contextlib.contextmanager
    def started(
        self, command: Sequence[str], stop_signal: int = signal.SIGINT, **options: Any
    ) -> Iterator[subprocess.Popen[Any]]:
        """A process that is gone at the end; SIGINT lets a client of envkit clean up."""
        # In a session of its own: Ctrl-C is for us alone, and we end things in order.
        options = {"cwd": self.project, "start_new_session": True, **options}
        options["env"] = self.environment | options.get("env", {})
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(stop_signal)
                try:
                    process.communicate(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.communicate()

    def run(self, command: Sequence[str], **options: Any) -> tuple[float, str]:
        """A command to its end: milliseconds and standard output."""
        begun, pipe = time.monotonic(), subprocess.PIPE
        with self.started(command, stdout=pipe, stderr=pipe, text=True, **options) as process:
            out, err = process.communicate(timeout=LIMIT_S)
            took = since(begun)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{out}{err}")
        return took, out

    def compile(self) -> None:
        """What an installation does; into the directory of our own that the environment names."""
        package = str(Path(envkit.__file__).parent)
        self.run([sys.executable, "-m", "compileall", "-q", package])

    def remove(self) -> None:
        """Stop what may still run, and leave nothing behind."""
        for project in self.projects:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.run([*self.envkit, "down"], cwd=project)
        begun = time.monotonic()
        # A keeper whose client was interrupted ends by itself, and its file here goes last.
        while any(self.top.rglob("*.keeper")) and since(begun) < 5000:
            time.sleep(0.01)
        for path in self._places:
            shutil.rmtree(path, ignore_errors=True)


def in_turns(
    steps: Sequence[Callable[[], Sample]], repeat: int, last: Sequence[Callable[[], Sample]] = ()
) -> Samples:
    """A round that is thrown away, to fill caches and compile byte code; then those that count.

    The order of the steps moves on by one each round, so that none always follows another; what is
    ``last`` stays at the end.
    """
    samples: Samples = {}
    for turn in range(-1, repeat):
        if sys.stderr.isatty():
            print(f"\rround {turn + 1} of {repeat}", end="\r", file=sys.stderr)
        at = turn % len(steps)
        for step in [*steps[at:], *steps[:at], *last]:
            for key, value in step().items():
                if turn >= 0:
                    samples.setdefault(key, []).append(value)
    return samples


def facts() -> dict[str, Any]:
    """The machine, the versions, and how busy it was before."""
    return {
        "cpu": re.findall(r"model name\s*: (.*)|$", Path("/proc/cpuinfo").read_text())[0],
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {one.metadata["Name"]: one.version for one in metadata.distributions()},
        "load_before": os.getloadavg(),
    }
