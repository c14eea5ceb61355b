"""What the doctor mends itself, on real servers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Project


@pytest.fixture
def without_database(
    project: Project, foreign_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Attached to a Postgres and a ClickHouse whose database is not there yet."""
    project.write("envkit.toml", 'services = ["postgres", "clickhouse"]\n')
    for name in ("ENVKIT_POSTGRES_URL", "ENVKIT_CLICKHOUSE_URL"):
        server, _, _ = foreign_urls[name].partition("?")[0].rpartition("/")
        monkeypatch.setenv(name, f"{server}/brand_new_{project.root.parent.name}_test")
    return project


def slugs(project: Project, *arguments: str, stdin: str = "") -> list[str]:
    done = project.envkit("doctor", "--format", "json", *arguments, stdin=stdin)
    return [one["slug"] for one in json.loads(done.stdout)["findings"]]


def test_missing_databases_are_created_and_verified(without_database: Project) -> None:
    assert sorted(slugs(without_database)) == ["ch.db.missing", "pg.db.missing"]
    assert slugs(without_database, "--fix", "--yes") == []
    assert slugs(without_database) == []


def test_nothing_is_done_without_consent(without_database: Project) -> None:
    assert len(slugs(without_database, "--fix", stdin="n\nn\n")) == 2
    done = without_database.envkit("doctor", "--fix")
    assert done.returncode == 2
    assert "there was no answer" in done.stderr
    assert len(slugs(without_database)) == 2


def test_each_thing_is_asked_for_by_itself(without_database: Project) -> None:
    assert len(slugs(without_database, "--fix", stdin="y\nn\n")) == 1


def test_database_on_a_server_that_looks_productive_is_not_created(
    without_database: Project, foreign_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _, _ = foreign_urls["ENVKIT_POSTGRES_URL"].partition("?")[0].rpartition("/")
    monkeypatch.setenv("ENVKIT_POSTGRES_URL", f"{server}/accounts_production")
    without_database.write("envkit.toml", 'services = ["postgres"]\n')
    assert slugs(without_database, "--fix", "--yes") == ["envkit.attach.refused"]
