"""What is imported when nothing is asked for yet: the price that everybody pays at every start."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A driver, a renderer or a server engine costs 40 to 270 ms.
HEAVY = (
    "asyncio",
    "chdb",
    "clickhouse_connect",
    "docker",
    "httpx",
    "numpy",
    "pandas",
    "psycopg",
    "redis",
    "requests",
    "rich",
    "testcontainers",
    "tomlkit",
)


def imported_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    "code",
    [
        "import envkit",
        "import envkit.cli",
        "import sys; sys.argv = ['envkit', '--help']\nimport envkit.cli\n"
        "try:\n    envkit.cli.main()\nexcept SystemExit:\n    pass",
        "import envkit.keeper.client, envkit.config, envkit.api",
        "import envkit.keeper.server",
        "import envkit.services.postgres, envkit.services.redis, envkit.services.clickhouse",
    ],
    ids=["package", "command", "help", "client", "keeper", "services"],
)
def test_no_driver_renderer_or_engine_is_loaded(code: str) -> None:
    assert imported_by(code).isdisjoint(HEAVY)


def test_pytest_plugin_adds_only_itself_to_pytest() -> None:
    with_plugin = imported_by("import pytest, envkit.pytest_plugin")
    without = imported_by("import pytest")
    assert with_plugin - without <= {"envkit", "envkit.version", "envkit.pytest_plugin"}


def test_watchdog_loads_the_standard_library_alone() -> None:
    modules = imported_by("import envkit.keeper.watchdog")
    third_party = {"msgspec", "click", "platformdirs"}
    assert modules.isdisjoint({*third_party, *HEAVY, "typing", "pathlib", "subprocess"})
