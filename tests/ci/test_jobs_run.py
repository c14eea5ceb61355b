"""The generated jobs do what they say: every line of them is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from envkit import config
from envkit.ci import job_for, renderer
from tests.ci.projects import SEVERAL, SHOP, TEST, write
from tests.ci.running import Machine, run_github, run_gitlab

URL = "https://auth.example.test/"


@pytest.fixture
def machine(tmp_path: Path, project_files: dict[str, str]) -> Iterator[Machine]:
    made = Machine(tmp_path, write(tmp_path / "shop", project_files))
    yield made
    made.close()


@pytest.fixture
def project_files() -> dict[str, str]:
    return {"pyproject.toml": SHOP, "tests/test_shop.py": TEST}


def text(machine: Machine, provider: str, kind: str) -> str:
    loaded = config.load(machine.checkout, environ={})
    return renderer(provider)(job_for(loaded, kind=kind))


def passed(machine: Machine) -> int:
    (suite,) = ElementTree.parse(machine.report / "junit.xml").getroot()
    return int(suite.get("tests", "0")) - int(suite.get("failures", "0"))


def test_github_with_servers_of_our_own(machine: Machine) -> None:
    workflow = text(machine, "github", "own")
    green = run_github(machine, workflow, matrix={}, secrets={"AUTH_SERVICE_URL": URL})
    assert green, machine.said()
    assert passed(machine) == 1
    assert not (machine.report / "doctor.html").exists()


def test_github_with_service_containers(machine: Machine, foreign_urls: dict[str, str]) -> None:
    workflow = text(machine, "github", "containers")
    green = run_github(
        machine, workflow, matrix={}, secrets={"AUTH_SERVICE_URL": URL}, **foreign_urls
    )
    assert green, machine.said()
    assert passed(machine) == 1


@pytest.mark.parametrize(
    "project_files",
    [{"pyproject.toml": SEVERAL, "shop/__init__.py": "", "tests/test_shop.py": TEST}],
)
def test_gitlab_with_servers_of_our_own(machine: Machine) -> None:
    pipeline = text(machine, "gitlab", "own")
    matrix = {"ENVKIT_POSTGRES_VERSION": "18"}
    assert run_gitlab(machine, pipeline, matrix=matrix, AUTH_SERVICE_URL=URL), machine.said()
    assert passed(machine) == 1  # with this version alone


def test_gitlab_with_service_containers(machine: Machine, foreign_urls: dict[str, str]) -> None:
    pipeline = text(machine, "gitlab", "containers")
    green = run_gitlab(machine, pipeline, matrix={}, AUTH_SERVICE_URL=URL, **foreign_urls)
    assert green, machine.said()
    assert passed(machine) == 1


def test_a_missing_secret_ends_the_job_before_its_tests(machine: Machine) -> None:
    workflow = text(machine, "github", "own")
    assert not run_github(machine, workflow, matrix={}, secrets={})
    assert "AUTH_SERVICE_URL" in machine.said()
    assert not (machine.report / "junit.xml").exists()
    assert "AUTH_SERVICE_URL" in (machine.report / "doctor.html").read_text()
