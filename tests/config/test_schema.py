"""The schema for editors: what it is made from, and that it agrees with the reader of the files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from envkit.config import schema
from envkit.model import Settings
from tests.config.test_invariants import SETTINGS, as_toml
from tests.config.wrong import DECLARATIONS, VALUES

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "envkit" / "config" / "envkit.schema.json"
VALIDATOR = jsonschema.Draft7Validator(json.loads(PUBLISHED.read_text("utf-8")))
# What depends on other places of a file, and what JSON has no numbers for.
BEYOND = {
    "redis.settings.a = 9223372036854775808",
    'redis.settings = { "a.b" = 1, a.b = 2 }',
    "secrets.KEY.min_entropy = nan",
    "secrets.KEY.differs_from = ['KEY']",
    "categories.a.needs = ['KEY']",
    "categories.a.after = ['a']",
}


def faults(text: str) -> list[str]:
    table = tomllib.loads(text).get("tool", {}).get("envkit", {})
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(table)]


def documents() -> Iterator[Any]:
    """All that the documentation and the example projects configure."""
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    for number, block in enumerate(blocks):
        yield pytest.param(block, id=f"README-{number}")
    for path in sorted(ROOT.glob("tests/examples/*/pyproject.toml")):
        yield pytest.param(path.read_text("utf-8"), id=path.parent.name)


def test_the_file_is_what_the_keys_and_readers_give() -> None:
    assert PUBLISHED.read_text("utf-8") == schema.text(), (
        "python -m envkit.config.schema > envkit/config/envkit.schema.json"
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(VALIDATOR.schema)


@settings(deadline=None)
@given(SETTINGS)
def test_what_the_reader_takes_the_schema_takes(value: Settings) -> None:
    assert faults(as_toml(value)) == []


@pytest.mark.parametrize("text", list(documents()))
def test_what_is_shown_as_configuration_fits(text: str) -> None:
    assert faults(text) == []


@pytest.mark.parametrize("text", [line for line in (*VALUES, *DECLARATIONS) if line not in BEYOND])
def test_what_the_reader_refuses_the_schema_refuses(text: str) -> None:
    assert faults(f"[tool.envkit]\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "serivces = []",
        "redis.superuser = true",
        "postgres.supersuer = true",
        "redis.schema = ['a.sql']",
        "postgres.templates.empty = {}",
        "postgres.templates.small.sede = []",
        "secrets.KEY.min_lenght = 3",
        "categories.db.path = ['tests']",
        'secrets.KEY = { kind = "url", algorithm = "HS256" }',
        'secrets.KEY = { one_of = ["a"], algorithm = "HS256" }',
        'secrets.KEY.kind = "one-of"',
        "secrets.KEY = 1",
        'linger = "soon"',
        "linger = -1",
        "start_timeout = 0",
    ],
)
def test_a_slip_of_the_keyboard_is_marked(text: str) -> None:
    assert faults(f"[tool.envkit]\n{text}\n")


def test_every_key_says_what_it_means() -> None:
    silent = []

    def look(path: str, node: Any) -> None:
        for name, entry in node.get("properties", {}).items():
            if "description" not in entry:
                silent.append(f"{path}{name}")
            look(f"{path}{name}.", entry)
            if isinstance(entry.get("additionalProperties"), dict):
                look(f"{path}{name}.*.", entry["additionalProperties"])

    look("", VALIDATOR.schema)
    assert silent == []


def examples(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a schema that has examples, with each of them."""
    if isinstance(node, dict):
        yield from ((node, one) for one in node.get("examples", ()))
        for below in node.values():
            yield from examples(below)


def test_every_example_is_one() -> None:
    found = list(examples(VALIDATOR.schema))
    assert found
    for node, one in found:
        assert VALIDATOR.evolve(schema=node).is_valid(one), one


def test_nothing_of_it_is_loaded_at_run_time() -> None:
    code = "import sys, envkit.config; print('envkit.config.schema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"
