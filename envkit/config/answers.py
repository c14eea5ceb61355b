"""What a wrong value, a wrong name and an unknown key of a file are answered with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NoReturn

from envkit.config.document import Document
from envkit.config.values import Key, Wrong, keys_of
from envkit.config.wording import KeyPath, nearest, quoted, show
from envkit.errors import ConfigInvalid, ConfigUnknownKey
from envkit.model import SERVICES

__all__ = ["ENV_NAME", "Answers"]

#: The pattern of an environment variable's name, and its description.
ENV_NAME: Final = (r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and '_'")


class Answers:
    """Errors about one file, with the line of what they are about.

    Args:
        document: The file.
    """

    def __init__(self, document: Document) -> None:
        self._document = document

    def where(self, path: KeyPath) -> str:
        return self._document.where(path)

    def place(self, path: KeyPath) -> str:
        return f"{self._document.where(path)}: {self._document.dotted(path)}"

    def wrong(self, key: Key, wrong: Wrong) -> ConfigInvalid:
        place = self.place((*key, *wrong.at))
        return wrong.error(place, f"write {key[-1]} = {wrong.example}", typed=True)

    def items(self, table: Key, value: object, example: str) -> Iterator[tuple[str, object]]:
        """What a table holds.

        Raises:
            ConfigInvalid: It is no table.
        """
        if not isinstance(value, dict):
            example = f"{{ {example} }}"
            raise self.wrong(table, Wrong(value, f"a table such as {example}", example))
        yield from value.items()

    def check_name(self, path: Key, name: str, pattern: str, allowed: str, example: str) -> None:
        if not re.fullmatch(pattern, name):
            raise ConfigInvalid(
                f"{self._document.where(path)}: {self._document.dotted(path[:-1])} has the name"
                f" {show(name)}; expected {allowed}, beginning with a letter or '_'",
                hint=f"write it like this: {example}",
            )

    def check_variable(self, path: Key, name: str, example: str) -> None:
        """As `check_name`, for what becomes an environment variable."""
        self.check_name(path, name, *ENV_NAME, example)
        if name.startswith("ENVKIT_"):
            raise ConfigInvalid(
                f"{self.place(path)} is a name that envkit reads its own settings from",
                hint=f"choose a name that does not begin with ENVKIT_, such as {example}",
            )

    def unknown(self, table: Key, name: str, known: Collection[str]) -> NoReturn:
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
