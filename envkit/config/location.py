"""Which directory is the project's, and which of its files holds envkit's tables."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from envkit.config.document import Document, parse, read_bytes, read_document
from envkit.errors import ConfigInvalid

__all__ = ["configuration_in", "find_root", "locate"]

_PYPROJECT: Final = "pyproject.toml"
_OWN: Final = "envkit.toml"


def find_root(start: Path | None = None) -> Path:
    """The project's directory, for anyone below it.

    The first directory upwards that configures envkit; else the nearest with a
    ``pyproject.toml``; else the nearest with a ``.git``; else ``start`` itself.

    Args:
        start: A directory, or a file in it; None is the working directory.

    Raises:
        ConfigInvalid: A file on the way that may hold envkit's tables cannot be read or parsed,
            or one directory has both ``envkit.toml`` and ``[tool.envkit]``.
    """
    return locate(start)[0]


def locate(start: Path | None = None) -> tuple[Path, Document | None]:
    """As `find_root`, with the file that configures envkit, if there is one."""
    try:
        start = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise ConfigInvalid(
            "the working directory does not exist any more",
            hint="change to the project's directory and try again",
        ) from None
    if _kind(start) == "file":
        start = start.parent
    upwards = (start, *start.parents)
    for directory in upwards:
        if document := configuration_in(directory):
            return directory, document
    projects = (path for path in upwards if _kind(path / _PYPROJECT) == "file")
    # A worktree and a submodule have a file called .git.
    repositories = (path for path in upwards if _kind(path / ".git"))
    return next(projects, None) or next(repositories, None) or start, None


def configuration_in(directory: Path) -> Document | None:
    """The file of this directory that configures envkit, if there is one."""
    own = directory / _OWN
    kind = _kind(own)
    shared = _shared(directory / _PYPROJECT)
    if not kind:
        return shared
    if kind != "file":
        raise ConfigInvalid(
            f"{own} is a {kind}; expected a file",
            hint=f"rename it, or write the configuration into {_OWN} as TOML",
        )
    if shared is not None:
        raise ConfigInvalid(
            f"{own} and {shared.where(())} ([tool.envkit]) in {directory} both configure envkit",
            hint=f"keep one of them: move the tables of {_OWN} below [tool.envkit], or the reverse",
        )
    return read_document(own)


def _shared(pyproject: Path) -> Document | None:
    if _kind(pyproject) != "file":
        return None
    raw = read_bytes(pyproject)
    # Most files never name envkit: they need no parsing, and their faults are not ours to tell.
    if b"envkit" not in raw:
        return None
    document = parse(pyproject, raw, prefix=("tool", "envkit"))
    return None if document.table is None else document


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        # A directory above the project that may not be searched holds nothing for us.
        return ""
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "special file"
