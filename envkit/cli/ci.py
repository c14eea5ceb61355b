"""``envkit ci``: a CI job for the project."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from envkit.cli.arguments import Argument, Command
from envkit.cli.shared import guarded, say

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ci"]


@click.command(
    cls=Command, short_help="Print a CI job that brings the services and runs the tests."
)
@click.argument(
    "provider",
    cls=Argument,
    meaning="Whose: GitHub Actions, or GitLab CI/CD.",
    shown="github|gitlab",
    type=click.Choice(["github", "gitlab"]),
)
@click.option(
    "--services",
    "kind",
    type=click.Choice(["own", "containers"]),
    default="own",
    show_default=True,
    help="own: the servers of the embedded extra; containers: the CI's own service containers.",
)
@click.option(
    "--python",
    "pythons",
    default="",
    metavar="VERSION,...",
    help="Versions of Python to run with; several make a matrix.  [default: one that "
    "requires-python allows]",
)
@click.option(
    "--write", is_flag=True, help="Write it to where that CI looks for it, instead of printing it."
)
@guarded()
def ci(provider: str, kind: str, pythons: str, write: bool) -> None:
    """Print a CI job that brings the services and runs the tests.

    It is made from the project's configuration file alone: services, versions, secrets, categories,
    and what pyproject.toml says the tests need. A file that envkit did not make is not overwritten.
    """
    from envkit import config
    from envkit.ci import PROVIDERS, job_for, renderer

    # As for `envkit compose`: nobody's environment goes into it.
    loaded = config.load(config.find_root(), environ={"HOME": os.environ.get("HOME", "")})
    asked = [version for version in (part.strip() for part in pythons.split(",")) if version]
    text = renderer(provider)(job_for(loaded, kind=kind, pythons=asked))
    if not write:
        # Bytes: the file is UTF-8 whatever the terminal's encoding is.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    path = loaded.root / PROVIDERS[provider]
    _write(path, text, provider)
    say(f"written to {path}")


def _write(path: Path, text: str, provider: str) -> None:
    from envkit.ci.job import FIRST_LINE
    from envkit.errors import UsageError

    try:
        found = path.read_text("utf-8", errors="replace") if path.exists() else ""
        if found and not found.startswith(FIRST_LINE.format(provider)):
            raise UsageError(
                f"{path} was not made by envkit, so it is left as it is",
                hint=f"envkit ci {provider} > FILE, and include or copy what you want of it",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint=f"envkit ci {provider} > FILE"
        ) from None
