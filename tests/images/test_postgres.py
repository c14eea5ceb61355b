"""What the official image of Postgres promises, asked of the built one."""

from __future__ import annotations

import gzip

import psycopg
import pytest

from envkit.backends.images import Variant
from tests.images.running import PASSWORD, Start


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
