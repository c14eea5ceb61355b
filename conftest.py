"""For the whole repository: pytester, and the README's examples as tests.

Each example runs in a project of its own: a ``sh`` block in a shell, a ``toml`` block as
configuration, a ``python`` block as a test file if it has tests and else as a program.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

pytest_plugins = ["pytester"]


def _run(arguments: list[str], directory: str) -> None:
    scripts = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        # What a reader sees must not depend on whether this machine has a container engine.
        "DOCKER_HOST": f"unix://{directory}/no-engine.sock",
    }
    done = subprocess.run(
        arguments,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def _shell(example: Example) -> None:
    if "pip install" in example.parsed:
        # The two commands that whoever reads this has just run: installing again would change the
        # environment under the feet of the other tests.
        _, _, rest = example.parsed.partition("&&")
        if rest.split()[:1] == ["pytest"]:
            pytest.skip("this is the command that runs this very test")
        _run(["sh", "-e", "-c", rest], str(Path(__file__).parent))
        return
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "envkit.toml").touch()
        try:
            _run(["sh", "-e", "-c", example.parsed], project)
        finally:
            _run([sys.executable, "-m", "envkit", "down"], project)


def _python(example: Example) -> None:
    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "envkit.toml").touch()
        program = Path(project) / "test_example.py"
        program.write_text(example.parsed)
        tested = (
            ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
            if "def test_" in example.parsed
            else []
        )
        _run([sys.executable, *tested, str(program)], project)


def _toml(example: Example) -> None:
    from envkit import config

    with tempfile.TemporaryDirectory() as project:
        (Path(project) / "pyproject.toml").write_text(example.parsed)
        config.load(Path(project))


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser("sh", _shell),
        CodeBlockParser("python", _python),
        CodeBlockParser("toml", _toml),
    ],
    patterns=["README.md"],
).pytest()
