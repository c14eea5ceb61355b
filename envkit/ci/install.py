"""How a project and what its tests need get installed with pip, as far as its files tell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from envkit.ci.poetry import locked_by_poetry
from envkit.config import read_document
from envkit.version import __version__

__all__ = ["Install", "install_of"]

#: How people call what their tests need, the most telling name first.
_NAMES: Final = ("test", "tests", "testing", "dev", "develop", "development")
_FILES: Final = ("requirements-{}.txt", "requirements_{}.txt", "{}-requirements.txt")
_OURS: Final = "envkit-services"
# Where a list goes that only a Python program can read; in a checkout that ends with the job.
_LIST: Final = ".envkit-requirements.txt"
_WITH_GROUPS: Final = "pip>=25.1"


class Install(Struct, frozen=True, kw_only=True):
    """What to type.

    Attributes:
        lines: Commands for a POSIX shell in the project's directory; one may go over several.
        files: What they depend on, relative to the project; for the key of a cache.
        notes: What a person has to add.
    """

    lines: tuple[str, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def install_of(root: Path, *, embedded: bool) -> Install:
    """How to install the project in this directory for its tests.

    Args:
        root: Of the project.
        embedded: Whether the servers come along.

    Raises:
        ConfigInvalid: Its ``pyproject.toml`` cannot be read.
    """
    path = root / "pyproject.toml"
    data = read_document(path).data if path.is_file() else {}
    project, tools = _table(data, "project"), _table(data, "tool")
    poetry = _table(tools, "poetry")
    extras = {**_table(poetry, "extras"), **_table(project, "optional-dependencies")}
    name, wanted = _chosen(extras, _table(data, "dependency-groups"))
    extra = name if name in extras else ""
    files = _requirement_files(root)
    locked = locked_by_poetry(poetry, _NAMES, is_all=not project and not files)
    said = [*_texts(project.get("dependencies")), *wanted, *(locked.said if locked else ())]
    for file in files:
        said += (root / file).read_text("utf-8", errors="replace").splitlines()
    lines, arguments = [], []
    if name and not extra:
        lines.append(f"python -m pip install --quiet --upgrade {shlex.quote(_WITH_GROUPS)}")
    if locked:
        lines.append(locked.export(extra, _LIST))
        arguments += ["-r", _LIST]
    if "build-system" in data or (root / "setup.py").is_file():
        if poetry.get("package-mode", True):
            arguments += ["-e", f".[{extra}]" if extra else "."]
    elif project and not locked:
        # Without a build system it is no package: setuptools would guess, and refuse many.
        lines.append(_listing(extra))
        arguments += ["-r", _LIST]
    if name and not extra:
        arguments += ["--group", name]
    for file in files:
        arguments += ["-r", file]
    arguments += _ours(said, embedded)
    if not any(_is(text, "pytest") for text in said):
        arguments.append("pytest")
    lines.append(f"python -m pip install {shlex.join(arguments)}")
    sources = ["pyproject.toml"] if data else []
    sources += [lock for lock in ("poetry.lock",) if locked and (root / lock).is_file()]
    return Install(lines=tuple(lines), files=(*sources, *files), notes=tuple(_notes(tools)))


def _notes(tools: Mapping[str, Any]) -> Iterator[str]:
    """What pip cannot be told."""
    for tool, table in (("uv", "dev-dependencies"), ("pdm", "dev-dependencies")):
        if table in _table(tools, tool):
            yield (
                f"pip knows nothing of [tool.{tool}] {table}: move them to [dependency-groups],"
                f" which {tool} reads as well."
            )
    if "sources" in _table(tools, "uv"):
        yield "pip knows nothing of [tool.uv.sources]: add here what is on no index."


def _chosen(extras: Mapping[str, Any], groups: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The extra or group for tests, and its requirements; an empty name if there is none.

    One that has pytest in it goes before one that is only called so.
    """
    found = [
        (name, list(_requirements(table, name)))
        for name in _NAMES
        for table in (extras, groups)
        if name in table
    ]
    with_pytest = [one for one in found if any(_is(text, "pytest") for text in one[1])]
    return next(iter([*with_pytest, *found]), ("", []))


def _requirements(table: Mapping[str, Any], name: str) -> Iterator[str]:
    """With those of groups that it includes (PEP 735), which cannot go in a circle."""
    rest = dict(table)
    entries = rest.pop(name, ())
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            yield from _requirements(rest, str(entry.get("include-group")))


def _requirement_files(root: Path) -> tuple[str, ...]:
    patterns = ["requirements.txt"]
    for name in _NAMES:
        patterns += [*(pattern.format(name) for pattern in _FILES), f"requirements/{name}.txt"]
    return tuple(name for name in patterns if (root / name).is_file())


def _listing(extra: str) -> str:
    more = f', *project["optional-dependencies"]["{extra}"]' if extra else ""
    return (
        "python -c '\n"
        "import tomllib\n"
        'project = tomllib.load(open("pyproject.toml", "rb"))["project"]\n'
        f'print(*project.get("dependencies", []){more}, sep="\\n")\n'
        f"' > {_LIST}"
    )


def _ours(said: Iterable[str], embedded: bool) -> list[str]:
    """What is missing of envkit; which version is the project's business if it names us."""
    own = [text for text in said if _is(text, _OURS)]
    if not embedded:
        return [] if own else [f"{_OURS}=={__version__}"]
    if any(re.search(r"\[[^\]]*\bembedded\b", text) for text in own):
        return []
    return [f"{_OURS}[embedded]" + ("" if own else f"=={__version__}")]


def _is(requirement: str, name: str) -> bool:
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return match is not None and re.sub(r"[-_.]+", "-", match[1]).lower() == name


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
