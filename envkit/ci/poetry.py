"""What a project's tests need, where only Poetry knows it.

Groups of Poetry's own: https://python-poetry.org/docs/managing-dependencies/#dependency-groups;
``poetry export``: https://github.com/python-poetry/poetry-plugin-export
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

__all__ = ["Locked", "locked_by_poetry"]

# Relative to the project, in a checkout that ends with the job; pytest looks into no such name.
_ENVIRONMENT: Final = ".envkit-poetry"


class Locked(Struct, frozen=True, kw_only=True):
    """What Poetry has to be asked for.

    Attributes:
        groups: That the tests need beside the main one.
        said: The requirements of all of those, as far as names and extras go.
    """

    groups: tuple[str, ...]
    said: tuple[str, ...]

    def export(self, extra: str, file: str) -> str:
        """Lines of a shell that write it as a list for pip.

        Args:
            extra: Of the project, which belongs to it as well; empty for none.
            file: Where the list goes.
        """
        options = [f"--with={','.join(self.groups)}"] if self.groups else []
        options += [f"--extras={extra}"] if extra else []
        command = shlex.join(["export", *options, "--without-hashes", f"--output={file}"])
        return (
            "# Apart, because what Poetry itself needs may not go together with the project.\n"
            f"python -m venv {_ENVIRONMENT}\n"
            f"{_ENVIRONMENT}/bin/python -m pip install --quiet poetry poetry-plugin-export\n"
            f"{_ENVIRONMENT}/bin/poetry {command}"
        )


def locked_by_poetry(
    poetry: Mapping[str, Any], names: Sequence[str], *, is_all: bool
) -> Locked | None:
    """What nobody but Poetry can read; None if that is nothing.

    Args:
        poetry: The table ``[tool.poetry]``.
        names: Of groups that tests may need.
        is_all: Whether the project says nothing of its requirements anywhere else.
    """
    groups = {name: _requirements(table) for name, table in _groups(poetry).items()}
    chosen = tuple(name for name in names if name in groups)
    if not poetry or not (chosen or is_all):
        return None
    said = [_requirements(poetry.get("dependencies")), *(groups[name] for name in chosen)]
    return Locked(groups=chosen, said=tuple(text for texts in said for text in texts))


def _groups(poetry: Mapping[str, Any]) -> dict[str, Any]:
    tables = poetry.get("group")
    found = {
        name: group.get("dependencies")
        for name, group in (tables.items() if isinstance(tables, dict) else ())
        if isinstance(group, dict)
    }
    if "dev-dependencies" in poetry:  # before Poetry 1.2
        found.setdefault("dev", poetry["dev-dependencies"])
    return found


def _requirements(table: object) -> list[str]:
    found = []
    for name, said in table.items() if isinstance(table, dict) else ():
        kinds = said if isinstance(said, list) else [said]
        extras = [text for one in kinds if isinstance(one, dict) for text in one.get("extras", ())]
        found.append(f"{name}[{','.join(extras)}]" if extras else name)
    return found
