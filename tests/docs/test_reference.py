"""The generated reference is what the code says now, and says something of everything there is.

Only the first tests use the generator. The others read the pages as they are checked in, and hold
them against what they find out by other ways.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

import envkit
from docs.generate import DIRECTORY, pages
from envkit import errors
from envkit.cli import cli
from envkit.config.environment import ENVIRONMENT
from envkit.doctor.engine import all_rules
from envkit.doctor.explanations import explanations
from envkit.model import SERVICES

if TYPE_CHECKING:
    from tests.conftest import Project

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "envkit"
PAGES = sorted(path.name for path in DIRECTORY.glob("*.md"))
COMMANDS, CONFIGURATION, ENVIRONMENT_PAGE, FINDINGS, FIXTURES, PYTHON = (
    (DIRECTORY / f"{name}.md").read_text("utf-8")
    for name in ("commands", "configuration", "environment", "findings", "fixtures", "python")
)


def sections(text: str, level: str = "#+") -> dict[str, str]:
    """Heading, without backticks, to what stands below it until the next one."""
    found = re.findall(rf"^({level}) (.+)\n((?:(?!#+ ).*\n)*)", text, re.M)
    return {heading.replace("`", ""): body for _, heading, body in found}


def first_paragraph(body: str) -> str:
    return re.sub(r"<a id=[^>]*></a>", "", body).strip().partition("\n\n")[0]


def named(text: str) -> set[str]:
    """Whatever is code in a line."""
    return set(re.findall(r"`([^`\n]+)`", text))


# -- the generator --------------------------------------------------------------------------------


def test_every_page_is_made_by_the_generator() -> None:
    assert sorted(pages()) == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    current = (DIRECTORY / name).read_text("utf-8")
    assert pages()[name] == current, "run: python docs/generate.py"


def test_check_shows_what_differs_and_writing_mends_it(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs" / "generator", tmp_path / "docs" / "generator")
    shutil.copy(ROOT / "docs" / "generate.py", tmp_path / "docs")
    shutil.copytree(DIRECTORY, tmp_path / "docs" / "reference")
    changed = tmp_path / "docs" / "reference" / "commands.md"
    changed.write_text(changed.read_text("utf-8").replace("## Exit codes", "## Exits"), "utf-8")

    def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(tmp_path / "docs" / "generate.py"), *arguments]
        return subprocess.run(program, capture_output=True, text=True, timeout=60)

    told = generate("--check")
    assert told.returncode == 1, told.stderr
    assert "-## Exits\n+## Exit codes" in told.stdout
    assert "python docs/generate.py" in told.stdout
    assert generate().returncode == 0
    assert generate("--check").stdout == ""


# -- the pages themselves -------------------------------------------------------------------------


def anchors(name: str) -> set[str]:
    """As GitHub makes them of headings, and those that the page has written out."""
    text = (DIRECTORY / name).read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)"></a>', text))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    text = (DIRECTORY / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        page, _, anchor = target.partition("#")
        if "://" in page:
            continue
        assert (DIRECTORY / (page or name)).is_file(), target
        assert not anchor or anchor in anchors(page or name), target


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_text_and_lines_are_short(name: str) -> None:
    text = (DIRECTORY / name).read_text("utf-8")
    assert set(re.findall(r"^```(\w*)$", text, re.M)) <= {"text", ""}
    assert text.count("```text\n") * 2 == text.count("```")
    for line in text.splitlines():
        assert len(line) <= 100 or line.startswith(("|", "- [")) or "http" in line, line


# -- commands -------------------------------------------------------------------------------------


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(commands(cli, "envkit")))
def test_every_command_argument_and_option_is_explained(path: str, command: click.Command) -> None:
    body = sections(COMMANDS)[path]
    for option in (one for one in command.params if isinstance(one, click.Option)):
        names = re.escape(", ".join(option.opts))
        assert re.search(rf"^- `{names}( [^`]+)?`: \w", body, re.M), option.opts
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    explained = body.partition("\nArguments:\n")[2].partition("\nOptions:\n")[0]
    assert len(re.findall(r"^- `[^`]+`: \w", explained, re.M)) == len(arguments)


# -- configuration --------------------------------------------------------------------------------


def keys(table: str, node: Any) -> Iterator[str]:
    """Dotted names of all that the published schema knows, tables left out."""
    for name, entry in node["properties"].items():
        below = entry.get("additionalProperties")
        if "properties" in entry:
            yield from keys(f"{table}{name}.", entry)
        elif isinstance(below, dict) and "properties" in below:
            yield from keys(f"{table}{name}.NAME.", below)
        else:
            yield f"{table}{name}"


@pytest.mark.parametrize(
    "key", list(keys("", json.loads((PACKAGE / "config" / "envkit.schema.json").read_text())))
)
def test_every_key_of_the_configuration_is_explained(key: str) -> None:
    told = [
        body
        for title, body in sections(CONFIGURATION, "###").items()
        if key == title or key in named(body.partition("- **Keys:**")[2])
    ]
    assert len(told) == 1
    assert re.match(r"[^-].*\.$", first_paragraph(told[0]), re.S)
    assert re.search(r"^- \*\*Takes:\*\* \S", told[0], re.M)


# -- environment ----------------------------------------------------------------------------------


def explained_variables() -> set[str]:
    entries = re.findall(r"^- ((?:`\w+`,\s+)*`\w+`)(?:|\s+for\s+\S+):\s+\w", ENVIRONMENT_PAGE, re.M)
    return {name for names in entries for name in named(names)}


def test_every_variable_of_ours_that_the_source_names_is_explained() -> None:
    sources = [p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    text = "\n".join(p.read_text("utf-8", errors="replace") for p in sources)
    found = set(re.findall(r"\b_?ENVKIT_[A-Z_]*[A-Z]\b", text)) | set(ENVIRONMENT)
    assert "ENVKIT_REDIS_SHM_SIZE" in found  # which no source spells out
    assert found - explained_variables() == set()


def read_variables() -> set[str]:
    """Names that the package's source looks up in an environment."""

    def is_environment(node: ast.expr) -> bool:
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        return name == "environ"

    found = set()
    # The server for chdb sets its own time zone.
    for path in (p for p in PACKAGE.rglob("*.py") if "chdb_server" not in p.parts):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names: list[ast.expr] = []
            match node:
                case ast.Call(func=ast.Attribute(value=of, attr="get" | "pop"), args=[name, *_]):
                    names = [name] if is_environment(of) else []
                case ast.Subscript(value=of, slice=name):
                    names = [name] if is_environment(of) else []
                case ast.Compare(left=name, comparators=[of]):
                    names = [name] if is_environment(of) else []
            found |= {str(n.value) for n in names if isinstance(n, ast.Constant)}
    return found


def test_every_variable_that_is_read_is_explained() -> None:
    found = read_variables()
    assert {"CI", "DOCKER_HOST", "PGHOST", "NO_COLOR"} <= found
    assert found - explained_variables() == set()


def test_every_variable_that_a_program_gets_is_listed(project: Project) -> None:
    code = "import os; print(*os.environ)"
    before = project.python(code).communicate()[0].split()
    during = project.envkit("run", *SERVICES, "--", sys.executable, "-c", code)
    assert during.returncode == 0, during.stderr
    set_for_it = set(during.stdout.split()) - set(before)
    assert {"DATABASE_URL", "REDIS_URL", "CLICKHOUSE_URL"} <= set_for_it
    assert set_for_it <= named(sections(ENVIRONMENT_PAGE)["Set for programs and tests"])


# -- findings -------------------------------------------------------------------------------------

SLUGS = {
    *explanations(),
    *all_rules(),
    *(
        one.slug
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.EnvkitError)
    ),
}


@pytest.mark.parametrize("slug", sorted(SLUGS))
def test_every_finding_is_explained(slug: str) -> None:
    assert FINDINGS.count(f'<a id="{slug}"></a>\n\n### {slug}\n') == 1
    body = sections(FINDINGS, "###")[slug]
    assert re.match(r"[^-\n<].*\.$", first_paragraph(body), re.S)
    for label in ("Why", "Fix", "Severity", "Said by"):
        assert re.search(rf"^- \*\*{label}:\*\* \S", body, re.M), label


# -- pytest ---------------------------------------------------------------------------------------


def asked(directory: Path, option: str) -> str:
    """What pytest itself says."""
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", option]
    done = subprocess.run(program, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 5), done.stderr
    return done.stdout


def test_every_fixture_is_explained(tmp_path: Path) -> None:
    _, _, ours = asked(tmp_path, "--fixtures").partition("fixtures defined from envkit.")
    names = re.findall(r"^(\w+)(?: \[\w+ scope\])? -- ", ours.partition("\n---")[0], re.M)
    assert {"real_services", "real_services_session"} <= set(names)
    told = sections(FIXTURES, "###")
    for name in [*names, "envkit.lease_fixture"]:
        assert re.search(r"^\w.*\.$", told[name], re.M), name


def test_every_marker_is_explained(tmp_path: Path) -> None:
    markers = re.findall(r"^@pytest\.mark\.(real_\w+\(.*?\)): ", asked(tmp_path, "--markers"), re.M)
    assert markers
    for usage in markers:
        assert re.search(
            rf"^@pytest\.mark\.{re.escape(usage)}\n```\n\n\w", sections(FIXTURES)["Markers"], re.M
        )


def test_every_option_of_pytest_is_explained(tmp_path: Path) -> None:
    told = asked(tmp_path, "--help")
    options = set(re.findall(r"^ +(--envkit[\w-]*)", told, re.M))
    assert options >= {"--envkit", "--envkit-backend", "--envkit-keep"}
    for name in options:
        assert re.search(rf"^- `{name}(=[^`]*)?`: \w", sections(FIXTURES)["Options"], re.M), name
    ini = re.findall(r"^  (\w*envkit\w*) \(", told, re.M)
    assert set(ini) <= named(sections(FIXTURES)["Ini options"])


# -- Python ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", envkit.__all__)
def test_every_public_name_is_explained(name: str) -> None:
    body = sections(PYTHON, "##")[name]
    assert re.match(r"\n(?:```text\n.*?\n```\n\n)?[A-Z][^\n]*\.\n", body, re.S), body
    if inspect.isfunction(getattr(envkit, name)):
        assert f"```text\nenvkit.{name}(" in body
