"""Faults of secrets, in real files and environments, and what mends them."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project

_DECLARED = """
services = ["redis"]
[secrets]
JWT_SECRET = { algorithm = "HS256" }
AUTH_SERVICE_URL = { kind = "url" }
"""
_GOOD = "f3b1c5a7d9e2460813579bdf02468ace13579bdf02468acef0e1d2c3b4a59687"
_URL = "http://localhost:9000"


@pytest.fixture
def declared(project: Project) -> Project:
    project.write("envkit.toml", _DECLARED)
    return project


def write_env(project: Project, **values: str) -> None:
    lines = {"JWT_SECRET": _GOOD, "AUTH_SERVICE_URL": _URL} | values
    text = "".join(f"{name}={value}\n" for name, value in lines.items() if value != "-")
    project.write(".env", text).chmod(0o600)


def findings(project: Project) -> list[dict[str, Any]]:
    done = project.envkit("doctor", "--format", "json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    assert _GOOD not in done.stdout
    assert done.returncode == (1 if any(one["severity"] == "error" for one in found) else 0)
    return found


def test_good_ones_give_no_finding(declared: Project) -> None:
    write_env(declared)
    assert findings(declared) == []


def test_missing_one_is_generated_by_its_command(declared: Project) -> None:
    write_env(declared, JWT_SECRET="-")
    (found,) = findings(declared)
    assert found["slug"] == "secret.missing"
    assert found["fix"]["command"] == "envkit secrets generate"
    assert declared.envkit("secrets", "generate").returncode == 0
    assert findings(declared) == []


def test_missing_one_is_generated_by_the_doctor_itself(declared: Project) -> None:
    write_env(declared, JWT_SECRET="-")
    done = declared.envkit("doctor", "--fix", "--yes", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["findings"] == []


@pytest.mark.parametrize(
    ("slug", "value"),
    [
        ("secret.empty", ""),
        ("secret.placeholder", "changeme"),
        ("secret.placeholder", "<your-secret-here>"),
        ("secret.short", "kF8vQ2mZx7Lp"),
        ("secret.low-entropy", "ab" * 32),
    ],
)
def test_bad_value_has_its_slug(declared: Project, slug: str, value: str) -> None:
    write_env(declared, JWT_SECRET=value)
    assert findings(declared)[0]["slug"] == slug


def test_unexpanded_variable_is_a_placeholder(
    declared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_env(declared)
    monkeypatch.setenv("JWT_SECRET", "${JWT_SECRET}")
    assert findings(declared)[0]["slug"] == "secret.placeholder"


def test_trailing_newline_is_seen(declared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_env(declared)
    monkeypatch.setenv("JWT_SECRET", _GOOD + "\n")
    assert findings(declared)[0]["slug"] == "secret.whitespace"


def test_quotes_left_in_are_seen(declared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_env(declared)
    monkeypatch.setenv("JWT_SECRET", f'"{_GOOD}"')
    assert findings(declared)[0]["slug"] == "secret.quoted"


def test_url_that_is_none_is_malformed(declared: Project) -> None:
    write_env(declared, AUTH_SERVICE_URL="localhost")
    assert findings(declared)[0]["slug"] == "secret.malformed"


def test_url_of_production_is_seen(declared: Project) -> None:
    write_env(declared, AUTH_SERVICE_URL="https://auth.prod.example.com")
    assert findings(declared)[0]["slug"] == "secret.production"


def test_file_that_others_can_read_is_closed_by_its_command() -> None:
    # Not below pytest's own directories, which are closed: then nobody can read the file.
    with tempfile.TemporaryDirectory() as place:
        open_place = Project(Path(place))
        Path(place).chmod(0o755)
        open_place.write("envkit.toml", _DECLARED)
        write_env(open_place)
        (open_place.root / ".env").chmod(0o644)
        (found,) = findings(open_place)
        assert found["slug"] == "secret.file-open"
        subprocess.run(shlex.split(found["fix"]["command"]), cwd=place, check=True)
        assert findings(open_place) == []


def test_file_that_git_tracks_is_seen(declared: Project) -> None:
    write_env(declared)
    for command in (["git", "init", "-q"], ["git", "add", "-f", ".env"]):
        subprocess.run(command, cwd=declared.root, check=True)
    assert findings(declared)[0]["slug"] == "secret.file-tracked"
