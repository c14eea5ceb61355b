"""The tables of a file: which names may stand where, and what each wrong one is answered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

from envkit.config.document import Document
from envkit.config.values import (
    KEYS,
    Key,
    Reader,
    Values,
    Wrong,
    backend,
    keys_of,
    reference,
    server_setting,
)
from envkit.config.wording import KeyPath, nearest, quoted, show, type_of
from envkit.errors import ConfigInvalid, ConfigUnknownKey
from envkit.model import SERVICES

__all__ = ["read_file"]

_EXAMPLES: Final[dict[Key, str]] = {
    ("env",): 'POSTGRES_DSN = "postgres.url"',
    ("postgres",): 'version = "18"',
    ("postgres", "settings"): 'wal_level = "logical"',
    ("redis",): 'version = "8"',
    ("redis", "settings"): 'maxmemory = "64mb"',
    ("clickhouse",): 'version = "25.8"',
    ("clickhouse", "settings"): "max_threads = 2",
}
_ENV_NAME: Final = (r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and '_'")
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
    return reader.values


class _FileReader:
    def __init__(self, document: Document) -> None:
        self.values: Values = {}
        self._document = document

    def table(self, table: Key, value: object) -> None:
        for name, item in self._items(table, value):
            key = (*table, name)
            if name not in keys_of(table):
                self._unknown(table, name)
            if reader := KEYS.get(key):
                self._put(key, reader, item)
            elif key == ("env",):
                self._env(key, item)
            elif name == "settings":
                self._settings(key, item)
            elif key == ("backend",) and not isinstance(item, dict):
                self._one_backend(key, item)
            else:
                self.table(key, item)

    def _env(self, table: Key, value: object) -> None:
        for name, item in self._items(table, value):
            key = (*table, name)
            self._check_name(key, name, *_ENV_NAME, _EXAMPLES[table])
            if name.startswith("ENVKIT_"):
                raise ConfigInvalid(
                    f"{self._place(key)} is a name that envkit reads its own settings from",
                    hint="choose a name that does not begin with ENVKIT_, such as"
                    f" {_EXAMPLES[table]}",
                )
            self._put(key, reference, item)

    def _settings(self, table: Key, value: object) -> None:
        for path, item in _leaves(table, self._items(table, value)):
            # TOML reads ``pg_stat_statements.max = 100`` as a table in a table; servers do not.
            name = ".".join(path[len(table) :])
            self._check_name(path, name, *_SETTING_NAME, _EXAMPLES[table])
            if (*table, name) in self.values:
                raise ConfigInvalid(
                    f"{self._place(path)} is there twice, as {name!r} in quotes and as a dotted"
                    " key",
                    hint="keep one of them",
                )
            self._put((*table, name), server_setting, item, path)

    def _one_backend(self, key: Key, value: object) -> None:
        try:
            choice = backend(value)
        except Wrong as wrong:
            wrong.expected += ", or a table with one of these for each service"
            raise self._wrong(key, wrong) from None
        for service in SERVICES:
            self.values[*key, service] = (choice, self._document.where(key))

    def _items(self, table: Key, value: object) -> Iterator[tuple[str, object]]:
        if not isinstance(value, dict):
            example = f"{{ {_EXAMPLES[table]} }}"
            raise self._wrong(table, Wrong(value, f"a table such as {example}", example))
        yield from value.items()

    def _put(self, key: Key, reader: Reader, value: object, path: Key | None = None) -> None:
        path = path or key
        try:
            self.values[key] = (reader(value), self._document.where(path))
        except Wrong as wrong:
            raise self._wrong(path, wrong) from None

    def _place(self, path: KeyPath) -> str:
        return f"{self._document.where(path)}: {self._document.dotted(path)}"

    def _wrong(self, key: Key, wrong: Wrong) -> ConfigInvalid:
        place = self._place((*key, *wrong.at))
        return wrong.error(place, f"write {key[-1]} = {wrong.example}", typed=True)

    def _check_name(self, path: Key, name: str, pattern: str, allowed: str, example: str) -> None:
        if not re.fullmatch(pattern, name):
            raise ConfigInvalid(
                f"{self._document.where(path)}: {self._document.dotted(path[:-1])} has the name"
                f" {show(name)}; expected {allowed}, beginning with a letter or '_'",
                hint=f"write it like this: {example}",
            )

    def _unknown(self, table: Key, name: str) -> NoReturn:
        known = keys_of(table)
        homes = [home for home in ((), *((s,) for s in SERVICES)) if name in keys_of(home)]
        if name == "tool" and not self._document.prefix and not table:
            advice = (
                "envkit.toml holds the tables without the prefix: [postgres], not"
                " [tool.envkit.postgres]. "
            )
        elif guess := nearest(name, known):
            advice = f"did you mean {guess!r}? "
        elif homes:
            titles = (self._document.dotted(home) for home in homes)
            places = (f"[{title}]" if title else "the top level" for title in titles)
            advice = f"{name!r} belongs into {' or '.join(places)}. "
        else:
            advice = ""
        title = self._document.dotted(table) or "the top level"
        raise ConfigUnknownKey(
            f"{self._document.where((*table, name))}: {title} has no key {quoted(name)}",
            hint=f"{advice}Known keys: {', '.join(known)}",
        )


def _leaves(path: Key, items: Iterable[tuple[str, object]]) -> Iterator[tuple[Key, object]]:
    for name, value in items:
        if isinstance(value, dict) and value:
            yield from _leaves((*path, name), value.items())
        else:
            yield (*path, name), value
