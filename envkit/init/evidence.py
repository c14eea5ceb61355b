"""What in a project speaks for a service; it is only read, and never run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from envkit.config import Document, KeyPath
from envkit.config.values import Wrong, reference
from envkit.init import known
from envkit.init.sources import Read, Source
from envkit.model import SERVICES, ServiceName

__all__ = ["CONFIDENCES", "Confidence", "Evidence", "examples", "look"]

Confidence: TypeAlias = Literal["certain", "likely", "guess"]
CONFIDENCES: Final[tuple[Confidence, ...]] = ("certain", "likely", "guess")
_LARGEST: Final = 1_000_000  # bytes; no file that people write by hand is larger

# Lists of requirements, or tables with names as their keys; a star stands for any group.
_DEPENDENCIES: Final = (
    "project.dependencies",
    "tool.uv.dev-dependencies",
    "project.optional-dependencies.*",
    "dependency-groups.*",
    "tool.pdm.dev-dependencies.*",
    "tool.poetry.dependencies",
    "tool.poetry.dev-dependencies",
    "tool.poetry.group.*.dependencies",
)
_REQUIREMENTS: Final = ("requirements*.txt", "requirements/*.txt")
_COMPOSE: Final = (
    "docker-compose*.yml",
    "docker-compose*.yaml",
    "compose*.yml",
    "compose*.yaml",
)
_EXAMPLES: Final = (".env.example", ".env.sample", ".env.template", ".env.dist")


class Evidence(Struct, frozen=True, kw_only=True):
    """One thing seen.

    Attributes:
        service: What it speaks for; None speaks for a database that envkit does not serve.
        version: A major version of Postgres, where an image names one.
        variable: An environment name the project reads ``part`` of the service from.
        part: As the configuration has it: a field, for a URL perhaps with another scheme.
        remark: What to know when that variable is set by envkit.
    """

    service: ServiceName | None
    confidence: Confidence
    text: str
    version: str = ""
    variable: str = ""
    part: str = "url"
    remark: str = ""


def look(
    root: Path, document: Document | None, sources: list[Source], read: list[Read], notes: list[str]
) -> Iterator[Evidence]:
    """All that is seen in a project; a file that cannot be read becomes a note.

    Args:
        root: The project's directory.
        document: Its ``pyproject.toml``.
        sources: Its Python files.
        read: What they read from the environment.
        notes: Where notes go.
    """
    if document is not None:
        yield from _in_pyproject(document)
    for path, number, line in _lines(root, notes, *_REQUIREMENTS):
        if not line.lstrip().startswith(("#", "-")):
            yield from _requirement(line, f"{path}, line {number}")
    yield from _in_frameworks(root, notes)
    names = {one.name for one in read}
    for path, number, line in _lines(root, notes, *_COMPOSE):
        yield from _image(line, f"{path}, line {number}")
        # Of the environments there, those variables that this project reads.
        match = re.match(r"[\s\"'-]*([A-Za-z_]\w*)[\"']?\s*[:=]\s*[\"']?([\w+]+://)", line)
        if match and match[1] in names:
            yield from _variable(match[1], match[2], f"{path}, line {number}")
    exemplified = set()
    for name, value, where in examples(root, notes):
        exemplified.add(name)
        yield from _variable(name, value, where)
    for source in sources:
        yield from _in_code(source)
    seen = set()
    for one in read:
        # A default shows the scheme, which an example without a value does not.
        if one.name not in seen and (one.name not in exemplified or "://" in (one.default or "")):
            seen.add(one.name)
            default = one.default or ""
            # SQLite is what many fall back to, and does not say what is meant else.
            yield from _variable(
                one.name, "" if default.startswith("sqlite") else default, one.where
            )


def examples(root: Path, notes: list[str]) -> Iterator[tuple[str, str, str]]:
    """What the examples of ``.env`` name: variable, value, and where it stands."""
    for path, number, line in _lines(root, notes, *_EXAMPLES):
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*[\"']?(.*)", line)
        if match and not match[1].startswith("ENVKIT_"):
            yield match[1], match[2], f"{path}, line {number}"


def _lines(root: Path, notes: list[str], *patterns: str) -> Iterator[tuple[str, int, str]]:
    for path in (path for pattern in patterns for path in sorted(root.glob(pattern))):
        try:
            if not path.is_file() or path.stat().st_size > _LARGEST:
                continue
            # Evidence only: a byte that is not UTF-8 spoils one word, not the search.
            text = path.read_bytes().decode("utf-8", errors="replace").removeprefix("\ufeff")
        except OSError as error:
            notes.append(f"{path.name} could not be looked at: {error.strerror or error}")
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield path.relative_to(root).as_posix(), number, line


def _in_pyproject(document: Document) -> Iterator[Evidence]:
    for pattern in _DEPENDENCIES:
        for path, items in _matching(document.data, pattern.split(".")):
            label = f"{document.path.name} {'.'.join(map(str, path)).removeprefix('project.')}"
            for key, requirement in _requirements(items):
                yield from _requirement(requirement, f"{label}, line {document.line((*path, key))}")


def _matching(data: Any, pattern: list[str], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if not pattern:
        yield path, data
    elif isinstance(data, dict):
        for key in data if pattern[0] == "*" else data.keys() & {pattern[0]}:
            yield from _matching(data[key], pattern[1:], (*path, key))


def _requirements(items: object) -> Iterator[tuple[str | int, str]]:
    if isinstance(items, list):
        yield from ((index, item) for index, item in enumerate(items) if isinstance(item, str))
    elif isinstance(items, dict):
        for name, value in items.items():
            extras = value.get("extras") if isinstance(value, dict) else None
            listed = ",".join(map(str, extras)) if isinstance(extras, list) else ""
            yield name, f"{name}[{listed}]"


def _requirement(requirement: str, where: str) -> Iterator[Evidence]:
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?", requirement)
    if match is None:
        return
    name, extras = match[1], [extra.strip() for extra in (match[2] or "").split(",")]
    normal = _normalised(name)
    if normal.startswith("envkit"):
        return
    says_postgres = False
    for service in SERVICES:
        if normal in known.DRIVERS[service]:
            yield Evidence(service=service, confidence="certain", text=f"{name} in {where}")
        for extra in extras:
            if re.fullmatch(known.EXTRAS[service], _normalised(extra)):
                says_postgres |= service == "postgres"
                text = f"{name}[{extra}] in {where}"
                yield Evidence(service=service, confidence="likely", text=text)
    if normal in known.ANY_DATABASE and not says_postgres:
        yield Evidence(service="postgres", confidence="guess", text=f"{name} in {where}")
    if normal in known.OTHER_DATABASE:
        yield Evidence(service=None, confidence="certain", text=f"{name} in {where}")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _in_frameworks(root: Path, notes: list[str]) -> Iterator[Evidence]:
    for _, number, line in _lines(root, notes, "alembic.ini"):
        match = re.match(r"sqlalchemy\.url\s*[=:]\s*(\w+)(?:\+\w+)?:", line)
        if match and match[1] in known.SCHEMES:
            text = f"the URL in alembic.ini, line {number}, is {match[1]}:"
            yield Evidence(service=known.SCHEMES[match[1]], confidence="certain", text=text)
            break
    else:
        if (root / "alembic.ini").is_file():
            yield Evidence(service="postgres", confidence="guess", text="alembic.ini")
    if any("django" in line for _, _, line in _lines(root, notes, "manage.py")):
        yield Evidence(service="postgres", confidence="guess", text="Django's manage.py")


def _in_code(source: Source) -> Iterator[Evidence]:
    for name, service in known.CODE.items():
        at = re.search(rf"[\"']{re.escape(name)}[\"']", source.text)
        if at:
            where = f"{source.path}, line {source.text.count(chr(10), 0, at.start()) + 1}"
            yield Evidence(service=service, confidence="certain", text=f"{name} in {where}")


def _image(line: str, where: str) -> Iterator[Evidence]:
    # A mapping's key on a line of its own, or inside braces; never in a comment.
    match = re.match(r"[^#]*?(?:^|[\s{,])[\"']?image[\"']?\s*:\s+(?:&\S+\s+)?(.*)", line)
    # Its value without quotes, comment and digest, with defaults filled in.
    value = match and re.match(r"\"([^\"]*)\"|'([^']*)'|((?:\$\{[^}]*\}|[^\s,}{])+)", match[1])
    if not value:
        return
    image = re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", value[value.lastindex or 0]).partition("@")[0]
    name, colon, tag = image.rpartition("/")[2].partition(":")
    if name in known.IMAGES:
        # Other images of Postgres have tags of their own, and the servers that come as wheels
        # follow other numbers than the images of Redis and ClickHouse.
        official = name in ("postgres", "postgresql")
        version = re.match(r"(\d{1,4})(?![A-Za-z0-9])", tag) if official else None
        yield Evidence(
            service=known.IMAGES[name],
            confidence="certain",
            text=f"image {name}{colon}{tag} in {where}",
            version=version[1] if version else "",
        )


def _variable(name: str, value: str, where: str) -> Iterator[Evidence]:
    # An example may hold a real password: of its value, only the scheme is ever repeated.
    words = name.upper().split("_")
    text = f"{name} in {where}"
    standard = known.STANDARD.get(name)
    named = next((known.NAMED[word] for word in words if word in known.NAMED), None)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9]*)(\+[A-Za-z0-9_]+)?://", value)
    if scheme:
        base = scheme[1].lower()
        if base in known.SCHEMES:
            service = known.SCHEMES[base]
            part, remark = _part_with_scheme(service, base, scheme[2] or "")
            yield Evidence(
                service=service,
                confidence="certain",
                text=text,
                variable=name,
                part=part,
                remark=remark,
            )
            return
        # ClickHouse is spoken to over HTTP; with any other scheme the variable is not for us.
        if not (named == "clickhouse" and base in ("http", "https")):
            return
    if standard is not None and name != "DATABASE_URL":
        yield Evidence(
            service=standard[0], confidence="certain", text=text, variable=name, part=standard[1]
        )
    elif words[-1] in ("URL", "URI", "DSN") and "REST" not in words:
        if named:
            yield Evidence(service=named, confidence="certain", text=text, variable=name)
        elif "DATABASE" in words or "DB" in words:
            yield Evidence(service="postgres", confidence="guess", text=text, variable=name)
    elif len(words) > 1 and words[-2] in known.NAMED and words[-1] in known.PARTS:
        yield Evidence(
            service=known.NAMED[words[-2]],
            confidence="likely",
            text=text,
            variable=name,
            part=known.PARTS[words[-1]],
        )
    elif len(words) > 1 and words[-2] in ("DB", "DATABASE"):
        part = known.PARTS.get(words[-1], "database" if words[-1] == "NAME" else "")
        if part and not known.OTHER_PRODUCTS.intersection(words):
            yield Evidence(
                service="postgres", confidence="guess", text=text, variable=name, part=part
            )


def _part_with_scheme(service: ServiceName | None, base: str, driver: str) -> tuple[str, str]:
    """What to set a variable to whose value has a scheme, and what to know of it."""
    if not driver and base not in ("postgis", "clickhousedb"):
        return "url", ""
    part = f"url as {base}{driver.lower()}"
    try:
        reference(f"{service}.{part}")
    except Wrong:
        return "url", f" (its value names {base}{driver}, which envkit's URL does not)"
    return part, f" (its value names {base}{driver})"
