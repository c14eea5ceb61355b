"""The tables of a file: which names may stand where, and what each wrong one is answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from envkit.config.answers import Answers
from envkit.config.declarations import EXAMPLES, read_categories, read_secrets
from envkit.config.document import Document
from envkit.config.values import (
    KEYS,
    TEMPLATE,
    Key,
    Reader,
    Values,
    Wrong,
    backend,
    keys_of,
    reference,
    server_setting,
)
from envkit.config.wording import show, type_of
from envkit.declared import EMPTY, Secret
from envkit.errors import ConfigInvalid
from envkit.model import SERVICES

__all__ = ["TABLE_EXAMPLES", "read_file"]

#: An entry of each table, for messages.
TABLE_EXAMPLES: Final[dict[Key, str]] = {
    ("attach",): 'allow = ["db.example/app_test"]',
    ("docker",): 'pull = "never"',
    ("env",): 'POSTGRES_DSN = "postgres.url"',
    ("postgres",): 'version = "18"',
    ("postgres", "templates"): 'bare = { extensions = ["pg_trgm"] }',
    ("postgres", "settings"): 'wal_level = "logical"',
    ("redis",): 'version = "8"',
    ("redis", "templates"): 'warm = { seed = ["db/warm.redis"] }',
    ("redis", "settings"): 'maxmemory = "64mb"',
    ("clickhouse",): 'version = "25.8"',
    ("clickhouse", "templates"): 'small = { schema = ["db/small.sql"] }',
    ("clickhouse", "settings"): "max_threads = 2",
}
_TEMPLATE_NAME: Final = (r"[A-Za-z_][A-Za-z0-9_-]*", "letters, digits, '_' and '-'")
_SETTING_NAME: Final = (r"[A-Za-z_][A-Za-z0-9_.-]*", "letters, digits, '_', '.' and '-'")


def read_file(document: Document) -> Values:
    """What a file says, checked.

    Raises:
        ConfigInvalid: A value has the wrong type or range, or a name of the user's cannot be one.
        ConfigUnknownKey: A key that envkit does not know.
    """
    if not isinstance(document.table, dict):
        raise ConfigInvalid(
            f"{document.where(())}: {document.dotted(())} is {show(document.table)}"
            f" ({type_of(document.table)}); expected a table",
            hint="write it as [tool.envkit], with single brackets",
        )
    reader = _FileReader(document)
    reader.table((), document.table)
    reader.declarations(document.table)
    return reader.values


class _FileReader:
    def __init__(self, document: Document) -> None:
        self.values: Values = {}
        self._answers = Answers(document)

    def table(self, table: Key, value: object) -> None:
        for name, item in self._items(table, value):
            key = (*table, name)
            if name not in keys_of(table):
                self._answers.unknown(table, name, keys_of(table))
            if reader := KEYS.get(key):
                self._put(key, reader, item)
            elif key == ("env",):
                self._env(key, item)
            elif key in EXAMPLES:
                continue  # these name each other: see `declarations`
            elif name == "templates":
                self._templates(key, item)
            elif name == "settings":
                self._settings(key, item)
            elif key == ("backend",) and not isinstance(item, dict):
                self._one_backend(key, item)
            else:
                self.table(key, item)

    def declarations(self, tables: dict[str, object]) -> None:
        """The secrets, and then the categories that may need them."""
        secrets: dict[str, Secret] = {}
        if "secrets" in tables:
            secrets = read_secrets(self._answers, ("secrets",), tables["secrets"])
            self._declare("secrets", secrets)
        if "categories" in tables:
            found = read_categories(self._answers, ("categories",), tables["categories"], secrets)
            self._declare("categories", found)

    def _declare(self, table: str, found: Mapping[str, object]) -> None:
        for name, one in found.items():
            self.values[table, name] = (one, self._answers.where((table, name)))

    def _env(self, table: Key, value: object) -> None:
        for name, item in self._items(table, value):
            key = (*table, name)
            self._answers.check_variable(key, name, TABLE_EXAMPLES[table])
            self._put(key, reference, item)

    def _settings(self, table: Key, value: object) -> None:
        for path, item in _leaves(table, self._items(table, value)):
            # TOML reads ``pg_stat_statements.max = 100`` as a table in a table; servers do not.
            name = ".".join(path[len(table) :])
            self._answers.check_name(path, name, *_SETTING_NAME, TABLE_EXAMPLES[table])
            if (*table, name) in self.values:
                raise ConfigInvalid(
                    f"{self._answers.place(path)} is there twice, as {name!r} in quotes and"
                    " as a dotted key",
                    hint="keep one of them",
                )
            self._put((*table, name), server_setting, item, path)

    def _templates(self, table: Key, value: object) -> None:
        for name, item in self._items(table, value):
            key = (*table, name)
            self._answers.check_name(key, name, *_TEMPLATE_NAME, TABLE_EXAMPLES[table])
            if name == EMPTY:
                raise ConfigInvalid(
                    f"{self._answers.place(key)}: {EMPTY!r} means a template of nothing",
                    hint="choose another name",
                )
            for field, entry in self._answers.items(key, item, 'seed = ["db/seed.sql"]'):
                if field not in keys_of(key):
                    self._answers.unknown(key, field, keys_of(key))
                self._put((*key, field), TEMPLATE[field], entry)

    def _one_backend(self, key: Key, value: object) -> None:
        try:
            choice = backend(value)
        except Wrong as wrong:
            wrong.expected += ", or a table with one of these for each service"
            raise self._answers.wrong(key, wrong) from None
        for service in SERVICES:
            self.values[*key, service] = (choice, self._answers.where(key))

    def _items(self, table: Key, value: object) -> Iterator[tuple[str, object]]:
        return self._answers.items(table, value, TABLE_EXAMPLES.get(table, ""))

    def _put(self, key: Key, reader: Reader, value: object, path: Key | None = None) -> None:
        path = path or key
        try:
            self.values[key] = (reader(value), self._answers.where(path))
        except Wrong as wrong:
            raise self._answers.wrong(path, wrong) from None


def _leaves(path: Key, items: Iterable[tuple[str, object]]) -> Iterator[tuple[Key, object]]:
    for name, value in items:
        if isinstance(value, dict) and value:
            yield from _leaves((*path, name), value.items())
        else:
            yield (*path, name), value
