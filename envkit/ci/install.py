"""How a project and what its tests need get installed with pip, as far as its files tell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

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
    project = _table(data, "project")
    extras, groups = _table(project, "optional-dependencies"), _table(data, "dependency-groups")
    name, wanted = _chosen(extras, groups)
    files = _requirement_files(root)
    said = [*_texts(project.get("dependencies")), *wanted]
    for file in files:
        said += (root / file).read_text("utf-8", errors="replace").splitlines()
    lines, arguments = [], []
    notes: tuple[str, ...] = ()
    if "build-system" in data or (root / "setup.py").is_file():
        arguments += ["-e", f".[{name}]" if name in extras else "."]
    elif project:
        # Without a build system it is no package: setuptools would guess, and refuse many.
        lines.append(_listing(name if name in extras else ""))
        arguments += ["-r", _LIST]
    if name in groups and name not in extras:
        lines.insert(0, f"python -m pip install --quiet --upgrade {shlex.quote(_WITH_GROUPS)}")
        arguments += ["--group", name]
    for file in files:
        arguments += ["-r", file]
    if "poetry" in _table(data, "tool") and not project and not files:
        notes = ("pip knows nothing of Poetry's groups: add here what the tests need.",)
    arguments += _ours(said, embedded)
    if not any(_is(text, "pytest") for text in said):
        arguments.append("pytest")
    lines.append(f"python -m pip install {shlex.join(arguments)}")
    sources = (["pyproject.toml"] if data else []) + list(files)
    return Install(lines=tuple(lines), files=tuple(sources), notes=notes)


def _chosen(extras: Mapping[str, Any], groups: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The extra or group for tests, and its requirements; an empty name if there is none.

    One that has pytest in it goes before one that is only called so.
    """
    found = [
        (name, _texts(table[name]))
        for name in _NAMES
        for table in (extras, groups)
        if name in table
    ]
    with_pytest = [one for one in found if any(_is(text, "pytest") for text in one[1])]
    return next(iter([*with_pytest, *found]), ("", []))


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
