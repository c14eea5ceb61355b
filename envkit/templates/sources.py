"""What a template is made from, and the key that changes whenever any of it does."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from envkit.config import Config
from envkit.declared import TemplateSource
from envkit.errors import ConfigInvalid
from envkit.model import ServiceName

__all__ = ["files_of", "is_callable", "is_virtual_environment", "key_of", "usual_files"]

# Where the files of a migration command usually are, if nobody says: below directories of these
# names, so deep in the project at most.
_USUAL: Final = frozenset(("migrations", "migration", "migrate", "alembic", "versions"))
_USUAL_FILES: Final = ("alembic.ini", "yoyo.ini", "dbmate.env", "sqitch.conf", "sqitch.plan")
_DEPTH: Final = 5
# More than a project has of what a template is made from; beyond it is a slip of a glob.
_MOST_FILES: Final = 20_000
_MOST_BYTES: Final = 1 << 30
_NOT_SOURCE: Final = frozenset(("node_modules", "__pycache__", "site-packages", "build", "dist"))


def is_callable(command: str) -> bool:
    """Whether a command is ``module:function`` and not for the shell."""
    module, colon, function = command.partition(":")
    return (
        bool(colon)
        and all(part.isidentifier() for part in module.split("."))
        and function.isidentifier()
    )


def key_of(
    service: ServiceName, name: str, source: TemplateSource, config: Config, run: str
) -> str:
    """16 hex digits for all that a template is made from.

    Args:
        service: Whose template.
        name: That it has in the configuration.
        source: What it is made from.
        config: Of the project.
        run: Stands for what a command depends on, if no file of it is known.

    Raises:
        ConfigInvalid: A file is not there, or cannot be read.
    """
    place = f"{service}.templates.{name}" if name else service
    digest = hashlib.blake2b(digest_size=8)
    digest.update(msgspec.json.encode([service, source], order="sorted"))
    for path in files_of(source.schema, "schema", place, config):
        _add(digest, path, config.root)
    commands = [source.migrate] if source.migrate else []
    if isinstance(source.seed, str):
        commands += [source.seed] if source.seed else []
    else:
        for path in files_of(source.seed, "seed", place, config):
            _add(digest, path, config.root)
    if commands:
        watched = sorted(
            path
            for path in set(_watched(source, commands, place, config))
            # What Python writes beside the sources when it runs them.
            if _is_file(path) and "__pycache__" not in path.parts
        )
        for path in watched:
            _add(digest, path, config.root)
        if not watched:
            digest.update(run.encode())
    return digest.hexdigest()


def files_of(patterns: Iterable[str], field: str, place: str, config: Config) -> list[Path]:
    """The files that a list of paths and globs means, in its order.

    Args:
        patterns: Relative to the project.
        field: Of the configuration, for an error.
        place: Table of the configuration, likewise.
        config: Of the project.

    Raises:
        ConfigInvalid: One of them means no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        here = [path for path in _matching(pattern, config.root) if _is_file(path)]
        if not here:
            raise _nothing_there(pattern, field, place, config)
        found |= dict.fromkeys(here)
    return list(found)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - see `is_virtual_environment`


def _nothing_there(pattern: str, field: str, place: str, config: Config) -> ConfigInvalid:
    key = f"{place}.{field}"
    what = "that is no file" if (config.root / pattern).exists() else "there is no such file"
    return ConfigInvalid(
        f"{config.origins.get(key, key)}: {field} names {pattern!r}, and {what} in {config.root}",
        hint=f"ls {config.root / pattern}",
    )


def _matching(pattern: str, root: Path) -> list[Path]:
    if not glob.has_magic(pattern):
        return [root / pattern]
    # Not Path.glob, which takes no absolute patterns.
    found = glob.iglob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
    some = [root / path for path in islice(found, _MOST_FILES + 1)]
    if len(some) > _MOST_FILES:
        raise ConfigInvalid(
            f"{pattern!r} means more than {_MOST_FILES} files in {root}",
            hint="name the directories that matter",
        )
    return sorted(some)


def _watched(
    source: TemplateSource, commands: list[str], place: str, config: Config
) -> Iterator[Path]:
    for pattern in source.watch:
        found = [path for path in _matching(pattern, config.root) if path.exists()]
        if not found:  # else a slip would go unnoticed until a template is older than its source
            raise _nothing_there(pattern, "watch", place, config)
        for path in found:
            yield from _below(path) if path.is_dir() and not glob.has_magic(pattern) else (path,)
    if not source.watch:
        yield from usual_files(config.root)
    for command in commands:
        if is_callable(command):
            yield from _module(command.partition(":")[0], config.root)


def _below(directory: Path) -> Iterator[Path]:
    yield from _matching(f"{glob.escape(str(directory))}/**", directory)


def _module(name: str, root: Path) -> Iterator[Path]:
    """The file of a module, found without importing anything."""
    path = name.replace(".", "/")
    for base in (root, root / "src"):
        for candidate in (base / f"{path}.py", base / path / "__init__.py"):
            if candidate.is_file():
                yield candidate


def is_virtual_environment(directory: Path) -> bool:
    """Whether packages are installed there; of one that may not be entered it is not said."""
    # Not Path.exists, which raises where that may not be known.
    return os.path.exists(directory / "pyvenv.cfg")  # noqa: PTH110


def usual_files(root: Path) -> Iterator[Path]:
    """The files that commands are taken to depend on where nobody says which."""
    yield from (root / name for name in _USUAL_FILES if (root / name).is_file())
    depth = len(root.parts)
    for place, directories, files in os.walk(root):
        here = Path(place)
        below = here.parts[depth:]
        directories[:] = [
            one
            for one in sorted(directories)
            if not one.startswith(".")
            and one not in _NOT_SOURCE
            and not is_virtual_environment(here / one)
        ]
        if len(below) >= _DEPTH:
            directories.clear()
        if _USUAL.intersection(below):
            yield from (here / name for name in sorted(files) if not name.endswith(".pyc"))


def _add(digest: hashlib.blake2b, path: Path, root: Path) -> None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigInvalid(
                f"{path}, which a template is made from, is larger than 1 GiB",
                hint="leave it out of watch",
            )
        content = path.read_bytes()
    except OSError as error:
        raise ConfigInvalid(
            f"{path}, which a template is made from, cannot be read: {error.strerror}",
            hint=f"ls -l {path}",
        ) from None
    name = os.path.relpath(path, root)
    for part in (os.fsencode(name), content):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
