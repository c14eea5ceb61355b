"""``[tool.envkit.secrets]`` and ``[tool.envkit.categories]``: what each entry may hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NoReturn

from msgspec import convert, structs

from envkit.config.answers import Answers
from envkit.config.values import (
    HOUR,
    Key,
    Reader,
    Wrong,
    boolean,
    duration,
    line,
    lines,
    markers,
    one_of,
)
from envkit.config.wording import KeyPath, nearest, show
from envkit.declared import ALGORITHMS, KINDS, PLACES, Category, Secret
from envkit.model import SERVICES

__all__ = ["CATEGORY", "EXAMPLES", "SECRET", "read_categories", "read_secrets"]

EXAMPLES: Final[dict[Key, str]] = {
    ("secrets",): "SERVICE_SECRET = { min_length = 32 }",
    ("categories",): 'database = { paths = ["tests/database"] }',
}
_ENTRIES: Final[dict[Key, str]] = {
    ("secrets",): "min_length = 32",
    ("categories",): 'paths = ["tests/database"]',
}
_CATEGORY_NAME: Final = (r"[A-Za-z_][A-Za-z0-9_.-]*", "letters, digits, '_', '.' and '-'")
_LONGEST: Final = 1 << 20
_DAY: Final = 24 * HOUR


def _places(value: object) -> tuple[str, ...]:
    example = '["ci", "local"]'
    if not isinstance(value, list):
        raise Wrong(value, f"a list of {' and '.join(PLACES)}", example)
    for index, item in enumerate(value):
        if item not in PLACES:
            raise Wrong(item, f"one of {', '.join(PLACES)}", example, at=(index,))
        if item in value[:index]:
            raise Wrong(item, "each place once", example, at=(index,))
    return tuple(place for place in PLACES if place in value)


def _min_length(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _LONGEST:
        raise Wrong(value, f"a number of bytes from 1 to {_LONGEST}", "32")
    return value


def _min_entropy(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared before it is converted: an integer may be too large for a float.
    if not number or not 0 < value <= 8 * _LONGEST:  # type: ignore[operator] # a number
        raise Wrong(value, f"a number of bits, more than 0 and at most {8 * _LONGEST}", "128")
    return float(value)  # type: ignore[arg-type] # a number


def _pattern(value: object) -> object:
    text = line(value)
    try:
        re.compile(str(text))
    except (re.error, RecursionError, OverflowError) as error:
        raise Wrong(
            value, f"a regular expression of Python's ({error})", "'[A-Za-z0-9_-]{43}'"
        ) from None
    return text


def _not_empty(reader: Reader, what: str, example: str) -> Reader:
    def read(value: object) -> object:
        if not (found := reader(value)):
            raise Wrong(value, what, example)
        return found

    return read


#: What a secret may be told: key to the reader of its value.
SECRET: Final[dict[str, Reader]] = {
    "kind": one_of(*KINDS),
    "algorithm": one_of(*ALGORITHMS),
    "one_of": _not_empty(
        lines("a value", '["staging", "test"]'), "at least one value", '["staging", "test"]'
    ),
    "min_length": _min_length,
    "min_entropy": _min_entropy,
    "pattern": _pattern,
    "required_in": _places,
    "differs_from": lines("the name of a secret", '["OTHER_SECRET"]'),
    "generate": boolean,
}

#: The same of a category.
CATEGORY: Final[dict[str, Reader]] = {
    "paths": lines("a path", '["tests/database"]'),
    "markers": markers,
    "needs": lines("a service or the name of a secret", '["postgres"]'),
    "after": lines("the name of a category", '["unit"]'),
    "args": lines("an argument for pytest", '["-x"]', repeated=True),
    "timeout": duration(_DAY, zero=True, example='"10m"'),
    "budget": duration(_DAY, zero=True, example='"2m"'),
    "allow_empty": boolean,
}


def read_secrets(answers: Answers, table: Key, value: object) -> dict[str, Secret]:
    """The declared secrets by name.

    Raises:
        ConfigInvalid: A value does not fit, alone or beside another.
        ConfigUnknownKey: A key that no secret has.
    """
    secrets = {}
    for name, item in answers.items(table, value, EXAMPLES[table]):
        key = (*table, name)
        answers.check_variable(key, name, EXAMPLES[table])
        secrets[name] = _secret(answers, key, _read(answers, key, item, SECRET, _ENTRIES[table]))
    for name, secret in secrets.items():
        others = [other for other in secrets if other != name]
        key = (*table, name, "differs_from")
        _check_names(answers, key, secret.differs_from, others, "another declared secret")
    return secrets


def _secret(answers: Answers, key: Key, fields: dict[str, Any]) -> Secret:
    if "algorithm" in fields and "one_of" in fields:
        wrong = Wrong(list(fields["one_of"]), "nothing beside algorithm", "")
        raise wrong.error(
            answers.place((*key, "one_of")), "remove one_of or algorithm", typed=False
        )
    for name, kind in (("algorithm", "jwt"), ("one_of", "one-of")):
        if name in fields and fields.setdefault("kind", kind) != kind:
            wrong = Wrong(fields["kind"], f'"{kind}", because {name} is there', f'"{kind}"')
            raise answers.wrong((*key, "kind"), wrong)
    if fields.get("kind") == "one-of" and "one_of" not in fields:
        wrong = Wrong("one-of", "one_of = [...] beside it", "")
        raise wrong.error(
            answers.place((*key, "kind")), 'write one_of = ["staging", "test"]', typed=False
        )
    if fields.get("kind") == "jwt":
        fields.setdefault("algorithm", "HS256")
    secret = convert(fields | {"name": key[-1]}, Secret)
    if "generate" not in fields:
        return structs.replace(secret, generate=secret.is_random_text)
    if secret.generate and not secret.is_random_text:
        expected = "false: envkit makes random text, and this secret is something else"
        raise answers.wrong((*key, "generate"), Wrong(True, expected, "false"))
    return secret


def read_categories(
    answers: Answers, table: Key, value: object, secrets: Mapping[str, Secret]
) -> dict[str, Category]:
    """The declared categories by name.

    Raises:
        ConfigInvalid: A value does not fit, or categories wait for each other.
        ConfigUnknownKey: A key that no category has.
    """
    categories = {}
    for name, item in answers.items(table, value, EXAMPLES[table]):
        key = (*table, name)
        answers.check_name(key, name, *_CATEGORY_NAME, EXAMPLES[table])
        fields = _read(answers, key, item, CATEGORY, _ENTRIES[table])
        categories[name] = convert(fields | {"name": name}, Category)
    for name, category in categories.items():
        key = (*table, name)
        needed = [*SERVICES, *secrets]
        _check_names(answers, (*key, "needs"), category.needs, needed, "a service or secret")
        others = [other for other in categories if other != name]
        _check_names(answers, (*key, "after"), category.after, others, "another category")
    _check_order(answers, table, categories)
    return categories


def _check_order(answers: Answers, table: Key, categories: Mapping[str, Category]) -> None:
    done: set[str] = set()

    def visit(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            _cycle(answers, table, (*waiting[waiting.index(name) :], name), categories)
        if name not in done:
            for other in categories[name].after:
                visit(other, (*waiting, name))
            done.add(name)

    for name in categories:
        visit(name, ())


def _cycle(
    answers: Answers, table: Key, round_trip: tuple[str, ...], categories: Mapping[str, Category]
) -> NoReturn:
    first, second = round_trip[:2]
    after = categories[first].after
    place: KeyPath = (*table, first, "after", after.index(second))
    kept = show([name for name in after if name != second])
    wrong = Wrong(second, f"no circle, and here is one: {' after '.join(round_trip)}", kept)
    raise wrong.error(answers.place(place), f"write after = {kept}", typed=False)


def _check_names(
    answers: Answers, key: Key, names: Collection[str], known: Collection[str], what: str
) -> None:
    for index, name in enumerate(names):
        if name not in known:
            guess = nearest(name, known)
            meant = [guess if other == name and guess else other for other in names]
            example = show([other for other in dict.fromkeys(meant) if other in known])
            listed = f"{what} ({', '.join(known)})" if known else f"{what}, and there is none"
            raise answers.wrong(key, Wrong(name, listed, example, at=(index,)))


def _read(
    answers: Answers, key: Key, value: object, readers: Mapping[str, Reader], example: str
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, item in answers.items(key, value, example):
        if name not in readers:
            answers.unknown(key, name, readers)
        try:
            fields[name] = readers[name](item)
        except Wrong as wrong:
            raise answers.wrong((*key, name), wrong) from None
    return fields
