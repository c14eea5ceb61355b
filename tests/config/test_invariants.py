"""What holds of every configuration, and of every text that is none."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from envkit.config import (
    read_document,
)
from envkit.errors import ConfigError
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
    "pool": st.integers(0, 64),
    "max_leases": st.integers(1, 10_000),
    "url": st.just("") | st.from_regex(r"redis://[a-z0-9:@/?%=&#\"']{1,20}", fullmatch=True),
}
ISOLATIONS = st.sampled_from(["auto", "server", "database"])
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
        st.sampled_from(
            [f"{s}.{f}" for s in SERVICES for f in ("url", "port", "database")]
            + ["postgres.url as postgresql+asyncpg", "clickhouse.url as clickhousedb+connect"]
        ),
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
    postgres=st.builds(
        PostgresSettings,
        superuser=st.booleans(),
        versions=st.sampled_from([(), ("18",), ("16", "18.6")]),
        **OF_A_SERVICE,
    ).map(
        # The first of several is the version, unless there is one.
        lambda table: structs.replace(table, version=table.version or [*table.versions, ""][0])
    ),
    redis=st.builds(RedisSettings, **(OF_A_SERVICE | {"isolation": ISOLATIONS})),
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
            if held not in ("", ()) and name not in DERIVED.get(key, ())
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
