"""The steps of a generated job, run one after another as a CI would, in a clean checkout.

What a CI brings itself is stood in for: a clone for ``actions/checkout``, a virtual environment
that sees this one's packages for ``actions/setup-python``. pip, envkit and pytest are real.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.ci.published import parsed
from tests.test_export import read_github_file

LIMIT_S = 300
# What leads to packages, and what keeps one worker's keepers apart from those of others.
_KEPT = re.compile(
    r"PIP_.*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|(?i:https?_proxy|no_proxy)|LANG|XDG_RUNTIME_DIR|DOCKER_HOST"
    r"|TMPDIR"
)


class Done(NamedTuple):
    """One step that was run."""

    name: str
    code: int
    said: str


class Machine:
    """A machine of a CI's: a home, a checkout, and a Python with pip.

    Args:
        place: Where all of it goes.
        project: A directory with a project in it, which is checked out.
    """

    def __init__(self, place: Path, project: Path) -> None:
        self.checkout = place / "work" / project.name
        self.done: list[Done] = []
        home, python = place / "home", place / "python"
        home.mkdir(parents=True)
        self._git(project, "init", "--quiet")
        self._git(project, "add", "--all")
        self._git(project, "commit", "--quiet", "--message=all")
        self._git(place, "clone", "--quiet", str(project), str(self.checkout))
        _make_python(python)
        self.environment = {
            name: text for name, text in os.environ.items() if _KEPT.fullmatch(name)
        }
        self.environment |= {
            "PATH": f"{python / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "CI": "true",
        }
        self.report = self.checkout / "envkit-report"

    @staticmethod
    def _git(directory: Path, *words: str) -> None:
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.test")
        subprocess.run(["git", *who, *words], cwd=directory, check=True, timeout=60)

    def run(self, name: str, script: str, environment: Mapping[str, str]) -> bool:
        """Run lines of a shell, which ends at the first that fails; whether none did."""
        result = subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=self.checkout,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
        self.done.append(Done(name, result.returncode, result.stdout))
        return result.returncode == 0

    def said(self) -> str:
        """All that was run and printed, for whoever reads a failure."""
        return "\n".join(f"== {one.name}: {one.code}\n{one.said}" for one in self.done)

    def close(self) -> None:
        """What the end of the job does to processes that are left."""
        self.run("end", "envkit down", {})


def run_github(
    machine: Machine,
    text: str,
    *,
    matrix: Mapping[str, str],
    secrets: Mapping[str, str],
    **env: str,
) -> bool:
    """Run one job of the workflow's matrix; whether it is green.

    Args:
        machine: Where.
        text: The workflow.
        matrix: The values that make it one job.
        secrets: Of the repository.
        env: Instead of the job's own variables.
    """
    (job,) = parsed(text)["jobs"].values()
    known = {f"matrix.{name}": value for name, value in matrix.items()}
    known |= {f"secrets.{name}": value for name, value in secrets.items()}
    variables = {name: _filled(value, known) for name, value in job["env"].items()} | env
    return run_steps(machine, job["steps"], variables, known)


def run_steps(
    machine: Machine, steps: Sequence[Any], variables: dict[str, str], known: Mapping[str, str]
) -> bool:
    """Run those steps that are programs; whether all went well."""
    exported = machine.checkout.parent / "github_env"
    exported.touch()
    variables |= {
        "GITHUB_ACTIONS": "true",
        "GITHUB_ENV": str(exported),
        "GITHUB_STEP_SUMMARY": str(exported.with_name("summary.md")),
    }
    green = True
    for step in steps:
        if (step.get("if") == "failure()") == green or "run" not in step:
            continue
        if "==" in step.get("if", ""):
            name, wanted = re.split(r" *== *", step["if"])
            if known[name] != wanted.strip("'"):
                continue
        own = {name: _filled(value, known) for name, value in step.get("env", {}).items()}
        before = read_github_file(exported.read_text())
        green &= machine.run(
            step.get("name", ""), _filled(step["run"], known), variables | before | own
        )
    return green


def run_gitlab(machine: Machine, text: str, *, matrix: Mapping[str, str], **env: str) -> bool:
    """Run one job of a pipeline; whether it is green.

    Args:
        machine: Where.
        text: The file.
        matrix: The values that make it one job.
        env: The project's variables, which win over those of the job.
    """
    job = parsed(text)["tests"]
    fixed = {"CI_PROJECT_DIR": str(machine.checkout), "GITLAB_CI": "true"}
    variables = {
        name: value.replace("$CI_PROJECT_DIR", str(machine.checkout))
        for name, value in job["variables"].items()
    }
    variables |= {**fixed, **matrix, **env}
    # One shell for all lines, as the runner does it.
    green = machine.run("script", "\n".join(job["script"]), variables)
    status = {"CI_JOB_STATUS": "success" if green else "failed"}
    machine.run("after_script", "\n".join(job["after_script"]), variables | status)
    return green


def _filled(text: object, known: Mapping[str, str]) -> str:
    """With ``${{ … }}`` replaced; an unknown secret is empty, as GitHub has it."""
    return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: known.get(found[1], ""), str(text))


def _make_python(directory: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True, timeout=60
    )
    (site,) = directory.glob("lib/python*/site-packages")
    # Packages of this environment count as installed there, and nothing has to be fetched twice.
    # Not the standard library: what pip builds in isolation would lose it with these.
    standard = sysconfig.get_path("stdlib")
    outside = [path for path in sys.path if path and not path.startswith(standard)]
    outside += [path for path in sys.path if path.endswith("-packages")]
    lines = dict.fromkeys([str(Path(__file__).parents[2]), *outside])
    (site / "outside.pth").write_text("".join(f"{line}\n" for line in lines))
    for name in ("envkit", "pytest"):
        program = directory / "bin" / name
        program.write_text(f'#!/bin/sh\nexec python -m {name} "$@"\n')
        program.chmod(0o755)
