"""What the official image of Redis promises, asked of the built one."""

from __future__ import annotations

import pytest
import redis

from envkit.backends.images import Variant
from tests.images.running import Start


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
