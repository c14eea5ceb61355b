"""Where the doctor runs and writes: places that are gone, full or not what they should be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Project


def nowhere(root: Path) -> Path:
    return root / "not-there" / "summary.md"


def directory(root: Path) -> Path:
    return root


def full(root: Path) -> Path:
    return Path("/dev/full")


def pipe_without_reader(root: Path) -> Path:
    os.mkfifo(root / "pipe")
    return root / "pipe"


@pytest.mark.parametrize("place", [nowhere, directory, full, pipe_without_reader])
def test_summary_that_cannot_be_written_does_not_cost_the_report(
    project: Project, place: Callable[[Path], Path]
) -> None:
    project.write("envkit.toml", 'services = ["redis"]\nbackend = "embedded"\n')
    where = str(place(project.root))
    done = project.envkit("doctor", "--format", "github", GITHUB_STEP_SUMMARY=where)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "envkit doctor: healthy\n"
    assert "the summary was not written to GITHUB_STEP_SUMMARY" in done.stderr
    assert "Traceback" not in done.stderr


def test_directory_that_is_gone_is_told_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            'mkdir gone && cd gone && rmdir ../gone && exec "$0" -m envkit doctor',
            sys.executable,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "the working directory does not exist any more [envkit.config.invalid]" in done.stderr
