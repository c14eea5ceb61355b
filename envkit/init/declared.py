"""Secrets that a project names, as entries of ``[tool.envkit.secrets]``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["secrets_named"]

#: Those whose meaning is plain from the name, looked for in the source as well.
_KNOWN: Final = {
    "SERVICE_SECRET": "{ min_length = 32 }",
    "JWT_SECRET": '{ algorithm = "HS256" }',
    "AUTH_SERVICE_URL": '{ kind = "url" }',
}
# Names in an example of .env that can mean nothing else; passwords belong to services.
_LIKE_SECRETS: Final = (
    (r"JWT_(?:\w+_)?SECRET(?:_KEY)?", '{ algorithm = "HS256" }'),
    (r"\w*_?PRIVATE_KEY", '{ kind = "pem" }'),
    # Of somebody else's: what envkit makes opens nothing there.
    (r"\w*_?(?:AUTH_TOKEN|API_KEY)", "{ generate = false }"),
    (r"\w*_?(?:SECRET|SECRET_KEY|SIGNING_KEY|ENCRYPTION_KEY)", "{}"),
)
_NOT_SOURCE: Final = frozenset(
    ("build", "dist", "env", "node_modules", "site-packages", "venv", "__pycache__")
)
_MOST_FILES: Final = 2000
_LARGEST: Final = 1_000_000  # bytes


def secrets_named(root: Path, examples: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The secrets by name: the entry that each could have, and where it was seen.

    Args:
        root: The project's directory; its Python files are read.
        examples: The names in its examples of ``.env``, and where they stand.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, where in examples.items():
        entry = _KNOWN.get(name) or next(
            (entry for pattern, entry in _LIKE_SECRETS if re.fullmatch(pattern, name)), ""
        )
        if entry:
            found[name] = (entry, where)
    missing = _KNOWN.keys() - found.keys()
    if missing:
        quoted = re.compile(rf"[\"']({'|'.join(sorted(missing))})[\"']")
        for path in _sources(root):
            for name, line in _in_source(path, quoted):
                where = f"{path.relative_to(root).as_posix()}, line {line}"
                found.setdefault(name, (_KNOWN[name], where))
    return {name: found[name] for name in sorted(found)}


def _sources(root: Path) -> Iterator[Path]:
    left = _MOST_FILES
    for directory, below, files in os.walk(root):
        below[:] = sorted(
            name for name in below if name not in _NOT_SOURCE and not name.startswith(".")
        )
        for name in sorted(files):
            if name.endswith(".py"):
                if not left:
                    return
                left -= 1
                yield Path(directory, name)


def _in_source(path: Path, quoted: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return  # evidence only
    for match in quoted.finditer(text):
        yield match[1], text.count("\n", 0, match.start()) + 1
