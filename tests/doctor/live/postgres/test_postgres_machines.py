"""Faults of a server's machine and data directory, by its log and by what a test meets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import urllib.error
import urllib.request

import psycopg
import pytest

from envkit.doctor.model import Facts, Finding
from envkit.doctor.symptoms import from_exception
from envkit.doctor.triage import findings_of
from envkit.doctor.visit import read_log
from tests.doctor.live.postgres.clusters import Cluster, Installation, in_namespace


def of_log(cluster: Cluster) -> Finding:
    findings = read_log(cluster.said()).findings
    assert findings, cluster.said()
    return findings[0]


def of_error(error: Exception) -> str:
    return findings_of(from_exception(error), Facts())[0].slug


def test_two_servers_on_one_data_directory_are_found(installation: Installation) -> None:
    with installation.cluster().running() as cluster:
        second = Cluster(installation, cluster.data)
        second.log = cluster.data.with_name("second.log")
        assert second.spawn().wait(20) != 0
        finding = of_log(second)
        pid = cluster.pid
    assert finding.slug == "pg.lockfile"
    assert f"(process {pid})" in finding.title
    assert f"'ps -p {pid}'" in finding.fix.text


def test_empty_lock_file_is_found(installation: Installation) -> None:
    cluster = installation.cluster()
    (cluster.data / "postmaster.pid").touch()
    cluster.refused()
    assert of_log(cluster).slug == "pg.lockfile"


def test_data_directory_of_another_version_is_found(installation: Installation) -> None:
    cluster = installation.cluster()
    (cluster.data / "PG_VERSION").write_text("16\n")
    cluster.refused()
    finding = of_log(cluster)
    assert finding.slug == "pg.datadir.version"
    assert "Postgres 16, not of 18" in finding.title


def test_data_directory_without_its_control_file_is_found(installation: Installation) -> None:
    cluster = installation.cluster()
    (cluster.data / "global" / "pg_control").unlink()
    cluster.refused()
    assert of_log(cluster).slug == "pg.data.corrupt"


def test_damaged_page_is_found(installation: Installation) -> None:
    cluster = installation.cluster()
    with cluster.running():
        with cluster.connect() as session:
            session.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) n")
            row = session.execute("SELECT pg_relation_filepath('t')").fetchone()
            assert row is not None
            session.execute("CHECKPOINT")
        cluster.stop()
    with (cluster.data / row[0]).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 512)
    with (
        cluster.running(),
        cluster.connect() as session,
        pytest.raises(psycopg.errors.DataCorrupted) as caught,
    ):
        session.execute("SELECT count(*) FROM t")
    assert of_error(caught.value) == "pg.data.corrupt"


def test_backend_that_was_killed_is_found_in_the_log(installation: Installation) -> None:
    with installation.cluster().running() as cluster:
        with contextlib.closing(cluster.connect()) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            cluster.until("all server processes terminated")
            with pytest.raises(psycopg.OperationalError):
                victim.execute("SELECT 1")
        finding = of_log(cluster)
    assert finding.slug == "pg.state.killed"
    assert "signal 9" in finding.title


def test_client_of_http_is_found_in_the_log(installation: Installation) -> None:
    with installation.cluster().running() as cluster:
        url = f"http://127.0.0.1:{cluster.port}/"
        with pytest.raises((OSError, urllib.error.URLError)):
            urllib.request.urlopen(url, timeout=5)
        cluster.until("startup packet")
        assert of_log(cluster).slug == "pg.protocol.garbage"


def test_look_at_the_port_alone_is_no_fault(installation: Installation) -> None:
    with installation.cluster().running() as cluster:
        with socket.create_connection(("127.0.0.1", cluster.port)):
            pass
        with cluster.connect() as session:
            session.execute("SELECT 1")
        assert read_log(cluster.said()).findings == ()


def test_full_disk_is_found(installation: Installation) -> None:
    small = in_namespace(
        f'mount -t tmpfs -o size=48m,mode=700 tmpfs "$data"; '
        f'cp -a {installation.pristine}/. "$data"'
    )
    cluster = installation.cluster()
    with cluster.running(*small), cluster.connect() as session:
        session.execute("CREATE UNLOGGED TABLE t (word text)")
        with pytest.raises(psycopg.errors.DiskFull) as caught:
            session.execute("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 99999)")
    assert of_error(caught.value) == "pg.disk.full"
    assert of_log(cluster).slug == "pg.disk.full"


def test_small_shared_memory_is_not_taken_for_a_full_disk(installation: Installation) -> None:
    place = installation.place  # which may be in /dev/shm itself
    small = in_namespace(
        f"mount --bind {place} /mnt; mount -t tmpfs -o size=2m tmpfs /dev/shm; "
        f"mkdir -p {place}; mount --bind /mnt {place}"
    )
    parallel = {
        "dynamic_shared_memory_type": "posix",
        "min_dynamic_shared_memory": "0",
        "parallel_setup_cost": "0",
        "parallel_tuple_cost": "0",
        "min_parallel_table_scan_size": "0",
        "work_mem": "64MB",
    }
    cluster = installation.cluster()
    with cluster.running(*small, **parallel), cluster.connect() as session:
        session.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 200000) n")
        session.execute("ANALYZE t")
        with pytest.raises(psycopg.errors.DiskFull) as caught:
            session.execute("SELECT count(*) FROM t AS a JOIN t AS b USING (n)")
    assert of_error(caught.value) == "pg.shm.small"
    assert of_log(cluster).slug == "pg.shm.small"
