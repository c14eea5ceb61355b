"""Reading configuration: where it is found, what wins, and how wrong input is answered."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from envkit.config import (
    ENVIRONMENT,
    Config,
    Overrides,
    find_root,
    load,
    read_document,
    show,
)
from envkit.errors import ConfigError, ConfigInvalid, ConfigUnknownKey, UsageError
from envkit.model import (
    SERVICES,
    AttachSettings,
    DockerSettings,
    PostgresSettings,
    ServiceSettings,
    Settings,
)


def read(
    root: Path,
    text: str | bytes,
    *,
    name: str = "pyproject.toml",
    environ: dict[str, str] | None = None,
    overrides: Overrides | None = None,
) -> Config:
    content = text.encode() if isinstance(text, str) else text
    (root / name).write_bytes(content)
    return load(root, environ=environ or {}, overrides=overrides)


def table(text: str) -> str:
    return f"[tool.envkit]\n{text}\n"


# --- where it is found


def test_without_any_file_everything_is_default(tmp_path: Path) -> None:
    config = load(tmp_path, environ={})
    assert config.settings == Settings()
    assert config.file is None
    assert set(config.origins.values()) == {"default"}


def test_root_is_the_first_directory_upwards_that_configures_envkit(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(table(""))
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'uses-envkit-in-parent'\n")
    assert find_root(below) == tmp_path


def test_root_is_else_the_nearest_directory_with_a_pyproject(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / "pyproject.toml").touch()
    assert find_root(below) == tmp_path / "a"


@pytest.mark.parametrize("worktree", [True, False])
def test_root_is_else_the_nearest_repository(tmp_path: Path, worktree: bool) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    if worktree:
        (tmp_path / "a" / ".git").write_text("gitdir: elsewhere\n")
    else:
        (tmp_path / "a" / ".git").mkdir()
    assert find_root(below) == tmp_path / "a"


def test_root_is_else_the_start(tmp_path: Path) -> None:
    assert find_root(tmp_path) == tmp_path


def test_root_is_found_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").touch()
    assert find_root(tmp_path / "envkit.toml") == tmp_path


def test_root_is_the_same_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "envkit.toml").touch()
    assert find_root(tmp_path / "link") == tmp_path / "real"


def test_load_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "envkit.toml").write_text("linger = 3\n")
    monkeypatch.chdir(tmp_path / "below")
    config = load(environ={})
    assert (config.root, config.settings.linger) == (tmp_path, 3.0)


def test_a_working_directory_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigInvalid, match="working directory does not exist"):
        load(environ={})


def test_both_files_in_one_directory_are_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").touch()
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(""))
    assert f"{tmp_path / 'envkit.toml'}" in caught.value.observed
    assert "pyproject.toml:1" in caught.value.observed


def test_envkit_toml_beside_a_pyproject_without_our_table_is_used(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").write_text("linger = '5m'\n")
    config = read(tmp_path, "[project]\nname = 'x'\n")
    assert (config.file, config.settings.linger) == (tmp_path / "envkit.toml", 300.0)


def test_a_pyproject_that_never_says_envkit_is_not_parsed(tmp_path: Path) -> None:
    assert read(tmp_path, "this is = = not TOML").settings == Settings()


def test_a_directory_called_pyproject_toml_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    assert load(tmp_path, environ={}).settings == Settings()


def test_a_directory_called_envkit_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").mkdir()
    with pytest.raises(ConfigInvalid, match="is a directory; expected a file"):
        load(tmp_path, environ={})


def test_a_named_pipe_called_envkit_toml_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "envkit.toml")
    with pytest.raises(ConfigInvalid, match="special file"):
        load(tmp_path, environ={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_read_permission_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.touch(mode=0o200)
    with pytest.raises(ConfigInvalid, match="cannot be read: Permission denied") as caught:
        load(tmp_path, environ={})
    assert caught.value.hint == f"make it readable: chmod u+r {path}"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux' /proc")
def test_a_file_that_fails_while_it_is_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").symlink_to("/proc/self/mem")
    with pytest.raises(ConfigInvalid, match=r"pyproject\.toml cannot be read: Input/output error"):
        load(tmp_path, environ={})


# --- files that are not plain UTF-8 TOML


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    config = read(tmp_path, codecs.BOM_UTF8 + table("linger = 2").encode())
    assert config.settings.linger == 2.0


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    config = read(tmp_path, b"[project]\r\n[tool.envkit]\r\nlinger = 2\r\n")
    assert config.origins["linger"] == "pyproject.toml:3"


def test_a_byte_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table("# gr\u00fcn").encode("latin-1"))
    assert caught.value.observed.startswith("pyproject.toml:2: byte 0xfc is not UTF-8")


def test_broken_toml_is_quoted_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table("services = = 1"))
    assert caught.value.observed == "pyproject.toml:2:12: not valid TOML: Invalid value"
    assert caught.value.detail == "2 | services = = 1\n               ^"


def test_toml_broken_at_its_end_points_at_the_last_line_that_says_something(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table("services = [\n\n"))
    assert caught.value.observed.startswith("pyproject.toml:2:13: ")


def test_a_long_broken_line_is_shown_around_its_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(f"env = {{ A = '{'x' * 5000}', B = = }}"))
    quoted, caret = caught.value.detail.splitlines()
    assert len(quoted) < 130
    assert quoted[caret.index("^") :].startswith("= }")


def test_toml_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        read(tmp_path, table(f"services = {'[' * 5000}{']' * 5000}"))


# --- values


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
        env={"POSTGRES_DSN": "postgres.url"},
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
        redis=ServiceSettings(
            version="8.2",
            settings={"appendonly": False},
            url="redis://cache/1",
            url_origin="pyproject.toml:16",
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


@pytest.mark.parametrize(
    "written",
    ['"soon"', '""', '"1d"', '"-1s"', '"1e3"', "-1", "nan", "inf", "true", "[1]", "9" * 400],
)
def test_what_is_no_duration_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"linger is .*; expected a duration"):
        read(tmp_path, table(f"linger = {written}"))


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


def test_a_tilde_without_a_home_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no HOME"):
        read(tmp_path, table('data_dir = "~"'))


@pytest.mark.parametrize(
    ("text", "observed", "hint"),
    [
        (
            'postgres.superuser = "yes"',
            'pyproject.toml:2: tool.envkit.postgres.superuser is "yes" (a string);'
            " expected true or false",
            "write superuser = true",
        ),
        (
            "postgres.version = 18.6",
            "pyproject.toml:2: tool.envkit.postgres.version is 18.6 (a float); expected a version,"
            ' or the beginning of one, such as "18" or "18.6"',
            'write version = "18.6"',
        ),
        (
            'services = [\n  "redis",\n  "postgers",\n]',
            'pyproject.toml:4: tool.envkit.services[1] is "postgers" (a string);'
            " expected one of postgres, redis, clickhouse",
            'write services = ["redis", "postgres"]',
        ),
        (
            'services = ["redis", "redis"]',
            'pyproject.toml:2: tool.envkit.services[1] is "redis" (a string);'
            " expected each service once",
            'write services = ["redis"]',
        ),
        (
            'backend = "dokcer"',
            'pyproject.toml:2: tool.envkit.backend is "dokcer" (a string); expected one of auto,'
            " embedded, docker, attach, or a table with one of these for each service",
            'write backend = "docker"',
        ),
        (
            'env = { DSN = "postgres.uri" }',
            'pyproject.toml:2: tool.envkit.env.DSN is "postgres.uri" (a string); expected'
            ' "service.field" with a service of postgres, redis, clickhouse and a field of url,'
            " host, port, user, password, database",
            'write DSN = "postgres.url"',
        ),
        (
            "redis = 8",
            "pyproject.toml:2: tool.envkit.redis is 8 (an integer); expected a table such as"
            ' { version = "8" }',
            'write redis = { version = "8" }',
        ),
    ],
)
def test_a_wrong_value_says_where_what_and_what_instead(
    tmp_path: Path, text: str, observed: str, hint: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(text))
    assert (caught.value.observed, caught.value.hint) == (observed, hint)


@pytest.mark.parametrize(
    "text",
    [
        "services = []",
        'services = "redis"',
        "services = [['redis']]",
        "services = [true]",
        "backend = 1",
        'backend.redis = "podman"',
        "data_dir = 1",
        r'data_dir = "a\u0000b"',
        "export_env = 1",
        'postgres.version = "latest"',
        'postgres.version = "18; rm"',
        "postgres.version = true",
        "postgres.version = -1",
        'env = "DSN"',
        "env.DSN = 1",
        'env.DSN = "mysql.url"',
        'env."A-B" = "redis.url"',
        'env."" = "redis.url"',
        'env.ENVKIT_DSN = "redis.url"',
        'redis.settings = "x"',
        "redis.settings.a = [1]",
        "redis.settings.a = 1979-05-27",
        "redis.settings.a = {}",
        "redis.settings.a = inf",
        "redis.settings.a = 9223372036854775808",
        r'redis.settings.a = "x\ny"',
        r'redis.settings.a = "x\u0000"',
        'redis.settings."a b" = 1',
        'redis.settings = { "a.b" = 1, a.b = 2 }',
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"^pyproject\.toml:3: tool\.envkit\."):
        read(tmp_path, table(f"linger = 0\n{text}"))


@pytest.mark.parametrize("text", ["[tool]\nenvkit = 1", "[[tool.envkit]]"])
def test_tool_envkit_has_to_be_a_table(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid, match="expected a table"):
        read(tmp_path, text)


def test_shown_values_are_shortened(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(f'backend = "{"x" * 500}"'))
    shown = re.search(r"is (\".*?\") \(", caught.value.observed)
    assert shown is not None
    assert len(shown[1]) == 60
    assert shown[1].endswith('…"')


@given(st.recursive(st.text() | st.integers() | st.floats() | st.booleans(), st.lists))
def test_shown_values_fit_on_one_printable_line(value: Any) -> None:
    text = show(value)
    assert len(text) <= 60
    assert text.isprintable()


# --- unknown keys


@pytest.mark.parametrize(
    ("text", "observed", "hint"),
    [
        (
            "serivces = []",
            "pyproject.toml:2: tool.envkit has no key 'serivces'",
            "did you mean 'services'? Known keys: services, backend, ",
        ),
        (
            "[tool.envkit.postgres]\nsupersuer = true",
            "pyproject.toml:3: tool.envkit.postgres has no key 'supersuer'",
            "did you mean 'superuser'? Known keys: version, settings, superuser",
        ),
        (
            "[tool.envkit.redis]\nsuperuser = true",
            "pyproject.toml:3: tool.envkit.redis has no key 'superuser'",
            "'superuser' belongs into [tool.envkit.postgres]. Known keys: version, settings",
        ),
        (
            "backend = { postgress = 'docker' }",
            "pyproject.toml:2: tool.envkit.backend has no key 'postgress'",
            "did you mean 'postgres'? Known keys: postgres, redis, clickhouse",
        ),
        (
            "[tool.envkit.secrets]\nKEY = {}",
            "pyproject.toml:2: tool.envkit has no key 'secrets'",
            "Known keys: services, ",
        ),
    ],
)
def test_an_unknown_key_says_where_and_what_was_meant(
    tmp_path: Path, text: str, observed: str, hint: str
) -> None:
    with pytest.raises(ConfigUnknownKey) as caught:
        read(tmp_path, table(text))
    assert caught.value.observed == observed
    assert caught.value.hint.startswith(hint)


def test_the_prefix_in_envkit_toml_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigUnknownKey) as caught:
        read(tmp_path, table("linger = 1"), name="envkit.toml")
    assert caught.value.observed == "envkit.toml:1: the top level has no key 'tool'"
    assert "without the prefix" in caught.value.hint


# --- the environment


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
        redis=ServiceSettings(version="8", **further("redis")),
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


# --- the command line


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


# --- invariants

DURATIONS = st.floats(0.001, 3600).map(lambda seconds: round(seconds, 3))
SERVER_SETTINGS = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}(\.[a-z]{1,5})?", fullmatch=True),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    max_size=3,
)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", fullmatch=True) | st.just("")
SIZES = st.from_regex(r"[0-9]{1,4}[kmg]", fullmatch=True) | st.just("")
OF_A_SERVICE: dict[str, Any] = {
    "version": VERSIONS,
    "settings": SERVER_SETTINGS,
    "image": st.from_regex(r"([a-z0-9]{1,9}/)?[a-z0-9]{1,9}(:[a-z0-9.]{1,9})?", fullmatch=True),
    "memory": SIZES,
    "shm_size": SIZES,
    "url": st.just("") | st.from_regex(r"redis://[a-z0-9:@/?%=&#\"']{1,20}", fullmatch=True),
}
SETTINGS = st.builds(
    Settings,
    services=st.sets(st.sampled_from(SERVICES), min_size=1).map(
        lambda chosen: tuple(name for name in SERVICES if name in chosen)
    ),
    backend=st.dictionaries(
        st.sampled_from(SERVICES), st.sampled_from(["embedded", "docker", "attach"])
    ),
    linger=DURATIONS,
    start_timeout=DURATIONS,
    data_dir=st.just("") | st.from_regex(r"/[a-z \"'#=\]]{1,20}", fullmatch=True),
    env=st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True),
        st.sampled_from([f"{s}.{f}" for s in SERVICES for f in ("url", "port", "database")]),
        max_size=3,
    ),
    export_env=st.booleans(),
    docker=st.builds(
        DockerSettings,
        pull=st.sampled_from(["missing", "always", "never"]),
        registry=st.from_regex(r"[a-z]{1,9}(:[0-9]{1,4})?(/[a-z]{1,9})?", fullmatch=True),
        reaper=st.sampled_from(["keeper", "ryuk"]),
    ),
    attach=st.builds(
        AttachSettings,
        allow=st.lists(st.from_regex(r"[a-z0-9*?:/.\"']{1,20}", fullmatch=True), max_size=3).map(
            tuple
        ),
    ),
    postgres=st.builds(PostgresSettings, superuser=st.booleans(), **OF_A_SERVICE),
    redis=st.builds(ServiceSettings, **OF_A_SERVICE),
    clickhouse=st.builds(ServiceSettings, **OF_A_SERVICE),
)
# What follows from other things: no key of a file's.
DERIVED: dict[str, set[str]] = {"docker": {"host", "context"}}
DERIVED |= {service: {"url_origin"} for service in SERVICES}


def as_toml(value: Settings) -> str:
    tables = structs.asdict(value)
    for key in ("docker", "attach", *SERVICES):
        inner = structs.asdict(tables[key])
        # An empty text is what leaving the key out means, and not all keys may be empty.
        tables[key] = {
            name: held
            for name, held in inner.items()
            if held != "" and name not in DERIVED.get(key, ())
        }
    return tomlkit.dumps({"tool": {"envkit": tables}})


def without_origins(value: Settings) -> Settings:
    tables = {name: structs.replace(value.of(name), url_origin="") for name in SERVICES}
    return structs.replace(value, **tables)


@settings(deadline=None)
@given(SETTINGS)
def test_settings_written_as_toml_come_back(value: Settings) -> None:
    with tempfile.TemporaryDirectory() as name:
        assert without_origins(read(Path(name), as_toml(value)).settings) == value


@settings(deadline=None)
@given(SETTINGS, st.sampled_from(["\n", "\r\n"]), st.integers(0, 5))
def test_every_origin_is_the_line_of_its_key(value: Settings, newline: str, before: int) -> None:
    text = '# [tool.envkit]\nx = """\n[[]] "" {\n"""\n' * (before > 0) + "\n" * before
    text += as_toml(value)
    with tempfile.TemporaryDirectory() as name:
        config = read(Path(name), text.replace("\n", newline).encode())
    lines = text.split("\n")
    for key, origin in config.origins.items():
        if origin != "default":
            line = lines[int(origin.removeprefix("pyproject.toml:")) - 1]
            assert key.rpartition(".")[2] in line


WORDS = """services env x postgres tool envkit . = [ ] { } , ' " \\ # 1 -1 1e9 true 2020-01-01 ä"""
PIECES = [*WORDS.split(), *"\n\r \0\u2028", '"' * 3, "'" * 3]


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(PIECES),
        max_size=30,
    )
)
def test_no_text_brings_anything_but_settings_or_a_configuration_error(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(ConfigError):
        read(Path(name), table("".join(parts)))


def test_positions_survive_every_kind_of_string_and_nesting(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        '''
a = """
b = 1 # ""
\\""" still"""""
'q.r'.s = [ # ]
  { t = 1 }, 1.5, [2,
  "]"],
]
[[list]]
u = { v = "}", w.x = 2020-01-01 10:00:00 }
[[list]]
["odd \\" name".y]
z = \'\'\'
\'\'\'\'
'''
    )
    document = read_document(path)
    assert {
        key: document.line(key)
        for key in [
            ("a",),
            ("q.r", "s"),
            ("q.r", "s", 0, "t"),
            ("q.r", "s", 2, 1),
            ("list",),
            ("list", "u", "w", "x"),
            ('odd " name', "y", "z"),
        ]
    } == {
        ("a",): 2,
        ("q.r", "s"): 5,
        ("q.r", "s", 0, "t"): 6,
        ("q.r", "s", 2, 1): 7,
        ("list",): 9,
        ("list", "u", "w", "x"): 10,
        ('odd " name', "y", "z"): 13,
    }


def test_importing_config_loads_nothing_heavy() -> None:
    code = (
        "import sys, envkit.config; print({'tomllib', 'difflib', 'rich', 'tomlkit', 'click',"
        " 'pytest', 'psycopg', 'redis', 'docker'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "set()"
