"""``envkit compose``: the project's services as a file for Docker Compose."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from envkit.cli.shared import guarded, say

__all__ = ["compose"]

_PLACE = "compose/compose.yaml"
_SHOWN_LINES = 40


@click.group(short_help="Write the services as a file for Docker Compose.")
def compose() -> None:
    """The project's services as a file for Docker Compose.

    It is made from the project's configuration file alone: versions, images, settings, memory.
    What ENVKIT_* say is this machine's and not part of it.
    """


@compose.command()
@click.option(
    "--output",
    metavar="FILE|-",
    help=f"Where to write it, - for standard output.  [default: {_PLACE} of the project]",
)
@guarded()
def render(output: str | None) -> None:
    """Write the compose file.

    A file that envkit did not make is not overwritten.
    """
    root, text = _rendered()
    if output == "-":
        # Bytes: the file is UTF-8 whatever the terminal's encoding is.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    path = root / _PLACE if output is None else Path(output)
    _write(path, text)
    say(f"written to {path}")


@compose.command()
@click.option(
    "--output",
    metavar="FILE",
    help=f"The file to compare.  [default: {_PLACE} of the project]",
)
@guarded()
def check(output: str | None) -> None:
    """Compare the compose file with what would be rendered now.

    Exit code 0: the same. 1: it is missing or differs, and the difference is shown.
    """
    from envkit.errors import ComposeDrift

    root, text = _rendered()
    path = root / _PLACE if output is None else Path(output)
    hint = "envkit compose render" + (f" --output {output}" if output else "")
    found = _read(path)
    if found is None:
        raise ComposeDrift(f"there is no {_shown(path, root)}", hint=hint)
    if found != text:
        raise ComposeDrift(
            f"{_shown(path, root)} is not what the configuration gives",
            detail=_difference(_shown(path, root), found, text),
            hint=hint,
        )


def _rendered() -> tuple[Path, str]:
    """The project's directory, and the text for it."""
    import os

    from envkit import config
    from envkit.export.compose import render

    # The file is for everybody who works on the project, so nobody's environment goes into it; a
    # path may begin with ~, though.
    loaded = config.load(config.find_root(), environ={"HOME": os.environ.get("HOME", "")})
    return loaded.root, render(loaded.settings, name=_project_name(loaded.root))


def _project_name(root: Path) -> str:
    """As pyproject.toml has it: a directory's name differs from checkout to checkout."""
    import tomllib

    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("project")
    except (OSError, ValueError):
        return ""
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else ""


def _read(path: Path) -> str | None:
    from envkit.errors import UsageError

    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="name another with --output"
        ) from None


def _write(path: Path, text: str) -> None:
    from envkit.errors import UsageError
    from envkit.export.compose import FIRST_LINE

    found = _read(path)
    if found and not found.startswith(FIRST_LINE):
        raise UsageError(
            f"{path} was not made by envkit, so it is left as it is",
            hint="remove it, or name another with --output",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="name another with --output"
        ) from None


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _difference(path: str, found: str, wanted: str) -> str:
    from difflib import unified_diff

    both = found.splitlines(), wanted.splitlines()
    lines = list(unified_diff(*both, path, "from the configuration", n=2, lineterm=""))
    more = len(lines) - _SHOWN_LINES
    return "\n".join([*lines[:_SHOWN_LINES], *([f"… and {more} more lines"] if more > 0 else [])])
