"""What each key means."""

from __future__ import annotations

from pathlib import Path

import pytest

from envkit.errors import ConfigInvalid
from envkit.model import (
    SERVICES,
    AttachSettings,
    DockerSettings,
    PostgresSettings,
    RedisSettings,
    ServiceSettings,
    Settings,
)
from tests.config.reading import read, table


def test_every_key_of_settings_can_be_configured(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        table(
            """
            services = ["redis", "postgres"]
            backend = { postgres = "docker" }
            linger = "30s"
            start_timeout = 2.5
            data_dir = "/data"
            export_env = true
            env.POSTGRES_DSN = "postgres.url"
            env.DATABASE_URL = "postgres.url as postgresql+asyncpg"
            postgres.version = 18
            postgres.superuser = true
            postgres.settings = { wal_level = "logical" }
            postgres.image = "postgis/postgis:18-3.6"
            postgres.memory = "512m"
            postgres.shm_size = "256m"
            redis = { version = "8.2", settings = { appendonly = false }, url = "redis://cache/1" }
            clickhouse = { version = "", settings = { max_threads = 2 } }
            docker = { pull = "never", registry = "mirror.example:5000/hub", reaper = "ryuk" }
            attach.allow = ["db.example/app_test"]
            """
        ),
    )
    assert config.settings == Settings(
        services=("postgres", "redis"),
        backend={"postgres": "docker"},
        linger=30.0,
        start_timeout=2.5,
        data_dir="/data",
        export_env=True,
        env={
            "POSTGRES_DSN": "postgres.url",
            "DATABASE_URL": "postgres.url as postgresql+asyncpg",
        },
        docker=DockerSettings(pull="never", registry="mirror.example:5000/hub", reaper="ryuk"),
        attach=AttachSettings(allow=("db.example/app_test",)),
        postgres=PostgresSettings(
            version="18",
            superuser=True,
            settings={"wal_level": "logical"},
            image="postgis/postgis:18-3.6",
            memory="512m",
            shm_size="256m",
        ),
        redis=RedisSettings(
            version="8.2",
            settings={"appendonly": False},
            url="redis://cache/1",
            url_origin="pyproject.toml:17",
        ),
        clickhouse=ServiceSettings(settings={"max_threads": 2}),
    )
    written = {key.partition(".")[0] for key, at in config.origins.items() if at != "default"}
    assert written == set(Settings.__struct_fields__)


def test_envkit_toml_holds_the_same_tables_without_the_prefix(tmp_path: Path) -> None:
    text = "linger = 1\n[postgres]\nversion = '17'\n"
    config = read(tmp_path, text, name="envkit.toml")
    assert (config.settings.linger, config.settings.postgres.version) == (1.0, "17")
    assert config.origins["postgres.version"] == "envkit.toml:3"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ('"0s"', 0.0),
        ('"250ms"', 0.25),
        ('"30s"', 30.0),
        ('"5m"', 300.0),
        ('"1h"', 3600.0),
        ('"1.5m"', 90.0),
        ('"12"', 12.0),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-0.0", 0.0),
    ],
)
def test_durations(tmp_path: Path, written: str, seconds: float) -> None:
    linger = read(tmp_path, table(f"linger = {written}")).settings.linger
    assert repr(linger) == repr(seconds)


def test_a_server_gets_some_time_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="more than 0 s"):
        read(tmp_path, table("start_timeout = 0"))


def test_one_backend_stands_for_all_services(tmp_path: Path) -> None:
    config = read(tmp_path, table('backend = "docker"'))
    assert config.settings.backend == dict.fromkeys(SERVICES, "docker")


def test_auto_written_out_means_the_same_as_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, table('backend = "auto"')).settings == Settings()


def test_the_order_of_services_makes_no_difference(tmp_path: Path) -> None:
    config = read(tmp_path, table('services = ["clickhouse", "postgres", "redis"]'))
    assert config.settings == Settings()


def test_a_dotted_server_setting_may_be_written_bare(tmp_path: Path) -> None:
    config = read(tmp_path, table("postgres.settings.pg_stat_statements.max = 100"))
    assert config.settings.postgres.settings == {"pg_stat_statements.max": 100}
    assert config.origins["postgres.settings.pg_stat_statements.max"] == "pyproject.toml:2"


def test_a_relative_data_dir_is_counted_from_the_root(tmp_path: Path) -> None:
    config = read(tmp_path, table('data_dir = ".cache/pg"'))
    assert config.settings.data_dir == str(tmp_path / ".cache/pg")


def test_a_tilde_in_data_dir_is_the_home_directory(tmp_path: Path) -> None:
    config = read(tmp_path, table('data_dir = "~/pg"'), environ={"HOME": "/home/me"})
    assert config.settings.data_dir == "/home/me/pg"
