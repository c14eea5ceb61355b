"""TLS that a URL asks for holds for the administrator and for leases."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from envkit import api
from tests.attach.world import failure, other_postgres
from tests.certificates import make_certificate
from tests.foreign import run_postgres

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.foreign import Foreign


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key beside it."""
    return make_certificate(tmp_path)


@pytest.fixture
def encrypted(certificate: Path) -> Iterator[Callable[[Foreign], int]]:
    """A function that puts TLS in front of a server; the port where it is."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    listeners: list[socket.socket] = []

    def relay(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket, port: int) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(plain, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", port)) as inner,
        ):
            back = threading.Thread(target=relay, args=(inner, outer), daemon=True)
            back.start()
            relay(outer, inner)
            back.join()

    def accept(listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=serve, args=(plain, port), daemon=True).start()

    def put(server: Foreign) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, server.port), daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    yield put
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_tls_of_a_redis_url_holds_for_admin_and_lease(
    project: Project,
    foreign_redis: Foreign,
    certificate: Path,
    encrypted: Callable[[Foreign], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = foreign_redis.url.replace(f":{foreign_redis.port}/", f":{encrypted(foreign_redis)}/")
    url = plain.replace("redis://", "rediss://")
    monkeypatch.setenv("ENVKIT_REDIS_URL", f"{url}?ssl_ca_certs={certificate}")
    with api.lease("redis", root=project.root) as leased:
        assert leased.redis.client().ping()
        assert leased.redis.url.startswith("rediss://")
    unknown = failure(project.envkit("run", "redis", "--", "true", ENVKIT_REDIS_URL=url))
    assert "certificate verify failed" in unknown
    assert "?ssl_ca_certs=" in unknown
    assert "[envkit.attach.failed]" in failure(
        project.envkit("run", "redis", "--", "true", ENVKIT_REDIS_URL=plain)
    )


def test_tls_of_a_clickhouse_url_holds_for_admin_and_lease(
    project: Project,
    foreign_clickhouse: Foreign,
    certificate: Path,
    encrypted: Callable[[Foreign], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = encrypted(foreign_clickhouse)
    url = foreign_clickhouse.url.replace(f":{foreign_clickhouse.port}/", f":{port}/")
    url = url.replace("http://", "https://")
    monkeypatch.setenv("ENVKIT_CLICKHOUSE_URL", f"{url}?ca_cert={certificate}")
    with api.lease("clickhouse", root=project.root) as leased:
        assert leased.clickhouse.client().command("SELECT 1") == 1
        assert leased.clickhouse.url.startswith("https://")
    variables = {"ENVKIT_CLICKHOUSE_URL": url}
    unknown = failure(project.envkit("run", "clickhouse", "--", "true", **variables))
    assert "certificate verify failed" in unknown
    assert "?ca_cert=" in unknown


def test_tls_parameters_of_a_postgres_url_hold_for_admin_and_lease(
    project: Project, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = other_postgres()  # the wheel's is built without TLS
    place = Path(tempfile.mkdtemp(prefix="ek-tls-", dir="/tmp"))
    try:
        place.chmod(0o755)
        for name in ("certificate.pem", "key.pem"):
            shutil.copy(tmp_path / name, place)
        if os.geteuid() == 0:
            shutil.chown(place / "key.pem", "postgres")
        (place / "key.pem").chmod(0o600)
        settings = {
            "ssl": "on",
            "ssl_cert_file": f"{place}/certificate.pem",
            "ssl_key_file": f"{place}/key.pem",
        }
        with run_postgres(tmp_path, programs, **settings) as server:
            more = f"?sslmode=verify-full&sslrootcert={certificate}"
            monkeypatch.setenv("ENVKIT_POSTGRES_URL", server.url + more)
            with api.lease("postgres", root=project.root) as leased:
                with leased.postgres.connect() as session:
                    row = session.execute(
                        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                    ).fetchone()
                assert row == (True,)
                assert leased.postgres.url.endswith(more)
                assert leased.env["PGSSLMODE"] == "verify-full"
            bad = {"ENVKIT_POSTGRES_URL": server.url + "?sslmode=verify-full&sslrootcert=/none"}
            assert "sslmode=" in failure(project.envkit("run", "postgres", "--", "true", **bad))
    finally:
        shutil.rmtree(place)


def test_tls_that_postgres_does_not_have_is_told(
    project: Project, foreign_postgres: Foreign
) -> None:
    variables = {"ENVKIT_POSTGRES_URL": f"{foreign_postgres.url}?sslmode=require"}
    said = failure(project.envkit("run", "postgres", "--", "true", **variables))
    assert "server does not support SSL, but SSL was required" in said
    assert "?sslmode=" in said
