"""The incidents that envkit grew out of, replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gate.gated import declare, nobody_listens, said

if TYPE_CHECKING:
    from tests.conftest import Project

AGENT = "def test_agent(real_redis): pass\ndef test_other(): pass\n"


def test_prerequisite_without_a_selected_test_holds_nothing_up(project: Project) -> None:
    declare(project, database='needs = ["redis"]', integration='after = ["database"]')
    project.write("tests/database/test_schema.py", "def test_a(): pass\ndef test_b(): pass\n")
    project.write("tests/integration/test_it.py", AGENT)

    report = said(project, "integration", "--", "-x", "-k", "agent")

    database, integration = report["categories"]
    assert (database["name"], database["outcome"]) == ("database", "empty")
    assert database["cause"] == "0 of 2 selected by -k 'agent'"
    assert (integration["name"], integration["outcome"]) == ("integration", "passed")
    assert integration["counts"] == {"passed": 1}
    assert report["exit_code"] == 0


def test_stopped_database_blocks_and_nothing_is_run(project: Project) -> None:
    declare(project, database='needs = ["postgres"]', integration='after = ["database"]')
    for name in ("database", "integration"):
        ran = f"import pathlib; pathlib.Path('{name}.ran').touch()\ndef test_it(): pass\n"
        project.write(f"tests/{name}/test_it.py", ran)

    with nobody_listens() as port:
        url = f"postgresql://app:secret-word@127.0.0.1:{port}/app_test"
        done = project.envkit("test", ENVKIT_POSTGRES_URL=url)

    first, *_ = done.stdout.strip().splitlines()
    assert first == (
        f"✗ database blocked: nothing listens at 127.0.0.1:{port} [net.refused] postgres "
        "(so integration did not run) → unset ENVKIT_POSTGRES_URL"
    )
    assert done.returncode == 1
    assert not list(project.root.glob("*.ran"))


def test_missing_secret_blocks_with_the_command_that_makes_one(project: Project) -> None:
    declare(project, agent='needs = ["SERVICE_SECRET"]')
    project.write("tests/agent/test_it.py", "def test_it(): pass\n")
    configuration = (project.root / "envkit.toml").read_text()
    project.write("envkit.toml", f"{configuration}\n[secrets]\nSERVICE_SECRET = {{}}\nOTHER = {{}}")

    blocked = project.envkit("test")
    assert blocked.returncode == 1
    assert blocked.stdout.strip().startswith(
        "✗ agent blocked: SERVICE_SECRET is not set [secret.missing] → envkit secrets generate"
    )

    project.envkit("secrets", "generate")
    assert said(project, "agent")["exit_code"] == 0
