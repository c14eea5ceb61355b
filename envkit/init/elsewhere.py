"""What in a project's code might lead a migration to another database than envkit's.

Nothing here is run, so this is about what stands there: a URL, a host, or a file of variables that
goes over the environment. Who finds nothing knows of no danger, and no more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from envkit.init.sources import Read, Source, last_name, module_of, text_of

__all__ = ["danger", "named", "reached", "sets_url"]

_URL: Final = re.compile(
    r"(?:postgres(?:ql)?|postgis|pgsql|mysql|mariadb)(?:\+\w+)?://(.*)", re.I | re.S
)
_KEYWORDS: Final = re.compile(r"\bhost\s*=\s*[^\s{%]")
_FILE_URL: Final = re.compile(r"sqlite(?:\+\w+)?:///+[^:{%\s]")  # not one that is in memory
_URL_KEYS: Final = ("sqlalchemy.url", "url")  # of the .ini, the latter after its prefix
_URL_READERS: Final = ("db", "db_url", "dj_db_url", "config")
_HOLE: Final = "{}"
# In calls that take a host: that they are about a database.
_OF_DATABASES: Final = frozenset(
    ("database", "dbname", "drivername", "path", "scheme", "user", "username")
)
_OTHER: Final = ("redis", "valkey", "clickhouse", "amqp", "mongo", "smtp")


def reached(starts: Sequence[Source], sources: Sequence[Source]) -> list[Source]:
    """The files of the project that are imported from these, and these themselves."""
    modules = _by_module(sources)
    found: dict[str, Source] = {}
    ahead = list(starts)
    while ahead:
        source = ahead.pop(0)
        if source.path in found:
            continue
        found[source.path] = source
        for name in _imported(source):
            ahead += modules.get(name, ())
    return list(found.values())


def named(module: str, sources: Sequence[Source]) -> list[Source]:
    """The files that a module's name may mean, with those of the packages that it lies in."""
    parts = tuple(module.split("."))
    modules = _by_module(sources)
    return [one for end in range(1, len(parts) + 1) for one in modules.get(parts[:end], ())]


def _by_module(sources: Sequence[Source]) -> dict[tuple[str, ...], list[Source]]:
    """By each end of their names, as any directory may be in sys.path."""
    modules: dict[tuple[str, ...], list[Source]] = {}
    for source in sorted(sources, key=lambda one: one.path.count("/")):
        parts = _module(source.path)
        for first in range(len(parts)):
            alike = modules.setdefault(parts[first:], [])
            # Of several of one name the one that is least deep.
            if not alike or alike[0].path.count("/") == source.path.count("/"):
                alike.append(source)
    return modules


def _module(path: str) -> tuple[str, ...]:
    parts = path.removesuffix(".py").split("/")
    return tuple(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(source: Source) -> Iterator[tuple[str, ...]]:
    package = _module(source.path)
    if not source.path.endswith("/__init__.py"):
        package = package[:-1]
    tree = module_of(source)
    for node in ast.walk(tree) if tree else ():
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(one.name.split(".")) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = package[: len(package) - node.level + 1] + base
            names = [(*base, one.name) for one in node.names]
        elif isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__"):
            names = [tuple(text_of(one).split(".")) for one in node.args[:1]]
        for name in names:
            # With a module, the packages that it lies in are imported.
            yield from (name[:end] for end in range(1, len(name) + 1))


def danger(sources: Sequence[Source], led: Sequence[Read]) -> str:
    """The first thing in these files that may lead elsewhere, to show; empty if there is none.

    Args:
        sources: What the migration imports.
        led: Where variables are read that envkit sets.
    """
    names = {one.name for one in led}
    for source in sources:
        tree = module_of(source)
        usual = {one.default for one in led if one.path == source.path}
        try:
            found = [] if tree is None else _Dangers(names, usual, tree).found
        except RecursionError:
            tree = None
        if tree is None:
            return f"{source.path} cannot be parsed"
        for line, what in sorted(found):
            return f"{source.path}, line {line} {what}"
    return ""


def sets_url(script: Source, names: Collection[str]) -> bool:
    """Whether an ``env.py`` of Alembic always takes another URL than the one of its ``.ini``.

    Args:
        script: The ``env.py``.
        names: Of variables that envkit sets.
    """
    tree = module_of(script)
    if tree is None:
        return False
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                assigned.setdefault(last_name(target), []).append(node.value)
    return any(not _of_ini(value, assigned, names) for value in _urls(tree))


def _urls(node: ast.AST) -> Iterator[ast.expr]:
    """What is taken for the URL whatever else is the case."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "is_offline_mode" not in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Try):
            continue
        yield from _urls(child)
        if isinstance(child, ast.Assign):
            for target in child.targets:
                if isinstance(target, ast.Subscript) and text_of(target.slice) in _URL_KEYS:
                    yield child.value
        elif isinstance(child, ast.Dict):
            for key, value in zip(child.keys, child.values, strict=True):
                if key is not None and text_of(key) in _URL_KEYS:
                    yield value
        elif isinstance(child, ast.Call):
            called, texts = last_name(child.func), [text_of(one) for one in child.args]
            if called in ("set_main_option", "set_section_option"):
                # Of its own section, which may be named by an expression.
                if "sqlalchemy.url" in texts[:-1] and texts[0] in ("sqlalchemy.url", "alembic", ""):
                    yield child.args[-1]
            elif called in ("create_engine", "create_async_engine") and child.args:
                yield child.args[0]
            elif called in ("engine_from_config", "async_engine_from_config"):
                yield from (one.value for one in child.keywords if one.arg == "url")


def _of_ini(value: ast.expr, assigned: dict[str, list[ast.expr]], names: Collection[str]) -> bool:
    if isinstance(value, ast.Name) and value.id in assigned:
        values = assigned[value.id]
        return any(_of_ini(one, {}, names) for one in values)
    if isinstance(value, ast.Call) and value.args and text_of(value.args[0]) in names:
        return False  # a variable, and what is in the .ini only where it is not set
    return bool(re.search(r"get_main_option|get_section|file_config", ast.unparse(value)))


def _loads_over(node: ast.Call) -> bool:
    """Whether a call that loads a ``.env`` file lets that go over the environment, or may."""
    for one in node.keywords:
        if one.arg is None:
            return True
        if one.arg in ("override", "overwrite"):
            return not (isinstance(one.value, ast.Constant) and not one.value.value)
    return len(node.args) > 3  # python-dotenv's and environs' fourth


class _Dangers(ast.NodeVisitor):
    """Those of one file, each with its line.

    Args:
        names: Of variables that envkit sets.
        usual: What is taken where they are not set, and so never.
        tree: The file.
    """

    def __init__(self, names: Collection[str], usual: Collection[str | None], tree: ast.Module):
        self.found: list[tuple[int, str]] = []
        self._names = names
        self._usual = usual
        self._chosen = False  # by a variable that envkit sets
        self._constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.visit(tree)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # or else it is a docstring
            self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        if self._reads(node.values[0]) and isinstance(node.op, ast.Or):
            self.visit(node.values[0])  # the others are for where it is not set
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value not in self._usual:
            self._judge(node, node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._judge(node, self._put_together(node))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._judge(node, self._put_together(node))
        self.generic_visit(node)

    def _put_together(self, node: ast.expr) -> str:
        """A text as far as it stands there, with holes for the rest."""
        if isinstance(node, ast.FormattedValue):
            return self._put_together(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self._put_together, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._put_together(node.left) + self._put_together(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            given = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            return self._filled(node.left, r"%s", given)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "format":
                return self._filled(node.func.value, r"\{\d*\}", node.args)
            return _HOLE
        return self._text(node) or _HOLE

    def _filled(self, pattern: ast.expr, hole: str, given: Sequence[ast.expr]) -> str:
        parts = map(self._put_together, given)
        return re.sub(hole, lambda _: next(parts, _HOLE), self._text(pattern) or _HOLE)

    def _judge(self, node: ast.expr, text: str) -> None:
        url = _URL.match(text.strip())
        if url:
            host = re.split(r"[/?#]", url[1])[0].rpartition("@")[2]
            query = re.search(r"[?&]host=[^&{%]", url[1])
            written = bool(host) and not re.match(r"[{%$<]", host)
            if written or query:
                self._add(node, "has the URL of a database")
        elif _FILE_URL.match(text):
            self._add(node, "has the URL of a file of SQLite")
        elif "dbname" in text and _KEYWORDS.search(text):
            self._add(node, "names a database")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "settings_customise_sources":
            self._add(node, "changes what goes over the environment")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if last_name(node.target) == "environ":
            self._add(node, "sets variables in the environment")
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript) and last_name(target.value) == "environ":
                self._add(node, "sets variables in the environment")

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Subscript):
                continue
            if text_of(target.slice) == "HOST" and not self._reads(node.value):
                self._add(node, "names the host of a database")
            if last_name(target.value) == "environ":
                name = text_of(target.slice)
                if (not name or name in self._names) and not self._reads(node.value):
                    self._add(node, f"sets {name or 'variables'} in the environment")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = last_name(node.func)
        owner = last_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        given = {one.arg: one.value for one in node.keywords if one.arg}
        if called in ("load_dotenv", "read_dotenv", "read_env", "load_env"):
            if _loads_over(node):
                self._add(node, "loads a .env file over the environment")
        elif called in ("dotenv_values", "get_key"):
            self._add(node, "reads a .env file itself, not the environment")
        elif (owner, called) in (("environ", "update"), ("environ", "pop"), ("os", "putenv")):
            self._add(node, "sets variables in the environment")
        elif called in ("exec", "execfile") and not owner:
            self._add(node, "runs a text that is not looked at")
        elif called == "format":
            self._judge(node, self._put_together(node))
        elif (called == "create" and self._text(next(iter(node.args[3:4]), None))) or (
            called in ("dict", "update") and self._text(given.get("HOST"))
        ):
            self._add(node, "names the host of a database")
        elif called == "Env":
            # Of django-environ: a type and a default for each variable.
            node = ast.Call(
                node.func,
                node.args,
                [one for one in node.keywords if one.arg not in self._names],
            )
        elif (owner, called) == ("environ", "setdefault") and node.args:
            if text_of(node.args[0]) in self._names:
                return
        elif called[:1].isupper() and any(
            name.upper() in self._names and not self._reads(value) for name, value in given.items()
        ):
            self._add(node, "gives its settings a value")
        elif self._text(given.get("host")) and _OF_DATABASES & given.keys():
            shown = f"{owner}.{called}".lower()
            if not any(one in shown for one in _OTHER) and not any(
                self._reads(given[one]) for one in ("database", "dbname", "path") if one in given
            ):
                self._add(node, "names the host of a database")
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        given = {
            text_of(key): value
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
        if "sqlite" in self._engine(given.get("default")) and not self._chosen:
            self._add(node, "has SQLite as the default database")
        if "ENGINE" in given and "sqlite" not in self._engine(node):
            host = self._meant(given.get("HOST"))
            # Where the name is envkit's there is no such database on any other host.
            ours = self._reads(self._meant(given.get("NAME"))) or self._reads(host)
            if not ours and (self._text(host) or isinstance(host, ast.Call | ast.Subscript)):
                self._add(given["HOST"], "names the host of a database")
        default = given.get("default")
        if isinstance(default, ast.Call) and not self._reads(default):
            asked = [*default.args[:1], *(o.value for o in default.keywords if o.arg == "env")]
            if last_name(default.func) in _URL_READERS and any(map(self._text, asked)):
                self._add(node, "reads the URL of a database that envkit does not set")
        if "service" in given and self._text(given["service"]):
            self._add(given["service"], "names a service of pg_service.conf")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        before = self._chosen
        self._chosen = before or self._reads(node.test)
        self.generic_visit(node)
        self._chosen = before

    def _engine(self, node: ast.expr | None) -> str:
        """Of an entry in DATABASES, whatever may be in it."""
        if not isinstance(node, ast.Dict):
            return ""
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and text_of(key) == "ENGINE":
                return ast.unparse(value) + self._text(value)
        return ""

    def _add(self, node: ast.expr | ast.stmt, what: str) -> None:
        self.found.append((node.lineno, what))

    def _text(self, node: ast.expr | None) -> str:
        """A text that stands there, or that a constant of this file has."""
        node = self._meant(node)
        return "" if node is None or text_of(node) in self._usual else text_of(node)

    def _meant(self, node: ast.expr | None) -> ast.expr | None:
        return self._constants.get(node.id, node) if isinstance(node, ast.Name) else node

    def _reads(self, node: ast.expr | None) -> bool:
        """Whether a variable that envkit sets is read there."""
        return node is not None and any(
            text_of(one) in self._names for one in ast.walk(node) if isinstance(one, ast.Constant)
        )
