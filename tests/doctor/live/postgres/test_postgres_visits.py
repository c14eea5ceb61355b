"""A visit of the doctor to a Postgres that is not as it should be."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.attach.world import other_postgres
from tests.doctor.live.postgres.clusters import PASSWORD, Cluster, Installation, installed

if TYPE_CHECKING:
    from tests.conftest import Project


@pytest.fixture
def visited(project: Project) -> Project:
    project.write("envkit.toml", 'services = ["postgres"]\n')
    return project


def visit(project: Project, url: str) -> dict[str, Any]:
    done = project.envkit("doctor", "--format", "json", ENVKIT_POSTGRES_URL=url)
    report: dict[str, Any] = json.loads(done.stdout)
    assert PASSWORD not in done.stdout
    return report


def visit_in_time(project: Project, url: str) -> dict[str, Any]:
    """The first visit that is not cut short because this machine has too much else to do."""
    for _ in range(5):
        report = visit(project, url)
        if not any(check["status"] == "not-checked" for check in report["checks"]):
            break
    return report


def first(project: Project, url: str) -> dict[str, Any]:
    report = visit_in_time(project, url)
    assert report["findings"], report["checks"]
    finding: dict[str, Any] = report["findings"][0]
    return finding


def follow(finding: dict[str, Any], installation: Installation) -> None:
    """Type the command of a finding, as one who knows the password."""
    command = finding["fix"]["command"]
    assert command
    path = f"{installation.programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(command),
        env=os.environ | {"PATH": path, "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def assert_clean(project: Project, url: str) -> None:
    report = visit_in_time(project, url)
    assert report["findings"] == []
    assert report["status"] == "ok"


def test_healthy_server_gives_no_finding(visited: Project, server: Cluster) -> None:
    assert_clean(visited, server.url())


def test_wrong_password_is_found(visited: Project, server: Cluster) -> None:
    finding = first(visited, server.url(password="wr0ng-secret"))
    assert finding["slug"] == "pg.auth.password"
    assert finding["service"] == "postgres"
    assert "ENVKIT_POSTGRES_URL" in finding["fix"]["text"]


def test_role_that_scram_does_not_know_is_a_refused_password(
    visited: Project, server: Cluster
) -> None:
    assert first(visited, server.url(user="nobody"))["slug"] == "pg.auth.password"


def test_missing_database_is_found_and_its_command_mends_it(
    visited: Project, server: Cluster
) -> None:
    url = server.url(database="Not yet")
    finding = first(visited, url)
    assert finding["slug"] == "pg.db.missing"
    follow(finding, server.installation)
    assert_clean(visited, url)


def test_role_without_createdb_is_found_and_its_command_mends_it(
    visited: Project, server: Cluster
) -> None:
    with server.connect() as session:
        session.execute("CREATE ROLE plain LOGIN PASSWORD 'plain-pa55'")
    url = server.url(user="plain", password="plain-pa55")
    finding = first(visited, url)
    assert finding["slug"] == "pg.priv.denied"
    follow(finding, server.installation)
    assert_clean(visited, url)


def test_missing_role_is_found_and_its_command_mends_it(
    visited: Project, installation: Installation
) -> None:
    cluster = installation.cluster()
    cluster.allow("host all all 127.0.0.1/32 trust")
    with cluster.running():
        finding = first(visited, cluster.url(user="tester"))
        assert finding["slug"] == "pg.auth.role-missing"
        follow(finding, installation)
        assert_clean(visited, cluster.url(user="tester"))


def test_user_that_hba_does_not_let_in_is_found(
    visited: Project, installation: Installation
) -> None:
    cluster = installation.cluster()
    cluster.allow("host all somebody 127.0.0.1/32 scram-sha-256")
    with cluster.running():
        finding = first(visited, cluster.url())
        assert finding["slug"] == "pg.auth.hba"
        assert "host postgres postgres 127.0.0.1/32 scram-sha-256" in finding["fix"]["text"]


def test_too_many_clients_are_found(visited: Project, installation: Installation) -> None:
    few = {"max_connections": "5", "superuser_reserved_connections": "0"}
    with installation.cluster().running(**few) as cluster, contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(cluster.connect())
        assert first(visited, cluster.url())["slug"] == "pg.conn.too-many"


def test_connections_nearly_used_up_are_a_warning(
    visited: Project, installation: Installation
) -> None:
    few = {"max_connections": "5", "superuser_reserved_connections": "0"}
    with installation.cluster().running(**few) as cluster, contextlib.ExitStack() as held:
        for _ in range(3):
            held.enter_context(cluster.connect())
        finding = first(visited, cluster.url())
        assert (finding["slug"], finding["severity"]) == ("pg.conn.too-many", "warning")


def test_server_that_replays_its_log_is_starting(
    visited: Project, installation: Installation
) -> None:
    cluster = installation.cluster()
    (cluster.data / "recovery.signal").touch()
    with cluster.starting(restore_command="sleep 60"):
        cluster.until("database system was shut down at")
        assert first(visited, cluster.url())["slug"] == "pg.state.starting"


def test_server_that_waits_for_its_sessions_is_shutting_down(
    visited: Project, installation: Installation
) -> None:
    with installation.cluster().running() as cluster, cluster.connect():
        os.kill(cluster.pid, signal.SIGTERM)
        cluster.until("received smart shutdown request")
        assert first(visited, cluster.url())["slug"] == "pg.state.shutting-down"


def test_replica_is_found(visited: Project, installation: Installation) -> None:
    cluster = installation.cluster()
    (cluster.data / "standby.signal").touch()
    with cluster.starting():
        cluster.until("ready to accept read-only connections")
        assert first(visited, cluster.url())["slug"] == "pg.role.readonly"


def test_session_that_only_reads_is_found(visited: Project, server: Cluster) -> None:
    url = server.url(more="?options=-cdefault_transaction_read_only%3Don")
    assert first(visited, url)["slug"] == "pg.role.readonly"


def test_other_collation_is_a_warning_and_its_command_mends_it(
    visited: Project, server: Cluster
) -> None:
    with server.connect() as session:
        session.execute(
            "CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER builtin"
            " BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
        )
        session.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = 'sorted'")
    url = server.url(database="sorted")
    finding = first(visited, url)
    assert (finding["slug"], finding["severity"]) == ("pg.collation.mismatch", "warning")
    follow(finding, server.installation)
    assert_clean(visited, url)


def test_tls_that_the_server_does_not_have_is_found(visited: Project, server: Cluster) -> None:
    assert first(visited, server.url(more="?sslmode=require"))["slug"] == "pg.tls.unsupported"


def test_unescaped_password_is_a_malformed_url(visited: Project, server: Cluster) -> None:
    url = f"postgresql://postgres:p@ss@127.0.0.1:{server.port}/postgres"
    assert first(visited, url)["slug"] == "dsn.malformed"


def test_unknown_parameter_is_a_malformed_url(visited: Project, server: Cluster) -> None:
    assert first(visited, server.url(more="?charset=utf8"))["slug"] == "dsn.malformed"


def test_server_that_never_answers_is_not_checked(
    visited: Project, installation: Installation
) -> None:
    with installation.cluster().running() as cluster:
        os.kill(cluster.pid, signal.SIGSTOP)
        report = visit(visited, cluster.url())
    assert report["status"] == "incomplete"
    assert [one["slug"] for one in report["findings"]] == ["net.timeout"]
    checked = {one["name"]: one["status"] for one in report["checks"]}
    assert checked["Postgres"] == "not-checked"


def test_visit_leaves_no_trace(visited: Project, server: Cluster) -> None:
    query = (
        "SELECT (SELECT array_agg(datname ORDER BY 1) FROM pg_database),"
        " (SELECT array_agg(rolname ORDER BY 1) FROM pg_roles)"
    )
    with server.connect() as session:
        before = session.execute(query).fetchone()
        visit(visited, server.url())
        assert session.execute(query).fetchone() == before


@pytest.fixture(scope="module")
def encrypted() -> Iterator[Cluster]:
    """A server with TLS, which the wheel's does not have, that insists on it."""
    programs = other_postgres()
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    with installed(programs) as installation:
        cluster = installation.cluster()
        with tempfile.TemporaryDirectory() as place:
            key, certificate = Path(place, "key.pem"), Path(place, "certificate.pem")
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                    *("-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1"),
                ],
                check=True,
                capture_output=True,
            )
            for source, target in ((key, "server.key"), (certificate, "server.crt")):
                shutil.copy(source, cluster.data / target)
                owner = cluster.data.stat()
                os.chown(cluster.data / target, owner.st_uid, owner.st_gid)
                (cluster.data / target).chmod(0o600)
        cluster.allow("hostssl all postgres 127.0.0.1/32 scram-sha-256")
        with cluster.running(ssl="on"):
            yield cluster


def test_server_that_demands_tls_is_found(visited: Project, encrypted: Cluster) -> None:
    finding = first(visited, encrypted.url(more="?sslmode=disable"))
    assert (finding["slug"], finding["confidence"]) == ("pg.tls.required", "certain")
    assert_clean(visited, encrypted.url(more="?sslmode=require"))


def test_wrong_password_behind_tls_is_the_cause_of_both_refusals(
    visited: Project, encrypted: Cluster
) -> None:
    assert first(visited, encrypted.url(password="wr0ng"))["slug"] == "pg.auth.password"


def test_user_whom_no_line_lets_in_does_not_lack_tls(visited: Project, encrypted: Cluster) -> None:
    for more in ("", "?sslmode=disable"):
        assert first(visited, encrypted.url(user="other", more=more))["slug"] == "pg.auth.hba"


def test_unknown_signer_is_found(visited: Project, encrypted: Cluster) -> None:
    finding = first(visited, encrypted.url(more="?sslmode=verify-full&sslrootcert=/none.pem"))
    assert finding["slug"] == "pg.tls.certificate"
