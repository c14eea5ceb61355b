"""The jobs as text: what they look like, that CIs take them, and what leads to which line."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot

from envkit import config
from envkit.ci import PROVIDERS, job_for, renderer
from envkit.errors import UsageError
from tests.ci.projects import SHOP, write
from tests.ci.published import faults, parsed

if TYPE_CHECKING:
    from tests.conftest import Project

KINDS = ("own", "containers")
SCHEMAS = {"github": "github-workflows", "gitlab": "gitlab-ci"}
SHOPS = {
    "nothing": "[project]\nname = 'x'\n[tool.envkit]\n",
    "shop": SHOP,
    "versions": SHOP + '[tool.envkit.postgres]\nversions = ["17", "18"]\n',
    "settings": SHOP
    + "[tool.envkit.postgres.settings]\nwal_level = 'logical'\nsearch_path = 'a, b'\n"
    + "[tool.envkit.redis.settings]\nsave = '3600 1'\n",
    "categories": SHOP + '[tool.envkit.categories.unit]\npaths = ["tests"]\n',
    "registry": SHOP + '[tool.envkit.docker]\nregistry = "mirror.example:5000/hub"\n',
}


def made(root: Path, pyproject: str, provider: str, kind: str = "own", **options: Any) -> str:
    write(root, {"pyproject.toml": pyproject})
    job = job_for(config.load(root, environ={}), kind=kind, **options)
    return renderer(provider)(job)


def commands(root: Path, files: dict[str, str], kind: str = "own") -> list[str]:
    """How a project with these files is installed."""
    write(root, files)
    return list(job_for(config.load(root, environ={}), kind=kind).install.lines)


@pytest.mark.parametrize("name", SHOPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("pythons", [(), ("3.11", "3.12")], ids=["one", "two"])
def test_a_job_is_what_the_published_schema_says(
    tmp_path: Path, name: str, kind: str, provider: str, pythons: tuple[str, ...]
) -> None:
    text = made(tmp_path, SHOPS[name], provider, kind, pythons=pythons)
    assert faults(parsed(text), SCHEMAS[provider]) == []


def test_the_published_schemas_find_faults() -> None:
    assert faults({"on": "push", "jobs": {"a": {"steps": []}}}, "github-workflows")
    assert faults({"tests": {"script": 1}}, "gitlab-ci")


def test_a_workflow_for_github(tmp_path: Path) -> None:
    assert made(tmp_path, SHOPS["versions"], "github", pythons=("3.11", "3.12")) == snapshot("""\
# Made by `envkit ci github` from this project's configuration.
# After a change of that: envkit ci github --python 3.11,3.12 --write
# To keep changes of your own, remove the first line: envkit then leaves it alone.

name: Tests
on:
  push:
    branches: [main, master]
  pull_request:
permissions:
  contents: read
concurrency:
  group: ${{ github.workflow }}-${{ github.ref }}
  cancel-in-progress: true
jobs:
  tests:
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    strategy:
      fail-fast: false
      matrix:
        python: ["3.11", "3.12"]
        postgres: ["17", "18"]
    env:
      ENVKIT_BACKEND: embedded
      ENVKIT_POSTGRES_VERSION: ${{ matrix.postgres }}
      # Settings > Secrets and variables > Actions; forks do not get them.
      AUTH_SERVICE_URL: ${{ secrets.AUTH_SERVICE_URL }}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false

      - uses: actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0
        with:
          python-version: "${{ matrix.python }}"

      - name: Wheels, and the initialised Postgres
        uses: actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae # v5.0.5
        with:
          path: |
            ~/.cache/pip
            ~/.cache/envkit
          key: envkit-ubuntu-24.04-${{ matrix.python }}-${{ hashFiles('pyproject.toml') }}
          restore-keys: envkit-ubuntu-24.04-${{ matrix.python }}-

      - name: Postgres of another version than the embedded extra's, 18
        run: |
          major=${ENVKIT_POSTGRES_VERSION%%.*}
          if [ "$major" != 18 ]; then
            sudo apt-get update
            sudo apt-get install --yes postgresql-common
            sudo /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
            sudo apt-get install --yes --no-install-recommends postgresql-$major
          fi

      - name: Install the project and what its tests need
        run: |
          python -m pip install --quiet --upgrade 'pip>=25.1'
          python -c '
          import tomllib
          project = tomllib.load(open("pyproject.toml", "rb"))["project"]
          print(*project.get("dependencies", []), sep="\\n")
          ' > .envkit-requirements.txt
          python -m pip install -r .envkit-requirements.txt --group dev

      - name: Make the secrets that this run needs and nobody has to know
        run: envkit secrets generate

      - name: Look whether everything is there
        run: |
          # 3: something could not be checked. That is a warning here, as the tests will show it.
          envkit doctor --format github || test $? -eq 3

      - name: Tests
        run: pytest --junitxml=envkit-report/junit.xml

      - name: Gather what says why
        if: failure()
        run: |
          mkdir -p envkit-report
          envkit doctor --format html > envkit-report/doctor.html || true
          test ! -d ~/.local/state/envkit/logs || cp -r ~/.local/state/envkit/logs envkit-report/

      - if: failure()
        uses: actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0
        with:
          name: envkit-report-${{ matrix.python }}-${{ matrix.postgres }}
          path: envkit-report/
          if-no-files-found: ignore
          retention-days: 7
""")


def test_a_workflow_with_service_containers(tmp_path: Path) -> None:
    text = made(tmp_path, SHOPS["settings"], "github", "containers")
    assert text.partition("    steps:\n")[0] == snapshot("""\
# Made by `envkit ci github` from this project's configuration.
# After a change of that: envkit ci github --services containers --write
# To keep changes of your own, remove the first line: envkit then leaves it alone.

name: Tests
on:
  push:
    branches: [main, master]
  pull_request:
permissions:
  contents: read
concurrency:
  group: ${{ github.workflow }}-${{ github.ref }}
  cancel-in-progress: true
jobs:
  tests:
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    env:
      ENVKIT_BACKEND: attach
      # Passwords of servers that end with the job, so no secrets.
      ENVKIT_POSTGRES_URL: postgresql://postgres:throw-away@127.0.0.1:5432/test
      ENVKIT_REDIS_URL: redis://127.0.0.1:6379/0
      # Settings > Secrets and variables > Actions; forks do not get them.
      AUTH_SERVICE_URL: ${{ secrets.AUTH_SERVICE_URL }}
    services:
      postgres:
        image: postgres:18
        command: postgres -cwal_level=logical "-csearch_path=a, b"
        env:
          POSTGRES_USER: postgres
          POSTGRES_PASSWORD: throw-away
          POSTGRES_DB: test
        ports:
          - 127.0.0.1:5432:5432
        options: >-
          --health-cmd "pg_isready -h 127.0.0.1 -U postgres -d test"
          --health-interval 1s --health-timeout 5s --health-retries 60
      redis:
        image: redis:8
        command: redis-server --save "3600 1"
        ports:
          - 127.0.0.1:6379:6379
        options: >-
          --health-cmd "redis-cli ping"
          --health-interval 1s --health-timeout 5s --health-retries 60
""")


def test_a_job_for_gitlab(tmp_path: Path) -> None:
    assert made(tmp_path, SHOPS["versions"], "gitlab", pythons=("3.11", "3.12")) == snapshot("""\
# Made by `envkit ci gitlab` from this project's configuration.
# After a change of that: envkit ci gitlab --python 3.11,3.12 --write
# To keep changes of your own, remove the first line: envkit then leaves it alone.
#
# Settings > CI/CD > Variables, masked: AUTH_SERVICE_URL

tests:
  image: python:$PYTHON
  timeout: 30 minutes
  parallel:
    matrix:
      - PYTHON: ["3.11", "3.12"]
        ENVKIT_POSTGRES_VERSION: ["17", "18"]
  variables:
    ENVKIT_BACKEND: embedded
    # Below the project, because GitLab keeps nothing else.
    PIP_CACHE_DIR: $CI_PROJECT_DIR/.cache/pip
    XDG_STATE_HOME: $CI_PROJECT_DIR/.state
  cache:
    key:
      prefix: envkit-$PYTHON
      files:
        - pyproject.toml
    paths:
      - .cache/pip/
  script:
    - |
      # Of another version than the embedded extra's, 18
      major=${ENVKIT_POSTGRES_VERSION%%.*}
      if [ "$major" != 18 ]; then
        apt-get update
        apt-get install --yes postgresql-common
        /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
        apt-get install --yes --no-install-recommends postgresql-$major
      fi
    - python -m pip install --quiet --upgrade 'pip>=25.1'
    - |
      python -c '
      import tomllib
      project = tomllib.load(open("pyproject.toml", "rb"))["project"]
      print(*project.get("dependencies", []), sep="\\n")
      ' > .envkit-requirements.txt
    - python -m pip install -r .envkit-requirements.txt --group dev
    - envkit secrets generate
    - |
      # 3: something could not be checked. That is a warning here, as the tests will show it.
      envkit doctor || test $? -eq 3
    - pytest --junitxml=envkit-report/junit.xml
  after_script:
    - |
      if [ "$CI_JOB_STATUS" != success ]; then
        mkdir -p envkit-report
        envkit doctor --format html > envkit-report/doctor.html || true
        test ! -d .state/envkit/logs || cp -r .state/envkit/logs envkit-report/
      fi
  artifacts:
    # Also of a green run: merge requests are compared by it.
    when: always
    expire_in: 1 week
    paths:
      - envkit-report/
    reports:
      junit: envkit-report/junit.xml
""")


def test_a_job_for_gitlab_with_service_containers(tmp_path: Path) -> None:
    text = made(tmp_path, SHOPS["settings"], "gitlab", "containers")
    assert text.partition("  cache:\n")[0] == snapshot("""\
# Made by `envkit ci gitlab` from this project's configuration.
# After a change of that: envkit ci gitlab --services containers --write
# To keep changes of your own, remove the first line: envkit then leaves it alone.
#
# Settings > CI/CD > Variables, masked: AUTH_SERVICE_URL

tests:
  image: python:3.12
  timeout: 30 minutes
  services:
    - name: postgres:18
      alias: postgres
      command: ["postgres", "-cwal_level=logical", "-csearch_path=a, b"]
      variables:
        POSTGRES_USER: postgres
        POSTGRES_PASSWORD: throw-away
        POSTGRES_DB: test
    - name: redis:8
      alias: redis
      command: ["redis-server", "--save", "3600 1"]
  variables:
    ENVKIT_BACKEND: attach
    # Passwords of servers that end with the job, so no secrets.
    ENVKIT_POSTGRES_URL: postgresql://postgres:throw-away@postgres:5432/test
    ENVKIT_REDIS_URL: redis://redis:6379/0
    # Below the project, because GitLab keeps nothing else.
    PIP_CACHE_DIR: $CI_PROJECT_DIR/.cache/pip
    XDG_STATE_HOME: $CI_PROJECT_DIR/.state
""")


def test_settings_reach_a_container_of_github_as_they_are(tmp_path: Path) -> None:
    settings = """[tool.envkit.postgres.settings]
search_path = '"$user", public'
log_line_prefix = '%m \\ "${{ x }}" \\'
"""
    text = made(tmp_path, SHOP + settings, "github", "containers")
    command = parsed(text)["jobs"]["tests"]["services"]["postgres"]["command"]
    # How .NET reads it, after GitHub has put in what expressions give.
    assert command.replace("${{ '${{' }}", "${{") == (
        'postgres "-csearch_path=\\"$user\\", public" "-clog_line_prefix=%m \\ \\"${{ x }}\\" \\\\"'
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_is_pinned_to_a_commit(tmp_path: Path, kind: str) -> None:
    text = made(tmp_path, SHOP, "github", kind)
    uses = re.findall(r"uses: (.*)", text)
    assert len(uses) == 4
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in uses)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_categories_are_run_by_envkit_test(tmp_path: Path, provider: str, kind: str) -> None:
    text = made(tmp_path, SHOPS["categories"], provider, kind)
    assert "envkit test --junit envkit-report/junit.xml\n" in text
    assert "pytest --junitxml" not in text


@pytest.mark.parametrize("name", ["shop", "categories"])
def test_gitlab_reads_the_report_that_the_tests_write(tmp_path: Path, name: str) -> None:
    job = parsed(made(tmp_path, SHOPS[name], "gitlab"))["tests"]
    assert job["artifacts"]["reports"] == {"junit": "envkit-report/junit.xml"}
    assert job["artifacts"]["when"] == "always"
    assert job["script"][-1].endswith(job["artifacts"]["reports"]["junit"])


def doctors_lines(provider: str, text: str) -> str:
    """The script that ends the job if the doctor finds a problem."""
    if provider == "github":
        scripts = [step.get("run", "") for step in parsed(text)["jobs"]["tests"]["steps"]]
    else:
        scripts = parsed(text)["tests"]["script"]
    (found,) = (one for one in scripts if re.search(r"^envkit doctor (?!.*html)", one, re.M))
    return str(found)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("code", "goes_on"), [(0, True), (1, False), (2, False), (3, True), (127, False), (139, False)]
)
def test_only_what_could_not_be_checked_does_not_stop_the_job(
    tmp_path: Path, provider: str, code: int, goes_on: bool
) -> None:
    lines = doctors_lines(provider, made(tmp_path, SHOPS["shop"], provider))
    doctor = tmp_path / "bin/envkit"
    write(tmp_path, {"bin/envkit": f"#!/bin/sh\nexit {code}\n"})
    doctor.chmod(0o755)
    done = subprocess.run(
        ["sh", "-e", "-c", f"{lines}\necho goes on"],
        env={"PATH": f"{doctor.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode == 0) == ("goes on" in done.stdout) == goes_on


def test_a_secret_that_must_not_be_made_is_the_repositorys(tmp_path: Path) -> None:
    secrets = "A = { generate = false }\nB = { min_length = 32 }\nC = { required_in = ['local'] }\n"
    text = made(tmp_path, f"[tool.envkit.secrets]\n{secrets}", "github")
    assert re.findall(r"secrets\.(\w+)", text) == ["A"]
    assert "envkit secrets generate" in text


def test_without_secrets_nothing_is_made(tmp_path: Path) -> None:
    assert "secrets" not in made(tmp_path, SHOPS["nothing"], "github")


def test_another_postgres_than_the_wheels_is_installed(tmp_path: Path) -> None:
    text = made(tmp_path, '[tool.envkit.postgres]\nversion = "16.4"\n', "github")
    assert "apt-get install --yes --no-install-recommends postgresql-16\n" in text


def test_settings_that_cannot_reach_a_container_are_named(tmp_path: Path) -> None:
    text = made(
        tmp_path, "[tool.envkit.clickhouse.settings]\nmax_threads = 2\n", "gitlab", "containers"
    )
    assert "# Not passed to the container of clickhouse: max_threads.\n" in text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "pyproject.toml": "[build-system]\n[project]\n"
                "optional-dependencies.test = ['pytest']"
            },
            ["python -m pip install -e '.[test]' 'envkit-services[embedded]==0.1.0'"],
        ),
        (
            {"pyproject.toml": "[build-system]\n[dependency-groups]\ndev = ['pytest>=8']"},
            [
                "python -m pip install --quiet --upgrade 'pip>=25.1'",
                "python -m pip install -e . --group dev 'envkit-services[embedded]==0.1.0'",
            ],
        ),
        (
            {
                "pyproject.toml": "[build-system]\n[project.optional-dependencies]\n"
                "test = ['coverage']\ndev = ['Envkit_Services[embedded]>=1', 'pytest']"
            },
            ["python -m pip install -e '.[dev]'"],
        ),
        (
            {"setup.py": "", "requirements.txt": "", "requirements-dev.txt": "pytest\n"},
            [
                "python -m pip install -e . -r requirements.txt -r requirements-dev.txt"
                " 'envkit-services[embedded]==0.1.0'"
            ],
        ),
        ({}, ["python -m pip install 'envkit-services[embedded]==0.1.0' pytest"]),
    ],
    ids=["extra", "group", "the-one-with-pytest", "requirements", "nothing"],
)
def test_a_project_is_installed_as_its_files_say(
    tmp_path: Path, files: dict[str, str], expected: list[str]
) -> None:
    assert commands(tmp_path, files) == expected


def test_service_containers_need_no_servers_in_wheels(tmp_path: Path) -> None:
    assert commands(tmp_path, {}, "containers") == [
        "python -m pip install envkit-services==0.1.0 pytest"
    ]


EXPORT = """\
# Apart, because what Poetry itself needs may not go together with the project.
python -m venv .envkit-poetry
.envkit-poetry/bin/python -m pip install --quiet poetry poetry-plugin-export
.envkit-poetry/bin/poetry export {}--without-hashes --output=.envkit-requirements.txt"""
POETRY = "[build-system]\n[tool.poetry]\nname = 'a'\n"
GROUPS = "[tool.poetry.group.dev.dependencies]\npytest = '*'\n[tool.poetry.group.docs]\n"


@pytest.mark.parametrize(
    ("pyproject", "options", "last"),
    [
        (POETRY, "", "-r .envkit-requirements.txt -e . envkit-services==0.1.0 pytest"),
        (
            f"{POETRY}package-mode = false\n{GROUPS}",
            "--with=dev ",
            "-r .envkit-requirements.txt envkit-services==0.1.0",
        ),
        (
            f"{POETRY}[tool.poetry.dev-dependencies]\npytest = '^8'\nenvkit_services = '*'\n",
            "--with=dev ",
            "-r .envkit-requirements.txt -e .",
        ),
        (
            f"[project]\nname = 'a'\n{POETRY}{GROUPS}",
            "--with=dev ",
            "-r .envkit-requirements.txt -e . envkit-services==0.1.0",
        ),
        (
            f"{POETRY}[tool.poetry.extras]\ntest = ['pytest']",
            "--extras=test ",
            "-r .envkit-requirements.txt -e '.[test]' envkit-services==0.1.0",
        ),
    ],
    ids=["alone", "no-package", "old", "beside-project", "extras"],
)
def test_poetry_says_what_is_in_its_own_groups(
    tmp_path: Path, pyproject: str, options: str, last: str
) -> None:
    assert commands(tmp_path, {"pyproject.toml": pyproject}, "containers") == [
        EXPORT.format(options),
        f"python -m pip install {last}",
    ]


def test_poetry_with_groups_for_everybody_is_not_asked(tmp_path: Path) -> None:
    groups = "[project]\nname = 'a'\n[dependency-groups]\ndev = ['pytest']\n"
    assert commands(tmp_path, {"pyproject.toml": f"{groups}{POETRY}"}, "containers") == [
        "python -m pip install --quiet --upgrade 'pip>=25.1'",
        "python -m pip install -e . --group dev envkit-services==0.1.0",
    ]


def test_what_included_groups_say_is_not_said_again(tmp_path: Path) -> None:
    groups = (
        "[build-system]\n[dependency-groups]\ndev = [{include-group = 'all'}]\n"
        "all = ['pytest', 'envkit-services[embedded]>=0.1', {include-group = 'all'}]\n"
    )
    assert commands(tmp_path, {"pyproject.toml": groups})[-1] == (
        "python -m pip install -e . --group dev"
    )


@pytest.mark.parametrize(
    ("tables", "note"),
    [
        ("[tool.uv]\ndev-dependencies = ['pytest']\n", "[tool.uv] dev-dependencies"),
        ("[tool.pdm.dev-dependencies]\ntest = ['pytest']\n", "[tool.pdm] dev-dependencies"),
        ("[tool.uv.sources]\na = { path = '../a' }\n", "[tool.uv.sources]"),
    ],
)
def test_what_pip_cannot_read_is_left_to_a_person(tmp_path: Path, tables: str, note: str) -> None:
    text = made(tmp_path, f"{tables}[tool.envkit]\n", "github")
    assert f"\n# pip knows nothing of {note}: " in text


@pytest.mark.parametrize(
    ("requires", "version"), [(">=3.11", "3.12"), (">=3.13", "3.13"), ("<3.12,>=3.8", "3.11")]
)
def test_one_python_that_the_project_allows(tmp_path: Path, requires: str, version: str) -> None:
    text = made(tmp_path, f"[project]\nrequires-python = '{requires}'\n", "github")
    assert f'python-version: "{version}"' in text


@pytest.mark.parametrize(
    ("pyproject", "options", "observed"),
    [
        ("", {"pythons": ("3.10",)}, "'3.10' is no version of Python that envkit runs on"),
        (
            "[project]\nrequires-python = '>=3.12'",
            {"pythons": ("3.11",)},
            "this project's requires-python is '>=3.12', which is not 3.11",
        ),
        (
            "[project]\nrequires-python = 'new'",
            {},
            "requires-python is 'new', which is no range of versions",
        ),
        (
            '[tool.envkit.redis]\nversion = "8"',
            {},
            "redis.version is 8, and the embedded extra brings 9",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, pyproject: str, options: dict[str, Any], observed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        made(tmp_path, pyproject, "github", **options)
    assert caught.value.observed == observed


def test_write_puts_it_where_the_ci_looks(project: Project) -> None:
    printed = project.envkit("ci", "gitlab").stdout
    assert project.shown("ci", "gitlab", "--write") == snapshot("""\
exit code 0
-- stdout
written to PROJECT/.gitlab-ci.yml
-- stderr
""")
    assert (project.root / ".gitlab-ci.yml").read_text() == printed
    assert project.envkit("ci", "gitlab", "--write").returncode == 0  # it is ours


def test_write_leaves_alone_what_somebody_else_made(project: Project) -> None:
    project.write(".gitlab-ci.yml", "mine: {}\n")
    assert project.shown("ci", "gitlab", "--write") == snapshot("""\
exit code 2
-- stdout
-- stderr
error: PROJECT/.gitlab-ci.yml was not made by envkit, so it is left as it is [envkit.usage]
  → envkit ci gitlab > FILE, and include or copy what you want of it
""")
    assert (project.root / ".gitlab-ci.yml").read_text() == "mine: {}\n"


def test_this_machines_environment_is_no_part_of_it(project: Project) -> None:
    plain = project.envkit("ci", "github").stdout
    assert project.envkit("ci", "github", ENVKIT_POSTGRES_VERSION="16").stdout == plain
