"""JSON Schema of ``envkit.toml`` and of ``[tool.envkit]``, for editors.

Made from what the reader of the files itself goes by: the table of keys, the readers of their
values with what they were made with, and the docstrings of the values they end in. Nothing of this
is loaded at run time; the result is ``envkit.schema.json`` beside this file:

    python -m envkit.config.schema > envkit/config/envkit.schema.json

The schema takes all that the reader takes. It cannot know what depends on other places of a file:
names that must be declared elsewhere, circles of categories, a setting that is there twice.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from envkit import declared, model
from envkit.config import Config, answers, declarations, tables, values
from envkit.config.values import Key, Reader

__all__ = ["in_words", "schema", "text"]

Schema: TypeAlias = dict[str, Any]

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"


def schema() -> Schema:
    """Of the table; a file ``envkit.toml`` is that table."""
    return {
        "$schema": _DRAFT,
        "title": "envkit",
        "description": "Real Postgres, Redis and ClickHouse for tests: [tool.envkit] in"
        " pyproject.toml, or envkit.toml.",
        **_table((), _OF_TABLES | _documented(model.Settings) | _documented(Config)),
        "definitions": {"setting": _setting()},
    }


def text() -> str:
    """As it is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _table(table: Key, meanings: Mapping[str, str]) -> Schema:
    properties = {}
    for name in values.keys_of(table):
        found = _value((*table, name))
        meaning = meanings.get(name)
        properties[name] = ({"description": meaning} if meaning else {}) | found
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(key: Key) -> Schema:
    if reader := values.KEYS.get(key):
        return _of(reader)
    match key:
        case ("env",):
            return _named(answers.ENV_NAME[0], _of(values.reference), but="ENVKIT_")
        case ("secrets",):
            entry = _entry(declarations.SECRET, declared.Secret)
            return _named(answers.ENV_NAME[0], _consistent(entry), but="ENVKIT_")
        case ("categories",):
            entry = _entry(declarations.CATEGORY, declared.Category)
            return _named(declarations._CATEGORY_NAME[0], entry)
        case ("backend",):
            services = {service: _of(values.backend) for service in model.SERVICES}
            each = {"type": "object", "additionalProperties": False, "properties": services}
            shown = ["embedded", {"postgres": "docker", "redis": "embedded"}]
            return {"anyOf": [_of(values.backend), each], "examples": shown}
        case (_, "settings"):
            return {"type": "object", **_setting_names()}
        case (service, "templates"):
            known = values.keys_of((service, "templates", ""))
            readers = {name: values.TEMPLATE[name] for name in known}
            entry = _entry(readers, declared.TemplateSource)
            named = _named(tables._TEMPLATE_NAME[0], entry)
            named["propertyNames"]["not"] = {"const": declared.EMPTY}
            return named
    return _table(key, _TABLES.get(key[0], {}))


def _named(pattern: str, entry: Schema, but: str = "") -> Schema:
    """A table whose names are the user's."""
    names: Schema = {"pattern": _whole(f"(?!{but}){pattern}" if but else pattern)}
    return {"type": "object", "propertyNames": names, "additionalProperties": entry}


def _entry(readers: Mapping[str, Reader], struct: type[Any]) -> Schema:
    meanings = _documented(struct)
    properties = {
        name: ({"description": meanings[name]} if name in meanings else {}) | _of(reader)
        for name, reader in readers.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _consistent(secret: Schema) -> Schema:
    """With what the keys of one secret ask of each other."""
    rules = [
        {"if": {"required": ["algorithm"]}, "then": {"properties": {"kind": {"const": "jwt"}}}},
        {"if": {"required": ["one_of"]}, "then": {"properties": {"kind": {"const": "one-of"}}}},
        {
            "if": {"properties": {"kind": {"const": "one-of"}}, "required": ["kind"]},
            "then": {"required": ["one_of"]},
        },
        {"not": {"required": ["algorithm", "one_of"]}},
    ]
    return secret | {"allOf": rules}


def _setting_names() -> Schema:
    # TOML reads a dotted key as tables in tables, down to a value.
    return {
        "propertyNames": {"pattern": _whole(tables._SETTING_NAME[0])},
        "additionalProperties": {"$ref": "#/definitions/setting"},
    }


def _setting() -> Schema:
    deeper = {"type": "object", "minProperties": 1, **_setting_names()}
    return {"anyOf": [*_of(values.server_setting)["anyOf"], deeper]}


# -- from readers to schemas -----------------------------------------------------------------------


def _of(reader: Reader) -> Schema:
    """What a reader takes.

    Raises:
        KeyError: It is of a new kind, which `_KINDS` has to learn.
    """
    kind, made_with = _made(reader)
    example = made_with.get("example")
    return _KINDS[kind](made_with) | ({"examples": [_read(example)]} if example else {})


def in_words(reader: Reader) -> str:
    """What a reader takes, for people: "true or false"; words and values are in backticks.

    Raises:
        KeyError: It is of a new kind, which `_IN_WORDS` has to learn.
    """
    kind, made_with = _made(reader)
    return _IN_WORDS[kind](made_with)


def _made(reader: Reader) -> tuple[str, dict[str, Any]]:
    """Of which kind a reader is, and what it was made with."""
    kind, _, _ = getattr(reader, "__qualname__", "").partition(".")
    return kind, dict(inspect.getclosurevars(reader).nonlocals)


def _read(example: str) -> Any:
    """The value that a message shows as TOML has it."""
    return tomllib.loads(f"example = {example}")["example"]


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": _whole(pattern)}


def _whole(pattern: str) -> str:
    # A "$" alone also matches before a line end in some languages.
    return rf"^(?:{pattern})$(?!\n)"


def _numbers(least: float, most: float) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _more_than_zero(most: float) -> Schema:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": most}


def _list(item: Schema, *, unique: bool = True, least: int = 0) -> Schema:
    found: Schema = {"type": "array", "items": item}
    if least:
        found["minItems"] = least
    return found | ({"uniqueItems": True} if unique else {})


def _duration(made: Mapping[str, Any]) -> Schema:
    least = "minimum" if made["zero"] else "exclusiveMinimum"
    number = {"type": "number", least: 0, "maximum": made["longest"]}
    # Spaces around it are taken off.
    return {"anyOf": [_text(rf"\s*{values._DURATION}\s*"), number]}


def _words(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


_LINE: Final = _text(values._ONE_LINE)
_FILLED_LINE: Final = _text(rf"(?=.*\S){values._ONE_LINE}")
_LARGEST: Final = sys.float_info.max  # neither infinite nor not-a-number
_VERSION: Final[Schema] = {
    "anyOf": [_text(f"(?:{values._VERSION})?"), _numbers(0, 10**9 - 1)],
    "examples": ["18"],
}

#: How to describe each kind of reader: from what one was made with.
_KINDS: Final[dict[str, Callable[[Mapping[str, Any]], Schema]]] = {
    "services": lambda _: _list(_words(*model.SERVICES), least=1),
    "backend": lambda _: _words(*values._BACKENDS),
    "duration": _duration,
    "boolean": lambda _: {"type": "boolean"},
    "version": lambda _: _VERSION,
    "_versions": lambda _: (
        _list({"anyOf": [_text(values._VERSION), _numbers(0, 10**9 - 1)]}, least=1)
        | {"examples": [["17", "18"]]}
    ),
    "_text": lambda made: _text(made["pattern"]),
    "server_setting": lambda _: {
        "anyOf": [
            _LINE,
            # JSON does not tell 2.0 from 2, so the limit of integers is not for it.
            {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
            {"type": "boolean"},
        ]
    },
    "_url": lambda _: {"type": "string", "examples": ["postgresql://user@localhost/test"]},
    "one_of": lambda made: _words(*made["words"]),
    "_targets": lambda _: (
        _list(_text(r"[^\s\x00]+"), unique=False) | {"examples": [["db.example/app_test"]]}
    ),
    "lines": lambda made: _list(_FILLED_LINE, unique=not made["repeated"]),
    "count": lambda made: _numbers(made["least"], made["most"]),
    "_names": lambda made: _of(made["read"]),
    "_seed": lambda _: {"anyOf": [_LINE, _list(_FILLED_LINE)], "examples": [["db/seed.sql"]]},
    "_not_empty": lambda made: _of(made["reader"]) | {"minItems": 1},
    "_places": lambda _: _list(_words(*declared.PLACES)),
    "_min_length": lambda _: _numbers(1, declarations._LONGEST) | {"examples": [32]},
    "_min_entropy": lambda _: _more_than_zero(8 * declarations._LONGEST),
    "_pattern": lambda _: _LINE | {"examples": ["[A-Za-z0-9_-]{43}"]},
}


def _one_of(words: Sequence[str]) -> str:
    return f"one of {', '.join(f'`{word}`' for word in words)}"


def _lasting(made: Mapping[str, Any]) -> str:
    least = "" if made["zero"] else "more than 0 s, "
    return (
        'a duration such as `"250ms"`, `"30s"`, `"5m"` or `"1h"`, or a number of seconds;'
        f" {least}at most {_span(made['longest'])}"
    )


def _span(seconds: float) -> str:
    hours = round(seconds / values.HOUR)
    return f"{hours // 24} days" if hours > 24 else f"{hours} hour{'s' if hours > 1 else ''}"


def _counted(made: Mapping[str, Any]) -> str:
    return f"a whole number from {made['least']} to {made['most']}"


#: How people are told of each kind of reader.
_IN_WORDS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "services": lambda _: f"a list, each {_one_of(model.SERVICES)}",
    "backend": lambda _: f"{_one_of(values._BACKENDS)}; or a table with one of them for a service",
    "duration": _lasting,
    "boolean": lambda _: "`true` or `false`",
    "version": lambda _: 'a string such as `"18"` or `"18.6"`, or a whole number',
    "_versions": lambda _: "a list, each a version",
    "_text": lambda made: _quoted(made["expected"]),
    "server_setting": lambda _: "a string, a number, `true` or `false`",
    "_url": lambda _: "a URL",
    "one_of": lambda made: _one_of(made["words"]),
    "_targets": lambda _: "a list, each a pattern",
    "lines": lambda made: f"a list, each {made['what']}",
    "count": _counted,
    "_names": lambda made: f"a list, each {made['what']}",
    "_seed": lambda _: "a list, each the path of a file; or a command of one line",
    "_not_empty": lambda made: in_words(made["reader"]),
    "_places": lambda _: f"a list, each {_one_of(declared.PLACES)}",
    "_min_length": lambda _: "a whole number of bytes",
    "_min_entropy": lambda _: "a number of bits",
    "_pattern": lambda _: "a regular expression",
}


def _quoted(expected: str) -> str:
    return re.sub(r'"[^"]*"', lambda found: f"`{found[0]}`", expected)


# -- what keys mean --------------------------------------------------------------------------------


def _documented(struct: type[Any]) -> dict[str, str]:
    """Attributes and what the docstring says of them, base classes' included."""
    found: dict[str, str] = {}
    for one in reversed(struct.__mro__):
        _, _, attributes = inspect.cleandoc(one.__dict__.get("__doc__") or "").partition(
            "Attributes:\n"
        )
        for match in re.finditer(r"^    (\w+): ((?:.+\n?(?:        .*\n?)*))", attributes, re.M):
            words = " ".join(match[2].split()).replace("``", "`")
            found[match[1]] = words[0].upper() + words[1:]
    return found


# Tables of tables, which no docstring is about.
_OF_TABLES: Final[dict[str, str]] = {
    "docker": "How containers are made, for what the backend docker serves.",
    "attach": "Servers that run already, for what the backend attach serves.",
    **{
        name: f"What {name} is like, and what its templates are made from."
        for name in model.SERVICES
    },
}
_TEMPLATES: Final = {"templates": "Further templates by name, for tests that ask for one."}
_TABLES: Final[dict[str, dict[str, str]]] = {
    "docker": _documented(model.DockerSettings),
    "attach": _documented(model.AttachSettings),
    "postgres": _TEMPLATES
    | _documented(declared.TemplateSource)
    | _documented(model.PostgresSettings),
    "redis": _TEMPLATES | _documented(declared.TemplateSource) | _documented(model.RedisSettings),
    "clickhouse": _TEMPLATES
    | _documented(declared.TemplateSource)
    | _documented(model.ServiceSettings),
}


if __name__ == "__main__":
    sys.stdout.write(text())
