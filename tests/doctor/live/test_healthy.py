"""Where nothing is wrong, the doctor finds nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project


def report_of(project: Project) -> dict[str, Any]:
    done = project.envkit("doctor", "--format", "json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == {"ok": 0, "problems": 1, "incomplete": 3}[report["status"]]
    return report


def assert_healthy(project: Project) -> None:
    report = report_of(project)
    # Other tests kill keepers at the same time, and what they leave in the engine is true.
    others = ["envkit.leftovers"]
    assert [one for one in report["findings"] if one["slug"] not in others] == []
    assert report["status"] == "ok"


def test_zero_configuration_is_healthy(project: Project) -> None:
    project.write("envkit.toml", "")
    assert_healthy(project)


def test_embedded_is_healthy(project: Project) -> None:
    project.write("envkit.toml", 'backend = "embedded"\n')
    assert_healthy(project)


def test_embedded_that_is_up_is_healthy(project: Project) -> None:
    project.write("envkit.toml", 'backend = "embedded"\n')
    assert project.envkit("up").returncode == 0
    assert_healthy(project)


def test_page_shows_how_long_each_server_took_to_start(project: Project) -> None:
    project.write("envkit.toml", 'backend = "embedded"\n')
    assert "How the servers started" not in project.envkit("doctor", "--format", "html").stdout
    assert project.envkit("up").returncode == 0
    took = {one["name"]: one["started_ms"] for one in report_of(project)["checks"]}
    page = project.envkit("doctor", "--format", "html").stdout
    _, _, starts = page.partition("How the servers started")
    for name in ("Postgres", "Redis", "ClickHouse"):
        assert took[name] > 0
        assert f'<span class="name">{name}</span><span class="ms">{took[name]:.0f} ms' in starts


def test_attached_is_healthy(
    project: Project, foreign_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("envkit.toml", "")
    for name, url in foreign_urls.items():
        monkeypatch.setenv(name, url)
    assert_healthy(project)


@pytest.mark.usefixtures("with_engine")
def test_docker_is_healthy(project: Project) -> None:
    project.write("envkit.toml", 'backend = "docker"\n')
    assert_healthy(project)


@pytest.mark.usefixtures("with_engine")
def test_docker_that_is_up_is_healthy(project: Project) -> None:
    project.write("envkit.toml", 'backend = "docker"\n')
    assert project.envkit("up").returncode == 0
    assert_healthy(project)


def test_attached_server_of_another_version_is_no_healthy_one(
    project: Project, foreign_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("envkit.toml", '[postgres]\nversion = "11"\n[redis]\nversion = "2"\n')
    for name, url in foreign_urls.items():
        monkeypatch.setenv(name, url)
    found = report_of(project)["findings"]
    assert [(one["slug"], one["service"]) for one in found] == [
        ("envkit.attach.unsuitable", "postgres"),
        ("envkit.attach.unsuitable", "redis"),
    ]


def test_visit_changes_nothing(project: Project) -> None:
    project.write("envkit.toml", "")
    before = sorted(path.name for path in project.root.rglob("*"))
    report_of(project)
    assert sorted(path.name for path in project.root.rglob("*")) == before
    assert json.loads(project.envkit("status", "--format", "json").stdout)["keepers"] == []
