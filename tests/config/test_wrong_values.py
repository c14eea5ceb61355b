"""How wrong values and unknown keys are answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envkit.config import (
    show,
)
from envkit.errors import ConfigInvalid, ConfigUnknownKey
from tests.config.reading import read, table
from tests.config.wrong import VALUES


@pytest.mark.parametrize(
    "written",
    ['"soon"', '""', '"1d"', '"-1s"', '"1e3"', "-1", "nan", "inf", "true", "[1]", "9" * 400],
)
def test_what_is_no_duration_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"linger is .*; expected a duration"):
        read(tmp_path, table(f"linger = {written}"))


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
            " host, port, user, password, database, or a URL with another scheme of that service,"
            ' as in "postgres.url as postgresql+asyncpg"',
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


@pytest.mark.parametrize("text", VALUES)
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
            "did you mean 'superuser'? Known keys: version, versions, settings, schema, ",
        ),
        (
            "[tool.envkit.redis]\nsuperuser = true",
            "pyproject.toml:3: tool.envkit.redis has no key 'superuser'",
            "'superuser' belongs into [tool.envkit.postgres]. Known keys: version, settings, ",
        ),
        (
            "backend = { postgress = 'docker' }",
            "pyproject.toml:2: tool.envkit.backend has no key 'postgress'",
            "did you mean 'postgres'? Known keys: postgres, redis, clickhouse",
        ),
        (
            "[tool.envkit.kafka]\nKEY = {}",
            "pyproject.toml:2: tool.envkit has no key 'kafka'",
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
