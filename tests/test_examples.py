"""The projects under tests/examples, as somebody would run them who has copied one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomlkit
from msgspec import Struct

if TYPE_CHECKING:
    from tests.conftest import Leftovers

EXAMPLES = Path(__file__).parent / "examples"
LIMIT_S = 300


class Example(Struct, frozen=True, kw_only=True):
    """One of them.

    Attributes:
        plugins: Of pytest, that its developers have beside ours.
        options: Further ones of pytest.
        passed: How many tests there are.
        templates: That its tests use.
    """

    passed: int
    templates: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


ALL = {
    "asyncpg_service": Example(
        passed=9, templates=("postgres",), plugins=("anyio.pytest_plugin", "pytest_asyncio.plugin")
    ),
    "django_site": Example(
        passed=11,
        templates=("postgres",),
        plugins=("pytest_asyncio.plugin", "pytest_django.plugin"),
    ),
    "fastapi_app": Example(
        passed=8,
        templates=("clickhouse", "postgres", "redis"),
        # Of newer Starlettes with the client that older ones need.
        options=("-W", "ignore:Using `httpx`"),
    ),
    "sqlalchemy_alembic": Example(passed=9, templates=("postgres",)),
    "two_tenants": Example(passed=14, templates=("postgres", "postgres.small")),
}


class Copy:
    """A copy of an example, which writes down when a template is prepared."""

    def __init__(self, name: str, parent: Path) -> None:
        self.example = ALL[name]
        self.root = parent / name
        self._builds = parent / "builds"
        self._builds.touch()
        shutil.copytree(EXAMPLES / name, self.root, ignore=shutil.ignore_patterns("__pycache__"))
        self._count()

    def _count(self) -> None:
        """Have every template run one command more."""
        file = self.root / "pyproject.toml"
        document = tomlkit.parse(file.read_text())
        tables = document["tool"]["envkit"]
        for service in ("postgres", "redis", "clickhouse"):
            usual = tables.get(service)
            if usual is None:
                continue
            named = {f"{service}.{name}": one for name, one in usual.get("templates", {}).items()}
            for name, table in {service: usual, **named}.items():
                command = next(key for key in ("migrate", "seed") if key not in table)
                table[command] = f"echo {name} >> {self._builds}"
        file.write_text(tomlkit.dumps(document))

    @property
    def built(self) -> list[str]:
        """The templates that were prepared so far, once for each time."""
        return sorted(self._builds.read_text().split())

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A run with the plugins that the example's developers have, and no others."""
        plugins = [word for name in ("envkit", *self.example.plugins) for word in ("-p", name)]
        return self.run(
            *("pytest", "-p", "no:cacheprovider", "-W", "error", *plugins),
            *(*self.example.options, *arguments),
            PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        )


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(request.param, tmp_path)
    yield copy
    copy.run("envkit", "down")


def assert_all_passed(ended: subprocess.CompletedProcess[str], passed: int) -> None:
    """Nothing failed, was skipped or warned."""
    assert ended.returncode == 0, ended.stdout
    last = ended.stdout.strip().splitlines()[-1]
    assert re.fullmatch(rf"=+ {passed} passed in .*", last), ended.stdout


@pytest.mark.parametrize("example", sorted(ALL), indirect=True)
def test_example_passes_and_prepares_each_template_once(
    example: Copy, leftovers: Leftovers
) -> None:
    assert_all_passed(example.pytest(), example.example.passed)
    assert example.built == list(example.example.templates)
    assert not leftovers.wait_until_none()


@pytest.mark.parametrize("example", sorted(ALL), indirect=True)
def test_workers_of_an_example_share_what_one_of_them_has_prepared(
    example: Copy, leftovers: Leftovers
) -> None:
    assert_all_passed(example.pytest("-p", "xdist", "-n", "4"), example.example.passed)
    assert example.built == list(example.example.templates)
    assert not leftovers.wait_until_none()


@pytest.mark.parametrize("example", ["two_tenants"], indirect=True)
def test_example_passes_with_more_workers_than_it_has_use_for(example: Copy) -> None:
    assert_all_passed(example.pytest("-p", "xdist", "-n", "8"), example.example.passed)
    assert example.built == list(example.example.templates)


@pytest.mark.parametrize("example", ["django_site"], indirect=True)
def test_djangos_own_runner_takes_the_database_of_a_lease(example: Copy) -> None:
    ended = example.run("envkit", "run", "--", sys.executable, "manage.py", "test", "tests")
    assert ended.returncode == 0, ended.stdout
    assert "Ran 1 test in" in ended.stdout
    assert example.built == ["postgres"]


@pytest.mark.parametrize("example", ["django_site"], indirect=True)
def test_tests_of_django_are_listed_without_a_database(example: Copy) -> None:
    ended = example.pytest("--collect-only", "-q")
    assert ended.returncode == 0, ended.stdout
    assert example.built == []


def test_all_examples_are_run() -> None:
    # Those that are not configured yet are for `test_existing_projects`.
    unconfigured = set(EXAMPLES.glob("existing_*"))
    assert {
        one.name for one in EXAMPLES.iterdir() if one.is_dir() and one not in unconfigured
    } == set(ALL)
