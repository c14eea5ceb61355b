"""The table that is proposed for a project, and what speaks for each of its lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from envkit.init import known
from envkit.init.declared import secrets_named
from envkit.init.evidence import CONFIDENCES, Confidence, Evidence, examples, look
from envkit.init.migrations import Migration, migration_of
from envkit.init.sources import Read, Source, python_sources, reads
from envkit.init.writing import document_to_extend
from envkit.model import SERVICES, ServiceName

__all__ = ["Line", "Proposal", "propose"]

_DOUBTS: Final[dict[Confidence, str]] = {
    "certain": "",
    "likely": " (likely)",
    "guess": " (a guess: nothing names the database it runs on)",
}


class Line(Struct, frozen=True, kw_only=True):
    """One line of the proposed table.

    Attributes:
        reason: Why it is there, one line for each cause; headers and gaps need none.
    """

    text: str
    reason: str = ""


class Proposal(Struct, frozen=True, kw_only=True):
    """A table for a project that has none yet.

    Attributes:
        file: Where it goes; ``envkit.toml`` is made where there is no ``pyproject.toml``.
        found: Whether anything in the project spoke for a service; without that, all are proposed.
        notes: What was seen and left out, and why.
    """

    root: Path
    file: Path
    services: tuple[ServiceName, ...]
    lines: tuple[Line, ...]
    found: bool
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The TOML text, its lines ended by single line feeds."""
        return "".join(f"{line.text}\n" for line in self.lines)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every cause, in the order of the lines it stands for."""
        return tuple(reason for line in self.lines for reason in line.reason.splitlines())


def propose(root: Path) -> Proposal:
    """Look at a project and say what its table could be; nothing is written.

    Args:
        root: The project's directory.

    Raises:
        UsageError: envkit is configured here already.
        ConfigInvalid: ``pyproject.toml`` cannot be read or parsed.
    """
    root = root.resolve()
    document = document_to_extend(root)
    notes: list[str] = []
    sources = list(python_sources(root))
    read = reads(sources)
    evidence = list(look(root, document, sources, read, notes))
    chosen = _judge(evidence, notes)
    kept = _kept(evidence, chosen, notes)
    services = tuple(name for name in SERVICES if name in chosen) or SERVICES
    if chosen:
        reason = "\n".join(f"{name}: {chosen[name]}" for name in services)
    else:
        reason = (
            "services: nothing in the project names one of them, so all three are proposed;"
            " delete those it does not use"
        )
    prefix = "" if document is None else "tool.envkit."
    listed = ", ".join(f'"{name}"' for name in services)
    lines = [Line(text=f"services = [{listed}]", reason=reason)]
    if document is not None:
        lines.insert(0, Line(text="[tool.envkit]"))
    lines += _export_lines(kept, read, notes)
    lines += _env_lines(kept, prefix)
    if "postgres" in chosen:
        migration = migration_of(root, document, read, _leading(kept), sources, notes)
        lines += _postgres_lines(migration, prefix)
    lines += _secret_lines(root, sources, read, prefix)
    _note_versions(kept, notes)
    _note_drivers(kept, notes)
    _note_redis(kept, notes)
    for item in kept:
        if item.text.startswith(known.NATIVE_ONLY):
            notes.append(
                f"{item.text}: it speaks ClickHouse's native protocol, which needs a clickhouse"
                " program on PATH; the embedded extra serves HTTP only"
            )
    return Proposal(
        root=root,
        file=root / "envkit.toml" if document is None else document.path,
        services=services,
        lines=tuple(lines),
        found=bool(chosen),
        notes=tuple(dict.fromkeys(notes)),
    )


def _judge(evidence: list[Evidence], notes: list[str]) -> dict[ServiceName, str]:
    """Which services to propose, and why, from the strongest evidence down."""
    others = [item.text for item in evidence if item.service is None]
    chosen: dict[ServiceName, str] = {}
    for service in SERVICES:
        items = [item for item in evidence if item.service == service]
        items.sort(key=lambda item: CONFIDENCES.index(item.confidence))
        if not items:
            continue
        best = items[0].confidence
        texts = list(dict.fromkeys(item.text for item in items))
        if best == "guess" and others:
            notes.append(
                f"{service} is left out: {texts[0]} may need it, but the project names another"
                f" database ({others[0]})"
            )
            continue
        more = f"; and {len(texts) - 3} more" if len(texts) > 3 else ""
        chosen[service] = "; ".join(texts[:3]) + more + _DOUBTS[best]
    return chosen


def _kept(
    evidence: list[Evidence], chosen: Mapping[ServiceName, str], notes: list[str]
) -> list[Evidence]:
    """What speaks for the chosen services; with two databases a guess may mean the other one."""
    others = [item.text for item in evidence if item.service is None]
    kept = []
    for item in evidence:
        if item.service in chosen and item.variable and item.confidence == "guess" and others:
            notes.append(
                f"{item.text} is left out: it may be of {item.service}, but the project names"
                f" another database as well ({others[0]})"
            )
        elif item.service in chosen:
            kept.append(item)
    return kept


def _leading(evidence: list[Evidence]) -> set[str]:
    """The variables that say which database of Postgres is meant, and not just who comes."""
    return {
        item.variable
        for item in evidence
        if item.service == "postgres" and item.part.startswith(("url", "host", "database"))
    } - {""}


def _env_lines(evidence: list[Evidence], prefix: str) -> list[Line]:
    wanted: dict[str, tuple[str, str]] = {}
    for item in evidence:
        reference = (item.service, item.part)
        if item.variable and known.STANDARD.get(item.variable) != reference:
            where = item.text.removeprefix(f"{item.variable} in ") + item.remark
            earlier, _ = wanted.get(item.variable, ("", ""))
            # What names a scheme knows more.
            if not earlier or (" as " in item.part and " as " not in earlier):
                wanted[item.variable] = (f"{item.service}.{item.part}", where)
    if not wanted:
        return []
    pairs = [f'{name} = "{reference}"' for name, (reference, _) in wanted.items()]
    reasons = [f"env.{name}: {text}" for name, (_, text) in wanted.items()]
    inline = f"env = {{ {', '.join(pairs)} }}"
    if len(inline) <= 100:
        return [Line(text=inline, reason="\n".join(reasons))]
    return [
        Line(text=""),
        Line(text=f"[{prefix}env]"),
        *(Line(text=pair, reason=reason) for pair, reason in zip(pairs, reasons, strict=True)),
    ]


def _export_lines(evidence: list[Evidence], read: list[Read], notes: list[str]) -> list[Line]:
    """Whether the tests as they are find the services where their application looks for them."""
    ours = {item.variable for item in evidence if item.variable}
    looked = [one for one in read if one.name in ours]
    early = [one for one in looked if one.when != "call"]
    if early:
        names = len({one.name for one in early}) - 1
        more = f", and {names} more such" if names else ""
        when = "when it is imported" if early[0].when == "import" else "once, and keeps it"
        reason = f"export_env: {early[0].where} reads {early[0].name} {when}{more}"
        return [Line(text="export_env = true", reason=reason)]
    if looked:
        notes.append(
            f"{looked[0].where} reads {looked[0].name} when it is called: tests find a service of"
            " their own there with the fixture isolated_env; for tests as they are, add"
            " export_env = true"
        )
    return []


def _postgres_lines(found: Migration | None, prefix: str) -> list[Line]:
    if found is None:
        return []
    return [
        Line(text=""),
        Line(text=f"[{prefix}postgres]"),
        *(
            Line(text=f"{key} = {value}", reason=f"postgres.{key}: {reason}")
            for key, value, reason in found.keys
        ),
    ]


def _secret_lines(root: Path, sources: list[Source], read: list[Read], prefix: str) -> list[Line]:
    # What cannot be looked at was noted already.
    shown = {name: where for name, _, where in examples(root, [])}
    named = secrets_named(sources, shown, read)
    if not named:
        return []
    return [
        Line(text=""),
        Line(text=f"[{prefix}secrets]"),
        *(
            Line(text=f"{name} = {entry}", reason=f"secrets.{name}: named in {where}")
            for name, (entry, where) in named.items()
        ),
    ]


def _note_versions(evidence: list[Evidence], notes: list[str]) -> None:
    """Only a note: the servers of the embedded extra are of one version, and it may not fit."""
    for item in evidence:
        if item.version:
            notes.append(
                f"{item.text}: if your tests depend on that version of {item.service}, add"
                f' version = "{item.version}" to its table and have such a server on PATH, or an'
                " engine for containers"
            )


def _note_redis(evidence: list[Evidence], notes: list[str]) -> None:
    """What a lease has that a server of one's own has not: a password, a user, one database."""
    mapped = {item.variable: item.part for item in evidence if item.service == "redis"}
    mapped.pop("", None)
    parts = set(mapped.values())
    if "host" in parts and "password" not in parts:
        notes.append(
            "Redis has a password for tests: have your code read one, such as"
            ' os.environ.get("REDIS_PASSWORD"), and add REDIS_PASSWORD = "redis.password" to env'
        )
    if "host" in parts and "user" not in parts:
        notes.append(
            "Redis in a container is a user and a numbered database for each test; for code that"
            ' reads neither, add isolation = "server" to the table of redis'
        )
    urls = sorted(name for name, part in mapped.items() if part.startswith("url"))
    if len(urls) > 1:
        notes.append(
            f"{', '.join(urls)} lead to the same database of Redis in tests: FLUSHDB by one"
            " empties the other"
        )


def _note_drivers(evidence: list[Evidence], notes: list[str]) -> None:
    """SQLAlchemy takes psycopg2 for ``postgresql://``, whatever is installed."""
    named = {re.split(r"\[| in ", item.text)[0].lower().replace("_", "-") for item in evidence}
    drivers = [driver for driver in ("asyncpg", "psycopg", "pg8000") if driver in named]
    usual = [name for name in named if name.startswith("psycopg2")]
    if not drivers or usual or not named & {"sqlalchemy", "sqlmodel", "flask-sqlalchemy"}:
        return
    urls = [item for item in evidence if item.service == "postgres" and item.part.startswith("url")]
    said = {item.variable for item in urls if " as " in item.part}
    for item in urls:
        if item.variable and item.variable not in said:
            notes.append(
                f"{item.text}: if SQLAlchemy gets it as it is, it needs the name of its driver:"
                f' {item.variable} = "postgres.url as postgresql+{drivers[0]}" in env'
            )
