"""Projects in directories of their own, and a look for what they leave behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec
import pytest

from envkit.engine.address import engine_address
from envkit.engine.client import new_client
from envkit.errors import EnvkitError
from envkit.model import DockerSettings
from envkit.processes import start_time
from tests.foreign import Foreign, run_clickhouse, run_postgres, run_redis

if TYPE_CHECKING:
    from docker import DockerClient

    from envkit.backends.images import Built
    from envkit.engine.address import EngineAddress

# Projects of their own, which `test_examples` runs.
collect_ignore = ["examples"]

# What would change what our programs do or how they print it.
_NOT_FOR_TESTS = (
    *("CI", "USE_REAL_SERVICES", "GITHUB_ENV", "PYTEST_ADDOPTS"),
    *("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONIOENCODING"),
)
# The engine as it was named before the suite hides it (see `_own_places`).
_ENGINE = DockerSettings(
    host=os.environ.get("DOCKER_HOST", ""), context=os.environ.get("DOCKER_CONTEXT", "")
)
# Not ENVKIT_…: envkit refuses names of that kind that it does not know.
_ENGINE_REQUIRED = os.environ.get("TEST_DOCKER") == "require"


# A shell starts what runs in the background with Ctrl-C ignored, and all children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the suite away from the developer's own keepers, and share one cache among its workers.

    The run directory must have a short path, which pytest's temporary directories do not.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    short = Path(tempfile.mkdtemp(prefix="ek-", dir="/tmp"))
    places = {
        "XDG_CACHE_HOME": str(shared / "cache"),
        "XDG_STATE_HOME": str(short / "state"),
        "XDG_RUNTIME_DIR": str(short / "run"),
    }
    (short / "run").mkdir(mode=0o700)
    # Whether this machine has a container engine must not change what the other tests see; those
    # that are about engines name theirs.
    places["DOCKER_HOST"] = f"unix://{short}/no-engine.sock"
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("ENVKIT_") or name in _NOT_FOR_TESTS:
                patch.delenv(name)
        for name, value in places.items():
            patch.setenv(name, value)
        yield
    shutil.rmtree(short, ignore_errors=True)


class Engine:
    """The container engine of this machine, which tests see only if they ask for it.

    Args:
        address: Of the engine.
        projects: The directory that all projects of this worker's tests are in.
    """

    def __init__(self, address: EngineAddress, projects: Path) -> None:
        self.address = address
        self.client: DockerClient = new_client(address)
        self._projects = f"{projects}{os.sep}"
        self._volumes: set[str] = set()

    @staticmethod
    def lacks(what: str) -> NoReturn:
        """Skip a test that needs more than an engine, or fail it with TEST_DOCKER=require."""
        if _ENGINE_REQUIRED:
            pytest.fail(f"TEST_DOCKER=require, but {what}", pytrace=False)
        pytest.skip(what)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead envkit and the docker command to it."""
        return self.address.environment()

    def containers(self) -> list[str]:
        """The names of those that keepers of this worker's tests have, dead ones' included."""
        found = []
        for one in self.client.api.containers(all=True, filters={"label": "envkit.owner"}):
            if one["Labels"].get("envkit.project", "").startswith(self._projects):
                found.append(one["Names"][0].removeprefix("/"))
                self._volumes.update(m["Name"] for m in one["Mounts"] if m.get("Name"))
        return found

    def volumes(self) -> list[str]:
        """Those that such containers had and that are still there; nothing else tells whose."""
        self.containers()
        if not self._volumes:
            return []
        there = self.client.api.volumes()["Volumes"] or ()
        return [one["Name"] for one in there if one["Name"] in self._volumes]


@pytest.fixture(scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine | EnvkitError]:
    """The engine, or why there is none."""
    try:
        found = Engine(engine_address(_ENGINE), tmp_path_factory.getbasetemp())
    except EnvkitError as error:
        yield error
        return
    yield found
    found.client.close()


def _what(error: EnvkitError) -> str:
    return " ".join(filter(None, (error.observed, error.detail)))


@pytest.fixture(scope="session")
def engine(_engine: Engine | EnvkitError) -> Engine:
    """The container engine; without one the test is skipped, or fails with TEST_DOCKER=require.

    It stays hidden from what the test starts: see `with_engine`.
    """
    if isinstance(_engine, EnvkitError):
        Engine.lacks(_what(_engine))
    return _engine


@pytest.fixture(scope="session")
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> list[Built]:
    """Images of all services, in both variants; built at most once for all workers."""
    from envkit.backends.images import Built, build

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    done = shared / "images.json"
    with (shared / "images.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return msgspec.json.decode(done.read_bytes(), type=list[Built])
        for name, value in engine.environment.items():
            patch.setenv(name, value)
        try:
            built = build()
        except EnvkitError as error:
            engine.lacks(_what(error))
        done.write_bytes(msgspec.json.encode(built))
        return built


@pytest.fixture
def with_engine(engine: Engine, images: list[Built], monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Let what this test starts see the engine, which has the images that envkit builds."""
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    return engine


class Leftovers:
    """What keepers of this worker's state directory have around.

    Args:
        engine: Whose containers and volumes are looked at as well.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self.mark = os.environ["XDG_STATE_HOME"]
        self._engine = engine

    def all(self) -> list[str]:
        return [*self.processes(), *self.directories(), *self.files(), *self.in_engine()]

    def in_engine(self) -> list[str]:
        """Containers, and volumes of those that have been seen here."""
        if self._engine is None:
            return []
        return [*self._engine.containers(), *self._engine.volumes()]

    def directories(self) -> list[str]:
        found = []
        for parent in ("/dev/shm", os.environ.get("TMPDIR", "/tmp")):
            for path in Path(parent).glob("envkit-*-*"):
                try:
                    owner = (path / "lock").read_text()
                except OSError:
                    continue
                if owner.startswith(self.mark):
                    found.append(str(path))
        return found

    def files(self) -> list[str]:
        run = Path(os.environ["XDG_RUNTIME_DIR"], "envkit")
        state = Path(self.mark, "envkit")
        # An empty record is a lock that a client was killed with before it had started anything.
        records = []
        for path in state.glob("*.keeper"):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                records += [path] if path.stat().st_size else []
        return [str(p) for p in [*run.glob("*.sock"), *records]]

    def processes(self) -> list[str]:
        """Keepers and watchdogs, by their environment, and servers, by where they work."""
        directories = self.directories()
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit() or start_time(int(process.name)) is None:
                continue
            try:
                arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (process / "environ").read_bytes()
                where = str((process / "cwd").readlink())
            except OSError:
                continue
            ours = f"XDG_STATE_HOME={self.mark}\0".encode() in environment and (
                "/envkit/keeper/" in arguments
            )
            if ours or any(where.startswith(directory) for directory in directories):
                found.append(f"{process.name} {arguments}")
        return found

    def wait_until_none(self, limit: float = 2.0) -> list[str]:
        """What is still there after this many seconds."""
        end = time.monotonic() + limit
        while (left := self.all()) and time.monotonic() < end:
            time.sleep(0.01)
        return left


@pytest.fixture
def leftovers(_engine: Engine | EnvkitError) -> Leftovers:
    return Leftovers(_engine if isinstance(_engine, Engine) else None)


class Project:
    """A directory with a project in it, and the envkit command in that directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def envkit(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "envkit", *arguments],
            cwd=self.root,
            input=stdin,
            capture_output=True,
            text=True,
            env=os.environ | environment,
            timeout=60,
        )

    def shown(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        """What a person sees of a command, exit code included, for snapshots."""
        result = self.envkit(*arguments, stdin=stdin, **environment)
        return self.steady(
            f"exit code {result.returncode}\n-- stdout\n{result.stdout}-- stderr\n{result.stderr}"
        )

    def steady(self, text: str) -> str:
        """The text with what differs from run to run or machine to machine replaced."""
        for pattern, instead in (
            (re.escape(str(self.root)), "PROJECT"),
            (re.escape(os.environ["DOCKER_HOST"]), "NO-ENGINE"),
            (r"\b[a-z2-7]{32}\b", "PASSWORD"),
            (r"\b\d+ ms\b", "N ms"),
            (r"\(keeper \d+\)", "(keeper PID)"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
            (r"\b\d+(\.\d+){1,3}\b(?!\.\d|:PORT)", "N.N"),
            (r"\b(lease_\d+|export)_[0-9a-f]{6}\b", r"\1_ID"),
            # Columns, whose widths depend on versions and ports.
            (r"(?<=\S) {2,}(?=ready|failed|stopped|was up|Valkey|ClickHouse|PostgreSQL)", "  "),
            (r"(?<=\S) {2,}(?=127|\d+ lease|embedded:)", "  "),
        ):
            text = re.sub(pattern, instead, text)
        return text

    def spawn(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "envkit", *arguments],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | environment,
        )

    def python(self, code: str) -> subprocess.Popen[str]:
        """A program of its own in this project."""
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=self.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project of this test's own; whatever it has running is stopped at the end."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "envkit.toml").write_text('services = ["redis"]\n')
    made = Project(root)
    yield made
    made.envkit("down")


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """For tests with several checkouts."""
    made: list[Project] = []

    def make(name: str) -> Project:
        root = tmp_path / name
        root.mkdir(parents=True)
        (root / "envkit.toml").write_text('services = ["redis"]\n')
        made.append(Project(root))
        return made[-1]

    yield make
    for one in made:
        one.envkit("down")


# -- servers that somebody else runs ---------------------------------------------------------------


@pytest.fixture(scope="session")
def foreign_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    place = tmp_path_factory.mktemp("foreign")
    with run_postgres(place, max_prepared_transactions="5") as server:
        yield server


@pytest.fixture(scope="session")
def foreign_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with run_redis(tmp_path_factory.mktemp("foreign")) as server:
        yield server


@pytest.fixture(scope="session")
def foreign_clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    with run_clickhouse(tmp_path_factory.mktemp("foreign")) as server:
        yield server


@pytest.fixture(scope="session")
def foreign_urls(
    foreign_postgres: Foreign, foreign_redis: Foreign, foreign_clickhouse: Foreign
) -> dict[str, str]:
    """Environment variables that make all three services attached ones."""
    return {
        "ENVKIT_POSTGRES_URL": foreign_postgres.url,
        "ENVKIT_REDIS_URL": foreign_redis.url,
        "ENVKIT_CLICKHOUSE_URL": foreign_clickhouse.url,
    }
