"""A job of GitLab CI.

Format: https://docs.gitlab.com/ci/yaml/
"""

from __future__ import annotations

import json
from typing import Final

from envkit.ci.job import JUNIT, REPORT, Container, Job, look
from envkit.ci.pins import WHEELS
from envkit.ci.postgres import apt_lines
from envkit.ci.text import block, items, lists, mapping, scalar

__all__ = ["render"]

_PYTHON: Final = "$PYTHON"
_POSTGRES: Final = "$ENVKIT_POSTGRES_VERSION"
_CACHE: Final = ".cache"
_STATE: Final = ".state"


def render(job: Job) -> str:
    """The file, or a part of one."""
    python = _PYTHON if len(job.pythons) > 1 else job.pythons[0]
    text = f"image: python:{python}\ntimeout: 30 minutes\n"
    text += _matrix(job) + _services(job) + _variables(job)
    text += f"cache:\n{block(_cache(job, python), 1)}"
    text += f"script:\n{block(_script(job), 1)}"
    text += f"after_script:\n{block(_afterwards(), 1)}"
    text += f"artifacts:\n{block(_artifacts(), 1)}"
    return f"{job.header('gitlab')}{_secrets(job)}\ntests:\n{block(text, 1)}"


def _secrets(job: Job) -> str:
    if not job.secrets:
        return ""
    names = ", ".join(job.secrets)
    return f"#\n# Settings > CI/CD > Variables, masked: {names}\n"


def _matrix(job: Job) -> str:
    axes = job.axes("PYTHON", "ENVKIT_POSTGRES_VERSION")
    return f"parallel:\n  matrix:\n    - {lists(axes, 3).lstrip()}" if axes else ""


def _services(job: Job) -> str:
    return "services:\n" + "".join(map(_service, job.containers)) if job.containers else ""


def _service(one: Container) -> str:
    text = f"name: {scalar(one.image.replace('{version}', _POSTGRES))}\nalias: {one.service}\n"
    if one.recipe.command:
        words = [word.replace("$", "$$") for word in one.recipe.command]
        text += f"command: {json.dumps(words, ensure_ascii=False)}\n"
    if one.recipe.environment:
        text += f"variables:\n{mapping(one.recipe.environment, 1)}"
    return f"  - {block(text, 2).lstrip()}"


def _variables(job: Job) -> str:
    text = f"variables:\n{mapping({'ENVKIT_BACKEND': job.backend}, 1)}"
    if job.containers:
        text += "  # Passwords of servers that end with the job, so no secrets.\n"
        text += mapping(job.urls(), 1)
    text += "  # Below the project, because GitLab keeps nothing else.\n"
    places = {"PIP_CACHE_DIR": f"{_CACHE}/pip", "XDG_STATE_HOME": _STATE}
    return text + mapping({name: f"$CI_PROJECT_DIR/{at}" for name, at in places.items()}, 1)


def _cache(job: Job, python: str) -> str:
    # Not the initialised Postgres: its files lose their owner on the way, and would be refused.
    paths = [f"{_CACHE}/pip/"]
    # GitLab takes two at most.
    files = job.install.files[:2]
    key = f"prefix: {scalar(f'envkit-{python}')}\n"
    if not files:
        return f"key: {scalar(f'envkit-{python}')}\npaths:\n{items(paths, 1)}"
    return f"key:\n  {key}  files:\n{items(files, 2)}paths:\n{items(paths, 1)}"


def _script(job: Job) -> str:
    lines = []
    if job.kind == "own" and job.other_postgres:
        what = f"# Of another version than the embedded extra's, {WHEELS['postgres']}"
        lines.append("\n".join((what, *apt_lines(job))))
    lines += job.install.lines
    if job.generated:
        lines.append("envkit secrets generate")
    lines += ["\n".join(look()), job.test]
    return "".join(map(_line, lines))


def _afterwards() -> str:
    # A step of its own in a shell of its own, with the job's variables.
    lines = [
        'if [ "$CI_JOB_STATUS" != success ]; then',
        f"  mkdir -p {REPORT}",
        f"  envkit doctor --format html > {REPORT}/doctor.html || true",
        f"  test ! -d {_STATE}/envkit/logs || cp -r {_STATE}/envkit/logs {REPORT}/",
        "fi",
    ]
    return _line("".join(f"{line}\n" for line in lines))


def _artifacts() -> str:
    return (
        "# Also of a green run: merge requests are compared by it.\nwhen: always\n"
        f"expire_in: 1 week\npaths:\n  - {REPORT}/\nreports:\n  junit: {JUNIT}\n"
    )


def _line(text: str) -> str:
    if "\n" not in text and "\\" not in (plain := scalar(text)):
        return f"- {plain}\n"
    return f"- |\n{block(text.rstrip() + chr(10), 1)}"
