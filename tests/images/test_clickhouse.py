"""What the official image of ClickHouse promises, asked of the built one."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from envkit.backends.images import Variant
from tests.images.running import Start


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
