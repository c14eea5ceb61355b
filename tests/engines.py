"""Container engines for tests: this machine's, and others that tests may fill, cut off and kill.

Loaded by ``pytest_plugins`` in the files that need it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from envkit.keeper.record import name_of

if TYPE_CHECKING:
    from envkit.backends.images import Built
    from tests.conftest import Engine as TheEngine
    from tests.conftest import Project

REQUIRED = os.environ.get("TEST_DOCKER") == "require"
REDIS, POSTGRES, CLICKHOUSE = "envkit/redis:9", "envkit/postgres:18", "envkit/clickhouse:26.9"


def cannot(reason: str) -> NoReturn:
    """Skip for want of an engine, or fail if this machine is meant to have one."""
    if REQUIRED:
        pytest.fail(f"TEST_DOCKER=require, but {reason}")
    pytest.skip(reason)


class Engine:
    """One engine, looked at from outside of envkit."""

    def __init__(self, url: str) -> None:
        self.url = url

    @functools.cached_property
    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.url, timeout=60)

    def containers(self, project: Project) -> list[Any]:
        """All of a project's, running or not."""
        wanted = {"label": f"envkit.project={name_of(project.root)}"}
        found: list[Any] = self.client.containers.list(
            all=True, filters=wanted, ignore_removed=True
        )
        return found

    def left(self, project: Project, limit: float = 5.0) -> list[str]:
        """Which of a project's containers are still there after this many seconds."""
        end = time.monotonic() + limit
        while (names := [one.name for one in self.containers(project)]) and time.monotonic() < end:
            time.sleep(0.05)
        return names

    def the_container(self, project: Project, service: str = "") -> Any:
        """The one of a service; of the project if it has one only."""
        (found,) = (
            one
            for one in self.containers(project)
            if not service or one.labels["envkit.service"] == service
        )
        return found

    def has(self, image: str) -> bool:
        try:
            self.client.api.inspect_image(image)
        except ImageNotFound:
            return False
        return True

    def take(self, source: Engine, image: str) -> None:
        """Copy an image from another engine, if it is not here."""
        if not self.has(image):
            found = source.client.images.get(image)
            self.client.images.load(b"".join(found.save()))
            self.client.api.tag(found.id, image)

    def build(self, tag: str, dockerfile: str) -> str:
        """An image from a few lines."""
        self.client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True)
        return tag

    def load(self, tag: str, program: bytes, architecture: str) -> str:
        """An image of one program that says which architecture it is for."""
        layer, whole = io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            _add(tar, "program", program, 0o755)
        import hashlib

        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/program"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"],
            },
        }
        manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
        with tarfile.open(fileobj=whole, mode="w") as tar:
            _add(tar, "layer.tar", layer.getvalue())
            _add(tar, "config.json", json.dumps(config).encode())
            _add(tar, "manifest.json", json.dumps(manifest).encode())
        self.client.images.load(whole.getvalue())
        return tag


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


class OwnEngine(Engine):
    """A ``dockerd`` of the test's own.

    Its images and containers lie on a tmpfs, which is thus the disk that can be full.

    Args:
        options: Further ones of dockerd's.
        namespace: Name of the network namespace it runs in; empty for that of the tests.
    """

    SIZE = 192 * 1024 * 1024

    def __init__(self, *options: str, namespace: str = "") -> None:
        self.base = short_directory()
        super().__init__(f"unix://{self.base}/d.sock")
        self.data = self.base / "data"
        self.data.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "tmpfs", str(self.data))
        self._command = [
            *(_inside(namespace) if namespace else ()),
            *("dockerd", "--host", self.url, "--data-root", str(self.data)),
            *("--exec-root", f"{self.base}/run", "--pidfile", f"{self.base}/pid"),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it is not running, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        for file in ("pid", "run/containerd/containerd.pid"):  # of one that was killed
            (self.base / file).unlink(missing_ok=True)
        with (self.base / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + 30
        while True:
            if self._listens():
                return
            if self._process.poll() is not None or time.monotonic() > end:
                text = (self.base / "log").read_text(errors="replace")
                raise RuntimeError(f"dockerd does not start: {text[-20000:]}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        # Without the docker package, which leaves a socket open if nobody answers.
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            sock.settimeout(5)
            sock.connect(f"{self.base}/d.sock")
            sock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return sock.recv(12).endswith(b" 200")
        return False

    def kill(self) -> None:
        """What a crash does: containers run on without it, until it is started again."""
        assert self._process is not None
        self.client.close()
        del self.client  # its connections would be dead
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """It accepts connections and does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def filled(self, except_for: int = 0) -> Iterator[None]:
        """Its disk has no room but for this many bytes."""
        filler = self.data / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(2**20))
                file.truncate(max(0, file.tell() - except_for))
            yield
        finally:
            filler.unlink()

    def empty(self) -> None:
        """Remove all containers, and volumes that an engine without room or life has forgotten."""
        self.start()
        for one in self.client.containers.list(all=True, ignore_removed=True):
            with contextlib.suppress(APIError):
                one.remove(force=True, v=True)
        for volume in self.client.volumes.list():
            with contextlib.suppress(APIError):
                volume.remove(force=True)

    def close(self) -> None:
        """End it and remove all that it made."""
        try:
            with contextlib.suppress(RuntimeError):
                self.empty()
            assert self._process is not None
            self._process.terminate()
            self._process.wait(30)
        finally:
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for path in reversed(mounts):
                if Path(path).is_relative_to(self.base):
                    run("umount", "--lazy", path)
            shutil.rmtree(self.base, ignore_errors=True)


def _inside(namespace: str) -> tuple[str, ...]:
    # Not `ip netns exec`, whose own /sys has no control groups.
    return "nsenter", f"--net=/run/netns/{namespace}"


def short_directory() -> Path:
    """For sockets, whose paths are short; pytest's own directories are not."""
    return Path(tempfile.mkdtemp(prefix="ekd-", dir="/tmp"))


def remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("a container engine of one's own needs root")
    for program in ("dockerd", "ip", "mount", "nsenter"):
        if shutil.which(program) is None:
            cannot(f"{program} is not on PATH")


@pytest.fixture(scope="session")
def local_engine(engine: TheEngine, images: list[Built]) -> Iterator[Engine]:
    """This machine's engine, with the images that ``envkit images build`` makes."""
    found = Engine(engine.address.url)
    for image in (REDIS, POSTGRES, CLICKHOUSE):
        if not found.has(image):
            cannot(f"the engine at {found.url} has no {image}: envkit images build")
    yield found
    found.client.close()


@pytest.fixture(scope="session")
def _own_engine(local_engine: Engine) -> Iterator[OwnEngine]:
    _needs_root()
    number = random.SystemRandom().randrange(1, 65536)
    bridge, network = f"ek{number}", f"10.{200 + number % 50}.{number // 256}"
    run("ip", "link", "add", bridge, "type", "bridge")
    made = None
    try:
        run("ip", "address", "add", f"{network}.1/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        # The other engine's rules stay as they are: its own proxy publishes on loopback.
        made = OwnEngine("--bridge", bridge, "--iptables=false", "--ip-masq=false")
        made.start()
        yield made
    finally:
        if made is not None:
            made.close()
        run("ip", "link", "delete", bridge)


@pytest.fixture
def own_engine(_own_engine: OwnEngine, local_engine: Engine) -> Iterator[OwnEngine]:
    """An engine that the test may do anything to; it has the plain image of Redis."""
    _own_engine.start()
    _own_engine.take(local_engine, REDIS)
    yield _own_engine
    _own_engine.empty()


@pytest.fixture(scope="session")
def distant_engine(local_engine: Engine) -> Iterator[OwnEngine]:
    """An engine on another network, reached over TCP, that has three ports to publish."""
    _needs_root()
    number = random.SystemRandom().randrange(1, 65536)
    namespace, network = f"ek{number}", f"10.{150 + number % 50}.{number // 256}"
    run("ip", "netns", "add", namespace)
    made = None
    try:
        inside = _inside(namespace)
        ends = (f"ek{number}", "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "add", *ends)
        run("ip", "address", "add", f"{network}.1/24", "dev", f"ek{number}")
        run("ip", "link", "set", f"ek{number}", "up")
        run(*inside, "ip", "address", "add", f"{network}.2/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        run(*inside, "ip", "link", "set", "lo", "up")
        ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
        run(*inside, "sh", "-c", f"echo 40000 40002 > {ports}")
        # No certificates: nobody else is on this network.
        made = OwnEngine("--host", f"tcp://{network}.2:2375", "--tls=false", namespace=namespace)
        made.start()
        made.take(local_engine, REDIS)
        made.url = f"tcp://{network}.2:2375"
        yield made
    finally:
        if made is not None:
            made.close()
        run("ip", "netns", "delete", namespace)  # and the interfaces with it


@pytest.fixture
def on_engine(project: Project, local_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose services run on this machine's engine; Redis, unless it says otherwise."""
    return use(project, local_engine, monkeypatch)


@pytest.fixture
def on_own_engine(
    project: Project, own_engine: OwnEngine, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project whose Redis runs on an engine that the test may do anything to."""
    return use(project, own_engine, monkeypatch)


def use(project: Project, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DOCKER_HOST", engine.url)
    monkeypatch.setenv("ENVKIT_BACKEND", "docker")
    return project
