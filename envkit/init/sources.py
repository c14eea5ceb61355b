"""What a project's Python files read from the environment, and when; they are parsed, never run.

Known are ``os.environ`` and ``os.getenv``, pydantic's ``BaseSettings``, django-environ, environs,
python-decouple, Starlette's ``Config`` and dj-database-url. What reads a variable in another way is
not seen.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from envkit.templates.sources import is_virtual_environment

__all__ = [
    "Read",
    "Source",
    "are_all",
    "last_name",
    "module_of",
    "python_sources",
    "reads",
    "text_of",
]

#: ``import``: while its module is imported; ``kept``: by a function whose result is cached;
#: ``call``: by another function.
When: TypeAlias = Literal["import", "kept", "call"]

_NOT_SOURCE: Final = frozenset(
    ("build", "dist", "env", "node_modules", "site-packages", "venv", "__pycache__")
)
_MOST_FILES: Final = 10_000
_LARGEST: Final = 1_000_000  # bytes
_MOST_BYTES: Final = 100_000_000
# Characters. Of the files that speak of the environment, which are few; it takes seconds.
_MOST_PARSED: Final = 3_000_000
_WORTH_PARSING: Final = re.compile(
    r"environ|getenv|BaseSettings|decouple|starlette\.config|dj_data|ettings[,()]"
)
# Modules that read the environment by a function, as people call it; each form of a call counts.
_READERS: Final = {"environ": "env", "environs": "env", "decouple": "config", "starlette": "config"}
# What is read where a call names nothing (https://django-environ.readthedocs.io/en/latest/types.html).
_UNNAMED: Final = {
    **dict.fromkeys(("db", "db_url", "dj_db_url"), "DATABASE_URL"),
    **dict.fromkeys(("cache", "cache_url", "dj_cache_url"), "CACHE_URL"),
}
_CACHES: Final = frozenset(("cache", "lru_cache"))


class Source(Struct, frozen=True, kw_only=True):
    """One Python file of the project, its path relative to it."""

    path: str
    text: str


class Read(Struct, frozen=True, kw_only=True):
    """A variable that a file reads.

    Attributes:
        path: Of the file, relative to the project.
        where: The file and the line, to show.
        default: The text that is taken where the variable is not set; None if that is an error, and
            empty where it is something else than text.
    """

    name: str
    path: str
    where: str
    when: When
    default: str | None


class _Call(Struct, frozen=True):
    """Of a function or class; ``by`` is the outermost function around, if there is one."""

    name: str
    when: When
    by: str


class _Found(Struct, kw_only=True):
    """In one file: what is read, by which function or class, and what is called."""

    reads: list[tuple[Read, str]]
    calls: list[_Call]


def python_sources(root: Path) -> Iterator[Source]:
    """The project's Python files, of which there may be too many to look at all.

    See `are_all`.
    """
    files_left, left = _MOST_FILES, _MOST_BYTES
    for directory, below, files in os.walk(root):
        below[:] = sorted(
            name
            for name in below
            if name not in _NOT_SOURCE
            and not name.startswith(".")
            and not is_virtual_environment(Path(directory, name))
        )
        for name in sorted(files):
            if not name.endswith(".py"):
                continue
            if not files_left or left <= 0:
                return
            files_left -= 1
            path = Path(directory, name)
            try:
                if not path.is_file() or path.stat().st_size > _LARGEST:
                    continue
                left -= path.stat().st_size
                text = path.read_bytes().decode("utf-8", "replace").removeprefix("\ufeff")
            except OSError:
                continue  # evidence only
            yield Source(path=path.relative_to(root).as_posix(), text=text)


def are_all(sources: Sequence[Source]) -> bool:
    """Whether `python_sources` has not stopped before its end."""
    return len(sources) < _MOST_FILES and sum(len(one.text) for one in sources) < _MOST_BYTES // 2


def reads(sources: list[Source]) -> list[Read]:
    """What is read from the environment, in the order of the files."""
    settings = _settings_classes(sources)
    found = [one for source in _worth(sources) if (one := _in_file(source, settings))]
    calls: dict[str, list[_Call]] = {}
    for one in found:
        for call in one.calls:
            # By its name alone: settings are made and used in whatever file.
            calls.setdefault(call.name, []).append(call)
    return [
        structs.replace(read, when=_earliest(read.when, by, calls, set()))
        for one in found
        for read, by in one.reads
    ]


def _earliest(when: When, by: str, calls: dict[str, list[_Call]], seen: set[str]) -> When:
    """When something happens that a function does, from whom it is called by."""
    order: tuple[When, ...] = ("import", "kept", "call")
    if when == "import" or not by or by in seen:
        return when
    seen.add(by)
    others = (_earliest(call.when, call.by, calls, seen) for call in calls.get(by, ()))
    return min([when, *others], key=order.index)


def module_of(source: Source) -> ast.Module | None:
    """A file parsed; None if this Python cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the project's own escapes and comparisons
            return ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _worth(sources: list[Source]) -> Iterator[Source]:
    left = _MOST_PARSED
    for source in sources:
        if _WORTH_PARSING.search(source.text) and len(source.text) <= left:
            left -= len(source.text)
            yield source


def _settings_classes(sources: list[Source]) -> set[str]:
    """``BaseSettings`` of pydantic, and what is made from it in whatever file."""
    bases: dict[str, list[str]] = {}
    for source in sources:
        if "ettings" in source.text:
            for name, listed in re.findall(r"(?m)^class (\w+)\(([^()]*)\)", source.text):
                bases[name] = [one.strip().rpartition(".")[2] for one in listed.split(",")]
    found = {"BaseSettings"}
    while more := {name for name, of in bases.items() if found.intersection(of)} - found:
        found |= more
    return found


def _in_file(source: Source, settings: set[str]) -> _Found | None:
    tree = module_of(source)
    if tree is None:
        return None
    reader = _Reader(source.path, settings)
    try:
        reader.visit(tree)
    except RecursionError:
        return None
    return reader.found


class _Reader(ast.NodeVisitor):
    def __init__(self, path: str, settings: set[str]) -> None:
        self.found = _Found(reads=[], calls=[])
        self._path = path
        self._functions: list[str] = []
        self._when: When = "import"
        self._calls: set[str] = set()  # of modules in _READERS that are imported
        self._settings = {*settings}  # and the classes of this file that are made from them

    # -- where we are -----------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outside in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if outside is not None:
                self.visit(outside)
        before = self._when
        names = {
            last_name(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list
        }
        if before == "import":
            self._when = "kept" if names & _CACHES else "call"
        self._functions.append(node.name)
        for inside in node.body:
            self.visit(inside)
        self._functions.pop()
        self._when = before

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        before = self._when
        if before == "import":
            self._when = "call"
        self.generic_visit(node)
        self._when = before

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).replace('"', "'") == "__name__ == '__main__'":
            return  # not what an import runs
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._imported(one.name for one in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._imported([node.module or ""])

    def _imported(self, modules: Iterator[str] | list[str]) -> None:
        tops = {module.partition(".")[0] for module in modules}
        self._calls |= {_READERS[top] for top in tops & _READERS.keys()}

    # -- what is read -----------------------------------------------------------------------------

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if last_name(node.value) == "environ" and isinstance(node.ctx, ast.Load):
            self._read(text_of(node.slice), node, None)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = last_name(node.func)
        owner = last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        name = text_of(node.args[0]) if node.args else ""
        if called == "getenv" or (called == "get" and owner == "environ"):
            # Without a default it is None, which is no error yet.
            self._read(name, node, _default(node, 1) or "")
        elif owner in self._calls or (called in self._calls and not owner):
            self._read(name or _UNNAMED.get(called, ""), node, _default(node, 1))
        elif (owner, called) == ("dj_database_url", "config"):
            self._read(_keyword(node, "env") or "DATABASE_URL", node, _default(node, 1) or "")
        if isinstance(node.func, ast.Name) or called[:1].isupper():
            self.found.calls.append(_Call(called, self._when, self._by))
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not self._settings.intersection(last_name(base) for base in node.bases):
            self.generic_visit(node)
            return
        self._settings.add(node.name)
        prefix = next(filter(None, map(_prefix, node.body)), "")
        for one in node.body:
            if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
                continue
            field = one.target.id
            name, default = prefix + field, None if one.value is None else text_of(one.value)
            if isinstance(one.value, ast.Call) and last_name(one.value.func) == "Field":
                name = (
                    _keyword(one.value, "validation_alias")
                    or _keyword(one.value, "alias")
                    or _keyword(one.value, "env")
                    or name
                )
                default = _default(one.value, 0)
            if field != "model_config" and "ClassVar" not in ast.unparse(one.annotation):
                # Case does not matter there, and people write variables in capitals.
                self._read(name.upper(), one, default, made_by=node.name)

    @property
    def _by(self) -> str:
        return self._functions[0] if self._functions else ""

    def _read(
        self, name: str, node: ast.expr | ast.stmt, default: str | None, made_by: str = ""
    ) -> None:
        """Write down what is read here, or whenever an object of the class ``made_by`` is made."""
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            where = f"{self._path}, line {node.lineno}"
            when: When = "call" if made_by else self._when
            read = Read(name=name, path=self._path, where=where, when=when, default=default)
            self.found.reads.append((read, made_by or self._by))


def last_name(node: ast.expr) -> str:
    """The last name of ``a.b.c``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def text_of(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _keyword(node: ast.Call, name: str) -> str:
    return next((text_of(one.value) for one in node.keywords if one.arg == name), "")


def _default(node: ast.Call, position: int) -> str | None:
    """What a call takes if there is nothing to read; None if it names none."""
    if any(one.arg == "default_factory" for one in node.keywords):
        return ""
    given = [one.value for one in node.keywords if one.arg == "default"]
    given += node.args[position : position + 1]
    if not given or (isinstance(given[0], ast.Constant) and given[0].value is Ellipsis):
        return None
    return text_of(given[0])


def _prefix(node: ast.stmt) -> str:
    """What stands before its fields' names, from a class of settings' ``model_config``."""
    for one in (
        ast.walk(node) if isinstance(node, ast.Assign | ast.AnnAssign | ast.ClassDef) else ()
    ):
        if isinstance(one, ast.keyword) and one.arg == "env_prefix":
            return text_of(one.value)
        if isinstance(one, ast.Assign) and [last_name(t) for t in one.targets] == ["env_prefix"]:
            return text_of(one.value)
    return ""
