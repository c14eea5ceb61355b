"""The commands that write the compose file and compare it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from inline_snapshot import snapshot

if TYPE_CHECKING:
    from tests.conftest import Project


def test_render_writes_what_check_expects(project: Project) -> None:
    assert project.shown("compose", "render") == snapshot("""\
exit code 0
-- stdout
written to PROJECT/compose/compose.yaml
-- stderr
""")
    assert project.shown("compose", "check") == snapshot("""\
exit code 0
-- stdout
-- stderr
""")


def test_render_prints_the_same_as_it_writes(project: Project) -> None:
    project.envkit("compose", "render")
    printed = project.envkit("compose", "render", "--output", "-").stdout
    assert printed == (project.root / "compose/compose.yaml").read_text()


def test_render_takes_another_place(project: Project) -> None:
    project.envkit("compose", "render", "--output", "other.yaml")
    assert project.envkit("compose", "check", "--output", "other.yaml").returncode == 0


def test_render_does_not_overwrite_what_envkit_did_not_make(project: Project) -> None:
    project.write("compose/compose.yaml", "services: {}\n")
    assert project.shown("compose", "render") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: PROJECT/compose/compose.yaml was not made by envkit, so it is left as it is [envkit.usage]
  → remove it, or name another with --output
""")
    assert (project.root / "compose/compose.yaml").read_text() == "services: {}\n"


def test_check_says_that_the_file_is_missing(project: Project) -> None:
    assert project.shown("compose", "check") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: there is no compose/compose.yaml [envkit.compose.drift]
  → envkit compose render
""")


def test_check_shows_what_differs(project: Project) -> None:
    project.envkit("compose", "render")
    project.write("envkit.toml", 'services = ["redis"]\nredis.settings = { maxmemory = "64mb" }\n')
    assert project.shown("compose", "check") == snapshot("""\
exit code 1
-- stdout
-- stderr
error: compose/compose.yaml is not what the configuration gives [envkit.compose.drift]
    --- compose/compose.yaml
    +++ from the configuration
    @@ -56,4 +56,5 @@
           save ""
           appendonly no
    +      maxmemory 64mb
       redis-password:
         content: "${REDIS_PASSWORD:-redis}"
  → envkit compose render
""")


def test_environment_of_whoever_renders_does_not_show(project: Project) -> None:
    project.envkit("compose", "render")
    environment = {
        "ENVKIT_REDIS_IMAGE": "our/redis:1",
        "ENVKIT_REDIS_VERSION": "7",
        "TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX": "mirror.example",
    }
    assert project.envkit("compose", "check", **environment).returncode == 0


def test_project_name_is_that_of_pyproject(project: Project) -> None:
    project.write("pyproject.toml", '[project]\nname = "My.Shop"\n')
    printed = project.envkit("compose", "render", "--output", "-").stdout
    assert yaml.safe_load(printed)["name"] == "my-shop"


def test_unknown_option_is_a_usage_error(project: Project) -> None:
    assert project.envkit("compose", "render", "--force").returncode == 2
