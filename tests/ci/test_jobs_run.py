"""The generated jobs do what they say: every line of them is run."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from envkit import config
from envkit.ci import job_for, renderer
from tests.ci.projects import CATEGORIES, LOCKED, SEVERAL, SHOP, TEST, write
from tests.ci.published import parsed
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


IN_CATEGORIES = pytest.mark.parametrize(
    "project_files",
    [
        {
            "pyproject.toml": CATEGORIES,
            "tests/unit/test_words.py": "def test_word(): pass\n",
            "tests/database/test_shop.py": TEST,
        }
    ],
)


def suites(machine: Machine) -> dict[str, str]:
    """How many tests each suite of the report has."""
    root = ElementTree.parse(machine.report / "junit.xml").getroot()
    return {one.get("name", ""): one.get("tests", "") for one in root}


@IN_CATEGORIES
def test_github_with_categories(machine: Machine) -> None:
    workflow = text(machine, "github", "own")
    green = run_github(machine, workflow, matrix={}, secrets={"AUTH_SERVICE_URL": URL})
    assert green, machine.said()
    assert suites(machine) == {"unit": "1", "database": "1"}
    summary = (machine.checkout.parent / "summary.md").read_text()
    assert "## ✅ envkit doctor: healthy" in summary
    assert "## ✅ envkit test: 2 passed" in summary


@IN_CATEGORIES
def test_github_with_categories_and_service_containers(
    machine: Machine, foreign_urls: dict[str, str]
) -> None:
    workflow = text(machine, "github", "containers")
    secrets = {"AUTH_SERVICE_URL": URL}
    green = run_github(machine, workflow, matrix={}, secrets=secrets, **foreign_urls)
    assert green, machine.said()
    assert suites(machine) == {"unit": "1", "database": "1"}


@IN_CATEGORIES
@pytest.mark.parametrize("kind", ["own", "containers"])
def test_gitlab_with_categories(machine: Machine, kind: str, foreign_urls: dict[str, str]) -> None:
    urls = foreign_urls if kind == "containers" else {}
    pipeline = text(machine, "gitlab", kind)
    assert run_gitlab(machine, pipeline, matrix={}, AUTH_SERVICE_URL=URL, **urls), machine.said()
    report = parsed(pipeline)["tests"]["artifacts"]["reports"]["junit"]
    assert (machine.checkout / report).samefile(machine.report / "junit.xml")
    assert suites(machine) == {"unit": "1", "database": "1"}


@IN_CATEGORIES
def test_a_failed_category_is_in_the_report_and_the_summary(machine: Machine) -> None:
    failing = machine.checkout / "tests/unit/test_words.py"
    failing.write_text("def test_word(): assert 'a' == 'b'\n")
    workflow = text(machine, "github", "own")
    assert not run_github(machine, workflow, matrix={}, secrets={"AUTH_SERVICE_URL": URL})
    assert suites(machine)["unit"] == "1"
    summary = (machine.checkout.parent / "summary.md").read_text()
    assert "## ❌ envkit test: 1 blocked, 1 failed" in summary


@pytest.mark.parametrize(
    "project_files",
    [{"pyproject.toml": SHOP, "tests/test_shop.py": "def test_word(): pass\n"}],
)
def test_what_could_not_be_checked_is_a_warning_and_the_tests_run(
    machine: Machine, foreign_urls: dict[str, str]
) -> None:
    workflow = text(machine, "github", "containers")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        redis = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        urls = foreign_urls | {"ENVKIT_REDIS_URL": redis}
        secrets = {"AUTH_SERVICE_URL": URL}
        assert run_github(machine, workflow, matrix={}, secrets=secrets, **urls), machine.said()
    assert "::warning title=Redis%3A not checked::" in machine.said()
    assert passed(machine) == 1


@pytest.mark.parametrize(
    "project_files",
    [
        {
            "pyproject.toml": LOCKED,
            "shop/__init__.py": "import iniconfig\n",
            "tests/test_shop.py": "import shop\n\ndef test_it(real_redis): pass\n",
        }
    ],
)
def test_a_project_of_poetrys(machine: Machine) -> None:
    workflow = text(machine, "github", "own")
    assert run_github(machine, workflow, matrix={}, secrets={}), machine.said()
    assert passed(machine) == 1
    listed = (machine.checkout / ".envkit-requirements.txt").read_text()
    assert {"iniconfig", "pytest"} <= set(re.findall(r"^[\w-]+", listed, re.MULTILINE))


def test_a_missing_secret_ends_the_job_before_its_tests(machine: Machine) -> None:
    workflow = text(machine, "github", "own")
    assert not run_github(machine, workflow, matrix={}, secrets={})
    assert "AUTH_SERVICE_URL" in machine.said()
    assert not (machine.report / "junit.xml").exists()
    assert "AUTH_SERVICE_URL" in (machine.report / "doctor.html").read_text()
