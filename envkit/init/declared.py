"""Secrets that a project names, as entries of ``[tool.envkit.secrets]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from envkit.init.sources import Read, Source

__all__ = ["secrets_named"]

#: Those whose meaning is plain from the name, looked for in the source as well.
_KNOWN: Final = {
    "SERVICE_SECRET": "{ min_length = 32 }",
    "JWT_SECRET": '{ algorithm = "HS256" }',
    "AUTH_SERVICE_URL": '{ kind = "url" }',
}
# Names in an example of .env that can mean nothing else; passwords belong to services.
_LIKE_SECRETS: Final = (
    (r"JWT_(?:\w+_)?SECRET(?:_KEY)?", '{ algorithm = "HS256" }'),
    (r"\w*_?PRIVATE_KEY", '{ kind = "pem" }'),
    # Of somebody else's: what envkit makes opens nothing there.
    (r"\w*_?(?:AUTH_TOKEN|API_KEY)", "{ generate = false }"),
    (r"\w*_?(?:SECRET|SECRET_KEY|SIGNING_KEY|ENCRYPTION_KEY)", "{}"),
)


def secrets_named(
    sources: Iterable[Source], examples: Mapping[str, str], read: Iterable[Read] = ()
) -> dict[str, tuple[str, str]]:
    """The secrets by name: the entry that each could have, and where it was seen.

    Args:
        sources: The project's Python files.
        examples: The names in its examples of ``.env``, and where they stand.
        read: What its Python files read. What has a default needs no entry, and what envkit could
            not make gets none.
    """
    examples = {
        one.name: one.where
        for one in read
        if one.default is None and "generate" not in _entry(one.name)
    } | dict(examples)
    found: dict[str, tuple[str, str]] = {}
    for name, where in examples.items():
        if entry := _entry(name):
            found[name] = (entry, where)
    missing = _KNOWN.keys() - found.keys()
    if missing:
        quoted = re.compile(rf"[\"']({'|'.join(sorted(missing))})[\"']")
        for source in sources:
            for name, line in _in_source(source, quoted):
                found.setdefault(name, (_KNOWN[name], f"{source.path}, line {line}"))
    return {name: found[name] for name in sorted(found)}


def _entry(name: str) -> str:
    return _KNOWN.get(name) or next(
        (entry for pattern, entry in _LIKE_SECRETS if re.fullmatch(pattern, name)), ""
    )


def _in_source(source: Source, quoted: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    for match in quoted.finditer(source.text):
        yield match[1], source.text.count("\n", 0, match.start()) + 1
