"""The servers that the categories of one run use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gate.gated import declare, said

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

SINCE = """
from pathlib import Path
def test_it(real_postgres):
    with real_postgres.connect() as db:
        [since] = db.execute("SELECT pg_postmaster_start_time()::text").fetchone()
    with Path("since").open("a") as file:
        print(since, file=file)
"""


def test_categories_share_servers_which_are_gone_afterwards(
    project: Project, leftovers: Leftovers
) -> None:
    declare(project, one="", two='after = ["one"]')
    for name in ("one", "two"):
        project.write(f"tests/{name}/test_it.py", SINCE)

    assert said(project)["exit_code"] == 0

    first, second = (project.root / "since").read_text().splitlines()
    assert first == second
    assert leftovers.wait_until_none() == []
