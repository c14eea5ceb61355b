"""Where the table goes, and how it gets there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from envkit.config import Document, read_document
from envkit.errors import ConfigInvalid, UsageError

if TYPE_CHECKING:
    from envkit.init.proposal import Proposal

__all__ = ["document_to_extend", "write"]


def document_to_extend(root: Path) -> Document | None:
    """The project's ``pyproject.toml``, if there is one.

    Raises:
        UsageError: envkit is configured here already.
        ConfigInvalid: The file cannot be read or parsed.
    """
    own = root / "envkit.toml"
    if own.exists() or own.is_symlink():
        raise _already(f"{own.name}:1")
    project = root / "pyproject.toml"
    if not project.is_file():
        return None
    document = read_document(project, prefix=("tool", "envkit"))
    if document.table is not None:
        raise _already(document.where(()))
    return document


def _already(where: str) -> UsageError:
    return UsageError(
        f"already configured at {where}", hint="edit it there, or remove it and try again"
    )


def write(proposal: Proposal) -> Path:
    """Put the table into its file and return the file.

    It is appended to ``pyproject.toml``, of which every byte stays as it was.

    Raises:
        UsageError: envkit has been configured here since the proposal was made.
        ConfigInvalid: The file cannot be read, written, or extended by a table.
    """
    document = document_to_extend(proposal.root)
    try:
        if document is None:
            _make(proposal.file, proposal.table.encode())
        else:
            addition = _addition(document, proposal.table)
            _append(document.path, addition)
    except FileExistsError:
        raise _already(f"{proposal.file.name}:1") from None
    except OSError as error:
        raise ConfigInvalid(
            f"{proposal.file} cannot be written: {error.strerror or error}",
            hint=f"add this to it yourself:\n{proposal.table}",
        ) from None
    return proposal.file


def _make(path: Path, content: bytes) -> None:
    """Write a new file, or leave none: an empty one would be a configuration."""
    with path.open("xb", buffering=0) as file:
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            path.unlink()
            raise


def _append(path: Path, addition: bytes) -> None:
    """Append all or nothing: the file keeps its inode, mode and owner."""
    with path.open("r+b", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(addition) != len(addition):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            file.truncate(before)
            raise


def _addition(document: Document, table: str) -> bytes:
    import tomllib

    text = document.text
    newline = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    gap = (newline if text.endswith("\n") else 2 * newline) if text else ""
    addition = gap + table.replace("\n", newline)
    try:
        result = tomllib.loads(text + addition)
    except ValueError as error:
        # "tool" may be an inline table, which TOML does not let anyone extend.
        raise ConfigInvalid(
            f"{document.path.name}:{document.line(('tool',))}: the file cannot take a table"
            f" [tool.envkit]: {error}",
            hint="write tool as [tool.…] tables, or put these tables into envkit.toml without the"
            f" prefix:\n{table}",
        ) from None
    assert result["tool"]["envkit"] == tomllib.loads(table)["tool"]["envkit"]
    return addition.encode()
