"""What stands between a client and its engine or registry: taps, closed ports, and a registry."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Engine, cannot

# Of "secret", as `htpasswd -B` writes it.
_HASH = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"


class Tap:
    """A socket that passes everything on to an engine's, and lets a test act at a moment.

    Args:
        engine: Behind it.
        path: Of the socket; short.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self.url = f"unix://{path}"
        self._target = engine.url.removeprefix("unix://")
        self._moments: list[tuple[str, Callable[[], object]]] = []
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, request: str, action: Callable[[], object]) -> None:
        """Act when a request line fits the pattern for the first time, before it is passed on."""
        self._moments.append((request, action))

    def hang_at(self, request: str) -> None:
        """Never pass on a request of this kind."""

        def hang() -> None:
            self._moments.append((request, hang))
            threading.Event().wait()

        self.at(request, hang)

    def close(self) -> None:
        """From now on nobody gets through; who was, is cut off."""
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            self._open += [client, engine]
            try:
                engine.connect(self._target)
            except OSError:
                client.close()
                engine.close()
                continue
            for source, target, watched in ((client, engine, True), (engine, client, False)):
                threading.Thread(
                    target=self._pass, args=(source, target, watched), daemon=True
                ).start()

    def _pass(self, source: socket.socket, target: socket.socket, watched: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if watched and self._moments:
                    data = _whole(data, source)  # or who is killed now would cut it off
                    self._act(data)
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _act(self, data: bytes) -> None:
        line = data.split(b"\r\n", 1)[0].decode(errors="replace")
        for moment in list(self._moments):
            if re.match(moment[0], line):
                self._moments.remove(moment)
                moment[1]()


def _whole(data: bytes, source: socket.socket) -> bytes:
    """A request with all of its body, from how it begins."""
    head, found, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    missing = int(length[1]) - len(body) if found and length else 0
    while missing > 0 and (more := source.recv(missing)):
        data += more
        missing -= len(more)
    return data


class Registry:
    """Debian's ``docker-registry`` on loopback, where engines take it without TLS."""

    def __init__(self, directory: Path, *, closed: bool) -> None:
        access = ""
        if closed:
            (directory / "htpasswd").write_text(f"tester:{_HASH}\n")
            access = f'auth: {{htpasswd: {{realm: here, path: "{directory}/htpasswd"}}}}\n'
        (directory / "config.yml").write_text(
            "version: 0.1\n"
            f'storage: {{filesystem: {{rootdirectory: "{directory}/data"}}}}\n'
            f'http: {{addr: "127.0.0.1:0"}}\n{access}'
        )
        self._process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                self.address = found[1]
                break
        threading.Thread(target=self._process.stderr.read, daemon=True).start()

    def push(self, engine: Engine, image: str, name: str, **login: str) -> str:
        """Put an image of an engine's here; its full name."""
        full = f"{self.address}/{name}"
        engine.client.api.tag(image, full.rpartition(":")[0], full.rpartition(":")[2])
        try:
            said: Any = engine.client.api.push(
                full, auth_config=login or None, stream=True, decode=True
            )
            assert [line["error"] for line in said if "error" in line] == []
        finally:
            engine.client.api.remove_image(full)
        return full

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


@pytest.fixture
def tap(local_engine: Engine) -> Iterator[Callable[[Engine], Tap]]:
    """To be put in front of an engine."""
    if not local_engine.url.startswith("unix://"):
        pytest.skip("only what comes through a socket can be tapped")
    base = Path(tempfile.mkdtemp(prefix="ekt-", dir="/tmp"))
    made: list[Tap] = []

    def make(behind: Engine) -> Tap:
        made.append(Tap(behind, base / f"{len(made)}.sock"))
        return made[-1]

    yield make
    for one in made:
        one.close()
    shutil.rmtree(base)


def _registry(engine: Engine, directory: Path, *, closed: bool) -> Registry:
    if not engine.url.startswith("unix://"):
        pytest.skip("the engine may be on another machine, and could not reach a registry here")
    if shutil.which("docker-registry") is None:
        cannot("there is no docker-registry: apt-get install docker-registry")
    return Registry(directory, closed=closed)


@pytest.fixture(scope="session")
def registry(local_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = _registry(local_engine, tmp_path_factory.mktemp("registry"), closed=False)
    yield made
    made.close()


@pytest.fixture(scope="session")
def closed_registry(
    local_engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """One that lets nobody in who is not "tester" with the password "secret"."""
    made = _registry(local_engine, tmp_path_factory.mktemp("closed"), closed=True)
    yield made
    made.close()


@pytest.fixture
def silent_port() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> Iterator[str]:
    """Nobody listens there, and nobody else can take it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
