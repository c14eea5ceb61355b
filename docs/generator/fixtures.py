"""``fixtures.md``: what the pytest plugin adds, and what tests hold."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest

from docs.generator.docstrings import rendered
from docs.generator.markdown import block, bullet, code, document, prose
from docs.generator.signatures import class_parts, function_parts
from envkit import pytest_plugin, services
from envkit.api import Services
from envkit.model import SERVICES, ServiceName
from envkit.services.handle import Handle

__all__ = ["page"]


def page() -> str:
    asked = _asked()
    return document(
        "Fixtures, markers and options of pytest",
        [
            prose(
                "The plugin is there as soon as envkit is installed. A run whose selected tests use"
                " none of its fixtures starts nothing."
            ),
            "\n".join(f"- [{title}](#{title.lower().replace(' ', '-')})" for title in _TITLES),
            "## Fixtures",
            *(part for one in _fixtures() for part in _fixture(one)),
            f"### {code('envkit.lease_fixture')}",
            *function_parts(pytest_plugin.lease_fixture, "envkit.lease_fixture"),
            "## Markers",
            *(part for line in asked.markers for part in _marker(line)),
            "## Options",
            "\n".join(_option(names, how) for names, how in asked.options),
            "## Ini options",
            _ini(asked.ini),
            "## Services of a lease",
            *class_parts(Services),
            "## Handles",
            prose(
                "What `services.postgres` or `real_postgres` and their like are. All have these:"
            ),
            *class_parts(Handle),
            *(part for service in SERVICES for part in _handle(service)),
        ],
    )


_TITLES: Final = (
    "Fixtures",
    "Markers",
    "Options",
    "Ini options",
    "Services of a lease",
    "Handles",
)


@dataclass
class _Asked:
    """What the plugin asks of pytest, in place of pytest's parser and configuration."""

    options: list[tuple[tuple[str, ...], dict[str, Any]]] = field(default_factory=list)
    markers: list[str] = field(default_factory=list)
    ini: list[tuple[str, str]] = field(default_factory=list)

    def getgroup(self, *_: str) -> _Asked:
        return self

    def addoption(self, *names: str, **how: Any) -> None:
        self.options.append((names, how))

    def addini(self, name: str, help: str, **_: Any) -> None:
        self.ini.append((name, help))

    def addinivalue_line(self, name: str, line: str) -> None:
        assert name == "markers", name
        self.markers.append(line)


def _asked() -> _Asked:
    asked = _Asked()
    pytest_plugin.pytest_addoption(cast("pytest.Parser", asked))
    pytest_plugin.pytest_configure(cast("pytest.Config", asked))
    return asked


def _option(names: tuple[str, ...], how: dict[str, Any]) -> str:
    takes = "|".join(how["choices"]) if "choices" in how else how.get("metavar", "")
    shown = code(f"{', '.join(names)}{f'={takes}' if takes else ''}")
    text = how["help"][0].upper() + how["help"][1:].rstrip(".")
    default = f" Default: {code(how['default'])}." if how.get("default") else ""
    return bullet(f"{shown}: {text}.{default}")


def _marker(line: str) -> Iterator[str]:
    usage, _, meaning = line.partition(": ")
    yield block(f"@pytest.mark.{usage}")
    yield prose(f"{meaning[0].upper()}{meaning[1:].rstrip('.')}.")


def _ini(options: list[tuple[str, str]]) -> str:
    if not options:
        return prose("There are none; what can be configured is in `[tool.envkit]`.")
    return "\n".join(bullet(f"{code(name)}: {meaning}") for name, meaning in options)


# -- fixtures -------------------------------------------------------------------------------------


def _fixtures() -> Iterator[ast.FunctionDef]:
    """The plugin's public fixtures, as they are written: what pytest makes of them is its own."""
    tree = ast.parse(Path(inspect.getfile(pytest_plugin)).read_text("utf-8"))
    for one in tree.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            ways = map(ast.unparse, one.decorator_list)
            if any(way.startswith("pytest.fixture") for way in ways):
                yield one


def _fixture(one: ast.FunctionDef) -> Iterator[str]:
    yield f"### {code(one.name)}"
    gives = ast.unparse(one.returns) if one.returns else "None"
    yield "\n".join(
        [
            bullet(code(gives.removeprefix("Iterator[").removesuffix("]")), "Gives"),
            bullet(_scope(one), "Scope"),
        ]
    )
    yield from rendered(_Written(ast.get_docstring(one) or ""))


class _Written:
    """A docstring without what it is of."""

    def __init__(self, text: str) -> None:
        self.__doc__ = text


def _scope(one: ast.FunctionDef) -> str:
    for how in one.decorator_list:
        if isinstance(how, ast.Call):
            for keyword in how.keywords:
                if keyword.arg == "scope" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    return "function"


def _handle(service: ServiceName) -> Iterator[str]:
    spec = services.load(service)
    yield f"### {spec.title}"
    yield from class_parts(_own(cast("type[Handle]", spec.handle)))


def _own(kind: type[Any]) -> type[Any]:
    """The class with its own members only; those of all handles stand above."""
    members = {n: m for n, m in vars(kind).items() if n not in ("__dict__", "__weakref__")}
    return type(kind.__name__, (), members)
