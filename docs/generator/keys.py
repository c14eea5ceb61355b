"""The keys of the configuration, as the published schema and the readers of values have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec import NODEFAULT, structs

from envkit.config import Config, declarations, schema, values
from envkit.config.environment import ENVIRONMENT
from envkit.config.tables import TABLE_EXAMPLES
from envkit.config.values import Key
from envkit.declared import Category, Secret, TemplateSource
from envkit.model import Settings

__all__ = ["NAME", "Entry", "entries", "meaning_of"]

#: Stands for a name of the user's.
NAME: Final = "NAME"
_STRUCTS: Final[Mapping[str, type[Any]]] = {"secrets": Secret, "categories": Category}
_READERS: Final = {"secrets": declarations.SECRET, "categories": declarations.CATEGORY}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One key.

    Attributes:
        key: With `NAME` for a name of the user's.
        takes: What its value may be, in words.
        default: As TOML; empty where the meaning says it.
        variable: Of the environment; empty if there is none.
        examples: As TOML, beside the default.
    """

    key: Key
    meaning: str
    takes: str
    default: str
    variable: str
    examples: Sequence[str]

    @property
    def dotted(self) -> str:
        return ".".join(self.key)


def entries() -> Iterator[Entry]:
    """All keys that have a value, in the order of the schema."""
    yield from _below((), schema.schema())


def meaning_of(table: str) -> str:
    """What a table of the top level is for."""
    said: str = schema.schema()["properties"][table]["description"]
    return said


def _below(table: Key, node: Mapping[str, Any]) -> Iterator[Entry]:
    for name, found in node["properties"].items():
        key = (*table, name)
        named = found.get("additionalProperties")
        if "properties" in found:
            yield from _below(key, found)
        elif isinstance(named, dict) and "properties" in named:
            yield from _below((*key, NAME), named)
        else:
            yield _entry(key, found)


def _entry(key: Key, node: Mapping[str, Any]) -> Entry:
    default = _default(key, lasts="anyOf" in node)
    return Entry(
        key=key,
        meaning=node["description"],
        takes=_takes(key),
        default=default,
        variable=next((name for name, (of, _) in ENVIRONMENT.items() if of == key), ""),
        examples=[f"{key[-1]} = {one}" for one in _examples(key, node) if one != default],
    )


def _examples(key: Key, node: Mapping[str, Any]) -> Sequence[str]:
    if key in TABLE_EXAMPLES:
        return [f"{{ {TABLE_EXAMPLES[key]} }}"]
    return [_toml(one) for one in node.get("examples", ())]


def _takes(key: Key) -> str:
    match key:
        case ("env",):
            return f"a table of names, each {schema.in_words(values.reference)}"
        case (_, "settings"):
            return f"a table of names, each {schema.in_words(values.server_setting)}"
        case ("backend",):
            return schema.in_words(values.backend)
        case (("secrets" | "categories") as table, _, name):
            return schema.in_words(_READERS[table][name])
        case (_, "templates", _, name):
            return schema.in_words(values.TEMPLATE[name])
    reader = values.KEYS[key]
    assert reader is not None, key  # or the schema has a table there
    return schema.in_words(reader)


def _default(key: Key, *, lasts: bool) -> str:
    """Of a key; a float is a duration where the value ``lasts``."""
    value = "auto" if key == ("backend",) else _of_struct(key)
    if lasts and isinstance(value, float):
        return f'"{_duration(value)}"'
    return "" if value in ("", (), {}) or key[-1] in ("min_length", "min_entropy") else _toml(value)


def _of_struct(key: Key) -> Any:
    """The default value, of the value that the key ends in."""
    match key:
        case (("secrets" | "categories") as table, _, name):
            homes: list[Any] = [_STRUCTS[table]]
        case (service, *_, name) if hasattr(Settings(), service):
            homes = [type(getattr(Settings(), service)), TemplateSource]
        case (*_, name):
            homes = [Settings, Config]
    fields = [field for home in homes for field in _fields(home) if field.name == name]
    field = fields[0]
    return field.default if field.default is not NODEFAULT else field.default_factory()


def _fields(home: type[Any]) -> tuple[structs.FieldInfo, ...]:
    return structs.fields(home) if hasattr(home, "__struct_fields__") else ()


def _duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}m" if whole and whole % 60 == 0 and whole > 60 else f"{whole}s"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{ {', '.join(f'{name} = {_toml(one)}' for name, one in value.items())} }}"
    return str(value)
