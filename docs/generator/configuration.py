"""``configuration.md``: every key of ``[tool.envkit]``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from docs.generator.keys import NAME, Entry, entries, meaning_of
from docs.generator.markdown import bullet, code, document, prose
from envkit.config.values import TEMPLATE
from envkit.model import SERVICES

__all__ = ["alike", "link", "page"]


def _is_of_template(entry: Entry) -> bool:
    return entry.key[0] in SERVICES and entry.key[-1] in TEMPLATE


def _is_of_service(entry: Entry) -> bool:
    return entry.key[0] in SERVICES and entry.key[-1] not in TEMPLATE


def _is_below(table: str) -> Callable[[Entry], bool]:
    return lambda entry: len(entry.key) > 1 and entry.key[0] == table


#: Title, what it says first, and which keys belong there.
_SECTIONS: Final[Sequence[tuple[str, str, Callable[[Entry], bool]]]] = (
    ("General", "", lambda entry: len(entry.key) == 1),
    (
        "Services",
        "In the tables `[tool.envkit.postgres]`, `[tool.envkit.redis]` and"
        " `[tool.envkit.clickhouse]`.",
        _is_of_service,
    ),
    (
        "Templates",
        "In the same tables: what the databases of tests are copies of. Further templates have the"
        f" same keys in tables of their own, such as `[tool.envkit.postgres.templates.{NAME}]`;"
        f' tests ask for one with `template="{NAME}"`.',
        _is_of_template,
    ),
    ("Containers", "", _is_below("docker")),
    ("Servers that run already", "", _is_below("attach")),
    ("Secrets", "", _is_below("secrets")),
    ("Categories", "", _is_below("categories")),
)
_TABLES: Final = {
    "Containers": "docker",
    "Servers that run already": "attach",
    "Secrets": "secrets",
    "Categories": "categories",
}


def page() -> str:
    found = list(entries())
    return document(
        "Configuration",
        [
            prose(
                "All keys of `[tool.envkit]` in `pyproject.toml`. A file `envkit.toml` holds the"
                " same without that prefix: `[postgres]` instead of `[tool.envkit.postgres]`. None"
                " is needed."
            ),
            prose(
                "The command line goes over the [environment](environment.md), and that over the"
                " file. A key that does not exist is an error that names the nearest one."
            ),
            "\n".join(f"- [{title}](#{_anchor(title)})" for title, _, _ in _SECTIONS),
            *(part for section in _SECTIONS for part in _section(*section, found)),
        ],
    )


def _section(
    title: str, lead: str, belongs: Callable[[Entry], bool], found: Iterable[Entry]
) -> Iterator[str]:
    yield f"## {title}"
    if table := _TABLES.get(title):
        name = f".{NAME}" if table in ("secrets", "categories") else ""
        yield prose(f"`[tool.envkit.{table}{name}]`: {meaning_of(table)}")
    if lead:
        yield prose(lead)
    for those in alike(filter(belongs, found)):
        yield from _key(those)


def alike(found: Iterable[Entry]) -> list[list[Entry]]:
    """Keys that are the same in several tables, together."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in found:
        same = (entry.key[-1], entry.meaning, entry.takes, entry.default)
        groups.setdefault(same, []).append(entry)
    return list(groups.values())


def _key(those: Sequence[Entry]) -> Iterator[str]:
    first = those[0]
    yield f"### {_title(those)}"
    yield prose(first.meaning)
    facts = [("Takes", first.takes)]
    if first.default:
        facts.append(("Default", code(first.default)))
    if variables := [code(one.variable) for one in those if one.variable]:
        facts.append(("Variable", ", ".join(variables)))
    if examples := dict.fromkeys(code(text) for one in those for text in one.examples):
        facts.append(("Example", " or ".join(examples)))
    if len(those) > 1:
        facts.append(("Keys", ", ".join(code(one.dotted) for one in those)))
    yield "\n".join(bullet(text, label) for label, text in facts)


def link(those: Sequence[Entry]) -> str:
    """To what the page says of keys that are alike."""
    title = _title(those)
    return f"[{code(title)}](configuration.md#{_anchor(title)})"


def _title(those: Sequence[Entry]) -> str:
    services = {one.key[0] for one in those}
    first = those[0]
    return f"SERVICE.{first.key[-1]}" if len(services) > 1 else first.dotted


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return title.lower().replace(" ", "-").replace(".", "")
