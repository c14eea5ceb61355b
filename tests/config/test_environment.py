"""What wins over the files: the environment, and the command line over that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envkit.config import (
    ENVIRONMENT,
    Overrides,
    load,
)
from envkit.errors import ConfigInvalid, ConfigUnknownKey, UsageError
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


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, table("linger = 1"), environ={"ENVKIT_LINGER": "2m"})
    assert (config.settings.linger, config.origins["linger"]) == (120.0, "ENVKIT_LINGER")


def test_every_name_of_the_environment_is_read(tmp_path: Path) -> None:
    environ = {
        "ENVKIT_SERVICES": "postgres, redis",
        "ENVKIT_BACKEND": "postgres=docker,redis=embedded",
        "ENVKIT_LINGER": "250ms",
        "ENVKIT_START_TIMEOUT": "90",
        "ENVKIT_DATA_DIR": "/data",
        "ENVKIT_EXPORT_ENV": "Yes",
        "ENVKIT_POSTGRES_VERSION": "17",
        "ENVKIT_REDIS_VERSION": "8",
        "ENVKIT_CLICKHOUSE_VERSION": "25.8",
        "ENVKIT_POSTGRES_SUPERUSER": "1",
        "ENVKIT_DOCKER_PULL": "always",
        "ENVKIT_DOCKER_REGISTRY": "mirror.example",
        "ENVKIT_DOCKER_REAPER": "ryuk",
        "ENVKIT_ATTACH_ALLOW": "db.example, *.test/app",
        **{
            f"ENVKIT_{service.upper()}_{key}": value
            for service in SERVICES
            for key, value in (
                ("IMAGE", f"mine/{service}"),
                ("MEMORY", "1g"),
                ("SHM_SIZE", "64m"),
                ("URL", f"{service}://db.example"),
            )
        },
    }

    def further(service: str) -> dict[str, Any]:
        return {
            "image": f"mine/{service}",
            "memory": "1g",
            "shm_size": "64m",
            "url": f"{service}://db.example",
            "url_origin": f"ENVKIT_{service.upper()}_URL",
        }

    config = load(tmp_path, environ=environ)
    assert config.settings == Settings(
        services=("postgres", "redis"),
        backend={"postgres": "docker", "redis": "embedded"},
        linger=0.25,
        start_timeout=90.0,
        data_dir="/data",
        export_env=True,
        docker=DockerSettings(pull="always", registry="mirror.example", reaper="ryuk"),
        attach=AttachSettings(allow=("db.example", "*.test/app")),
        postgres=PostgresSettings(version="17", superuser=True, **further("postgres")),
        redis=RedisSettings(version="8", **further("redis")),
        clickhouse=ServiceSettings(version="25.8", **further("clickhouse")),
    )
    assert set(environ) == set(ENVIRONMENT) == set(config.origins.values()) - {"default"}


def test_a_backend_for_one_service_leaves_the_others_as_the_file_says(tmp_path: Path) -> None:
    config = read(
        tmp_path, table('backend = "docker"'), environ={"ENVKIT_BACKEND": "redis=embedded"}
    )
    assert config.settings.backend_of("redis") == "embedded"
    assert config.settings.backend_of("postgres") == "docker"


@pytest.mark.parametrize("name", ["ENVKIT_LINGER", "ENVKIT_NO_SUCH_THING"])
def test_an_empty_value_counts_as_unset(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, environ={name: ""}).settings == Settings()


def test_an_unknown_name_in_the_environment_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnknownKey) as caught:
        load(tmp_path, environ={"ENVKIT_BACKENDS": "docker"})
    assert "'ENVKIT_BACKENDS'" in caught.value.observed
    assert caught.value.hint.startswith("did you mean ENVKIT_BACKEND? ")


@pytest.mark.parametrize(
    ("name", "value", "observed", "hint"),
    [
        (
            "ENVKIT_SERVICES",
            "redis,postgers",
            'ENVKIT_SERVICES is "postgers"; expected one of postgres, redis, clickhouse'
            ' (in "redis,postgers")',
            "export ENVKIT_SERVICES=redis,postgres",
        ),
        (
            "ENVKIT_POSTGRES_SUPERUSER",
            "maybe",
            'ENVKIT_POSTGRES_SUPERUSER is "maybe"; expected true or false',
            "export ENVKIT_POSTGRES_SUPERUSER=true",
        ),
        (
            "ENVKIT_BACKEND",
            "redis=dockr",
            'ENVKIT_BACKEND is "redis=dockr"; expected one of auto, embedded, docker, attach, or'
            " SERVICE=BACKEND with commas between (services: postgres, redis, clickhouse)",
            "export ENVKIT_BACKEND=redis=docker",
        ),
    ],
)
def test_a_wrong_value_in_the_environment_says_what_to_type(
    tmp_path: Path, name: str, value: str, observed: str, hint: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path, environ={name: value})
    assert (caught.value.observed, caught.value.hint) == (observed, hint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVKIT_SERVICES", " , "),
        ("ENVKIT_BACKEND", ","),
        ("ENVKIT_BACKEND", "docker,redis=docker"),
        ("ENVKIT_BACKEND", "redis=docker,redis=attach"),
        ("ENVKIT_LINGER", "soon"),
        ("ENVKIT_START_TIMEOUT", "0"),
        ("ENVKIT_DATA_DIR", "a\nb"),
        ("ENVKIT_DATA_DIR", "\udcff"),
        ("ENVKIT_REDIS_VERSION", "latest"),
    ],
)
def test_values_of_the_environment_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(ConfigInvalid, match=f"^{name} is "):
        load(tmp_path, environ={name: value})


@pytest.mark.parametrize(("name", "key"), [("DOCKER_HOST", "host"), ("DOCKER_CONTEXT", "context")])
def test_the_engine_of_the_environment_is_part_of_the_settings(
    tmp_path: Path, name: str, key: str
) -> None:
    config = load(tmp_path, environ={name: "elsewhere"})
    assert config.settings.docker == DockerSettings(**{key: "elsewhere"})  # type: ignore[arg-type] # parametrised
    assert f"docker.{key}" not in config.origins


@pytest.mark.parametrize(
    ("table_of", "key"), [("docker", "host"), ("docker", "context"), ("redis", "url_origin")]
)
def test_what_follows_from_something_else_cannot_be_configured(
    tmp_path: Path, table_of: str, key: str
) -> None:
    with pytest.raises(ConfigUnknownKey, match=f"has no key '{key}'"):
        read(tmp_path, table(f'{table_of}.{key} = "x"'))


def test_the_command_line_wins_over_everything(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        table('backend = "docker"'),
        environ={"ENVKIT_BACKEND": "attach", "ENVKIT_SERVICES": "redis"},
        overrides=Overrides(backend="embedded", services=["postgres", "postgres"]),
    )
    assert config.settings.services == ("postgres",)
    assert config.settings.backend == dict.fromkeys(SERVICES, "embedded")
    assert config.origins["services"] == "command line"
    assert config.origins["backend.redis"] == "--backend"


def test_no_services_on_the_command_line_keep_the_configured_ones(tmp_path: Path) -> None:
    config = read(tmp_path, table('services = ["redis"]'), overrides=Overrides(services=()))
    assert config.settings.services == ("redis",)


def test_an_unknown_service_on_the_command_line_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are postgres, redis, clickhouse") as caught:
        load(tmp_path, environ={}, overrides=Overrides(services=["rediss"]))
    assert caught.value.hint == "did you mean redis?"


def test_an_unknown_backend_names_the_option_it_was_given_with(tmp_path: Path) -> None:
    overrides = Overrides(backend="dockr", backend_option="--envkit-backend")
    with pytest.raises(UsageError, match="--envkit-backend is") as caught:
        load(tmp_path, environ={}, overrides=overrides)
    assert caught.value.hint == "write --envkit-backend docker"


def test_a_version_of_postgres_means_that_one_alone(tmp_path: Path) -> None:
    text = table('postgres.versions = ["17", "18"]')
    assert read(tmp_path, text).settings.postgres.versions == ("17", "18")
    found = read(tmp_path, text, environ={"ENVKIT_POSTGRES_VERSION": "18"}).settings.postgres
    assert (found.version, found.versions) == ("18", ())
