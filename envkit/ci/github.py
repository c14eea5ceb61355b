"""A workflow of GitHub Actions.

Format: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from subprocess import list2cmdline
from typing import Final

from envkit.ci.job import REPORT, Container, Job, look
from envkit.ci.pins import ACTIONS, RUNNER, WHEELS
from envkit.ci.postgres import apt_lines
from envkit.ci.text import block, lists, mapping, scalar

__all__ = ["render"]

_TRIGGERS: Final = """\
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
"""
_AXES: Final = ("python", "postgres")
_MATRIX_POSTGRES: Final = "${{ matrix.postgres }}"
_MATRIX_PYTHON: Final = "${{ matrix.python }}"


def render(job: Job) -> str:
    """The workflow's file."""
    parts = [_TRIGGERS, "jobs:\n  tests:\n", f"    runs-on: {RUNNER}\n    timeout-minutes: 30\n"]
    parts += [block(text, 2) for text in (_strategy(job), _environment(job), _services(job))]
    steps = "\n".join(block(step, 3) for step in _steps(job))
    return f"{job.header('github')}\n{''.join(parts)}    steps:\n{steps}"


def _strategy(job: Job) -> str:
    axes = job.axes(*_AXES)
    return f"strategy:\n  fail-fast: false\n  matrix:\n{lists(axes, 2)}" if axes else ""


def _environment(job: Job) -> str:
    variables = {"ENVKIT_BACKEND": job.backend}
    if job.separately:
        variables["ENVKIT_POSTGRES_VERSION"] = _MATRIX_POSTGRES
    text = f"env:\n{mapping(variables, 1)}"
    if job.containers:
        text += "  # Passwords of servers that end with the job, so no secrets.\n"
        text += mapping(job.urls("127.0.0.1"), 1)
    if job.secrets:
        text += "  # Settings > Secrets and variables > Actions; forks do not get them.\n"
        text += mapping({name: f"${{{{ secrets.{name} }}}}" for name in job.secrets}, 1)
    return text


def _services(job: Job) -> str:
    return "services:\n" + "".join(map(_service, job.containers)) if job.containers else ""


def _service(one: Container) -> str:
    recipe = one.recipe
    text = f"image: {scalar(one.image.replace('{version}', _MATRIX_POSTGRES))}\n"
    if recipe.command:
        text += f"command: {scalar(_command(recipe.command))}\n"
    if recipe.environment:
        text += f"env:\n{mapping(recipe.environment, 1)}"
    text += f"ports:\n  - 127.0.0.1:{recipe.port}:{recipe.port}\n"
    text += (
        "options: >-\n"
        f'  --health-cmd "{" ".join(recipe.ready)}"\n'
        "  --health-interval 1s --health-timeout 5s --health-retries 60\n"
    )
    return f"  {one.service}:\n{block(text, 2)}"


def _command(words: Sequence[str]) -> str:
    # The runner leaves it to .NET, which splits as Windows does:
    # https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments
    return list2cmdline(words).replace("${{", "${{ '${{' }}")


def _steps(job: Job) -> Iterator[str]:
    python = _MATRIX_PYTHON if len(job.pythons) > 1 else job.pythons[0]
    yield f"- {_use('checkout')}  with:\n    persist-credentials: false\n"
    yield f"- {_use('setup-python')}  with:\n    python-version: {json.dumps(python)}\n"
    yield _cache(job, python)
    if job.kind == "own" and job.other_postgres:
        name = f"Postgres of another version than the embedded extra's, {WHEELS['postgres']}"
        yield _step(name, *apt_lines(job, "sudo "))
    yield _step("Install the project and what its tests need", *job.install.lines)
    if job.generated:
        yield _step(
            "Make the secrets that this run needs and nobody has to know", "envkit secrets generate"
        )
    yield _step("Look whether everything is there", *look(" --format github"))
    yield _step("Tests", job.test)
    yield _step(
        "Gather what says why",
        f"mkdir -p {REPORT}",
        f"envkit doctor --format html > {REPORT}/doctor.html || true",
        f"test ! -d ~/.local/state/envkit/logs || cp -r ~/.local/state/envkit/logs {REPORT}/",
        condition="failure()",
    )
    name = "-".join(("envkit-report", *(f"${{{{ matrix.{axis} }}}}" for axis in job.axes(*_AXES))))
    yield (
        f"- if: failure()\n  {_use('upload-artifact')}  with:\n    name: {name}\n"
        f"    path: {REPORT}/\n    if-no-files-found: ignore\n    retention-days: 7\n"
    )


def _cache(job: Job, python: str) -> str:
    files = ", ".join(f"'{name}'" for name in job.install.files)
    begin = f"envkit-{RUNNER}-{python}-"
    key = begin + (f"${{{{ hashFiles({files}) }}}}" if files else "0")
    paths = ["~/.cache/pip", *(["~/.cache/envkit"] if job.kind == "own" else [])]
    what = "Wheels, and the initialised Postgres" if job.kind == "own" else "Wheels"
    return (
        f"- name: {scalar(what)}\n  {_use('cache')}  with:\n    path: |\n"
        f"{block(''.join(f'{path}{chr(10)}' for path in paths), 3)}"
        f"    key: {key}\n    restore-keys: {begin}\n"
    )


def _step(name: str, *lines: str, condition: str = "") -> str:
    text = f"- name: {scalar(name)}\n"
    if condition:
        text += f"  if: {condition}\n"
    if len(lines) == 1 and "\n" not in lines[0]:
        return f"{text}  run: {scalar(lines[0])}\n"
    return f"{text}  run: |\n{block(''.join(f'{line}{chr(10)}' for line in lines), 2)}"


def _use(name: str) -> str:
    commit, tag = ACTIONS[name]
    return f"uses: actions/{name}@{commit} # {tag}\n"
