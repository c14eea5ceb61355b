"""What ``envkit init`` proposes for a project, and how it gets into its file.

`propose` only reads: dependencies, compose files, example environments and the marks that Alembic
and Django leave. Every line of the proposal says what spoke for it, and how sure that is. `write`
appends the table and leaves every other byte of the file as it was.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from .config import Document, KeyPath, read_document
from .errors import ConfigInvalid, UsageError
from .model import SERVICES, ServiceName

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "Proposal", "propose", "write"]

Confidence = Literal["certain", "likely", "guess"]
_ORDER: Final[tuple[Confidence, ...]] = ("certain", "likely", "guess")
_LARGEST: Final = 1_000_000  # bytes; no file that people write by hand is larger


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


class _Evidence(Struct, frozen=True, kw_only=True):
    """One thing seen.

    Attributes:
        service: What it speaks for; None speaks for a database that envkit does not serve.
        version: A major version, where an image names one.
        variable: An environment name the project reads ``part`` of the service from.
    """

    service: ServiceName | None
    confidence: Confidence
    text: str
    version: str = ""
    variable: str = ""
    part: str = "url"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Normalised distribution names. A driver is proof; what also runs on other databases says little.
_DRIVERS: Final[dict[ServiceName, frozenset[str]]] = {
    "postgres": _names(
        "psycopg psycopg-binary psycopg-c psycopg-pool psycopg2 psycopg2-binary psycopg2cffi"
        " asyncpg aiopg pg8000 pgvector pytest-postgresql pgtestdb procrastinate"
    ),
    "redis": _names(
        "redis valkey aioredis hiredis coredis valkey-glide rq rq-scheduler arq django-redis"
        " django-rq django-valkey channels-redis flask-redis redis-om redis-py-cluster"
        " taskiq-redis pytest-redis"
    ),
    "clickhouse": _names(
        "clickhouse-connect clickhouse-driver asynch aiochclient clickhouse-sqlalchemy"
        " clickhouse-pool infi-clickhouse-orm django-clickhouse-backend dbt-clickhouse"
    ),
}
_ANY_DATABASE: Final = _names(
    "sqlalchemy sqlmodel flask-sqlalchemy alembic django tortoise-orm peewee databases"
)
_OTHER_DATABASE: Final = _names(
    "mysqlclient pymysql aiomysql asyncmy mysql-connector-python mariadb oracledb cx-oracle"
    " pyodbc aioodbc pymssql python-tds"
)
# As in celery[redis], sqlalchemy[postgresql-asyncpg], testcontainers[clickhouse].
_EXTRAS: Final[dict[ServiceName, str]] = {
    "postgres": r"postgres(?:ql)?(?:-.*)?|psycopg.*|asyncpg",
    "redis": r"redis|valkey|hiredis",
    "clickhouse": r"clickhouse(?:-.*)?",
}
_IMAGES: Final[dict[str, ServiceName]] = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "postgis": "postgres",
    "pgvector": "postgres",
    "timescaledb": "postgres",
    "redis": "redis",
    "redis-stack": "redis",
    "redis-stack-server": "redis",
    "valkey": "redis",
    "clickhouse": "clickhouse",
    "clickhouse-server": "clickhouse",
}
# Images whose tag is the server's version, and not that of an extension or a bundle.
_VERSIONED: Final = _names("postgres postgresql redis valkey clickhouse clickhouse-server")
_SCHEMES: Final[dict[str, ServiceName | None]] = {
    **dict.fromkeys(("postgres", "postgresql", "pgsql", "postgis"), "postgres"),
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys"), "redis"),
    **dict.fromkeys(("clickhouse", "clickhouses"), "clickhouse"),
    **dict.fromkeys(("mysql", "mariadb", "sqlite", "oracle", "mssql", "cockroachdb"), None),
}
_NAMED: Final[dict[str, ServiceName]] = {
    **dict.fromkeys(("POSTGRES", "POSTGRESQL", "PG", "PSQL"), "postgres"),
    **dict.fromkeys(("REDIS", "VALKEY"), "redis"),
    "CLICKHOUSE": "clickhouse",
}
_PARTS: Final[dict[str, str]] = {
    **dict.fromkeys(("HOST", "HOSTNAME", "SERVER"), "host"),
    "PORT": "port",
    **dict.fromkeys(("USER", "USERNAME"), "user"),
    **dict.fromkeys(("PASSWORD", "PASS"), "password"),
    **dict.fromkeys(("DB", "DATABASE", "DBNAME"), "database"),
}
# What envkit sets anyway, so that it needs no line of its own.
_STANDARD: Final[dict[str, tuple[ServiceName, str]]] = {
    "DATABASE_URL": ("postgres", "url"),
    "PGHOST": ("postgres", "host"),
    "PGPORT": ("postgres", "port"),
    "PGUSER": ("postgres", "user"),
    "PGPASSWORD": ("postgres", "password"),
    "PGDATABASE": ("postgres", "database"),
    "REDIS_URL": ("redis", "url"),
    "CLICKHOUSE_URL": ("clickhouse", "url"),
    "CLICKHOUSE_HOST": ("clickhouse", "host"),
    "CLICKHOUSE_PORT": ("clickhouse", "port"),
    "CLICKHOUSE_USER": ("clickhouse", "user"),
    "CLICKHOUSE_PASSWORD": ("clickhouse", "password"),
    "CLICKHOUSE_DATABASE": ("clickhouse", "database"),
}
_EXAMPLES: Final = (".env.example", ".env.sample", ".env.template", ".env.dist")


def propose(root: Path) -> Proposal:
    """Look at a project and say what its table could be; nothing is written.

    Args:
        root: The project's directory.

    Raises:
        UsageError: envkit is configured here already.
        ConfigInvalid: ``pyproject.toml`` cannot be read or parsed.
    """
    root = root.resolve()
    document = _document_to_extend(root)
    notes: list[str] = []
    evidence = [
        *(_in_pyproject(document) if document is not None else ()),
        *_in_requirements(root, notes),
        *_in_pipfile(root, notes),
        *_in_setup_cfg(root, notes),
        *_in_frameworks(root, notes),
        *_in_compose_files(root, notes),
        *_in_examples(root, notes),
    ]
    chosen = _judge(evidence, notes)
    kept = [item for item in evidence if item.service in chosen]
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
    lines += _env_lines(kept, prefix)
    lines += _version_lines(kept, prefix, notes)
    return Proposal(
        root=root,
        file=root / "envkit.toml" if document is None else document.path,
        services=services,
        lines=tuple(lines),
        found=bool(chosen),
        notes=tuple(dict.fromkeys(notes)),
    )


def write(proposal: Proposal) -> Path:
    """Put the table into its file and return the file.

    ``pyproject.toml`` is replaced at once by a file with the same mode whose beginning is, byte
    for byte, the old one. A symbolic link stays one; what it points to is replaced.

    Raises:
        UsageError: envkit has been configured here since the proposal was made.
        ConfigInvalid: The file cannot be read, written, or extended by a table.
    """
    document = _document_to_extend(proposal.root)
    try:
        if document is None:
            return _create(proposal)
        return _extend(document, proposal)
    except OSError as error:
        raise ConfigInvalid(
            f"{proposal.file} cannot be written: {error.strerror or error}",
            hint=f"add this to it yourself:\n{proposal.table}",
        ) from None


def _document_to_extend(root: Path) -> Document | None:
    own = root / "envkit.toml"
    if own.exists() or own.is_symlink():
        raise _already(f"{own.name}:1")
    project = root / "pyproject.toml"
    if not project.is_file():
        return None
    document = read_document(project, prefix=("tool", "envkit"))
    if document.table is not None:
        raise _already(document.where(()))
    return document


def _already(where: str) -> UsageError:
    return UsageError(
        f"already configured at {where}", hint="edit it there, or remove it and try again"
    )


def _create(proposal: Proposal) -> Path:
    try:
        with proposal.file.open("xb") as file:
            file.write(proposal.table.encode())
    except FileExistsError:
        raise _already(f"{proposal.file.name}:1") from None
    return proposal.file


def _extend(document: Document, proposal: Proposal) -> Path:
    import tomllib

    target = document.path.resolve()
    before = target.read_bytes()
    newline = b"\r\n" if 2 * before.count(b"\r\n") > before.count(b"\n") else b"\n"
    gap = b""
    if before.removeprefix(b"\xef\xbb\xbf"):
        gap = newline if before.endswith(b"\n") else 2 * newline
    after = before + gap + proposal.table.encode().replace(b"\n", newline)
    try:
        result = tomllib.loads(after.decode().removeprefix("\ufeff"))
    except ValueError as error:
        # "tool" may be an inline table, which TOML does not let anyone extend.
        raise ConfigInvalid(
            f"{document.path.name}:{document.line(('tool',))}: the file cannot take a table"
            f" [tool.envkit]: {error}",
            hint="write tool as [tool.…] tables, or put these tables into envkit.toml without the"
            f" prefix:\n{proposal.table}",
        ) from None
    assert result["tool"]["envkit"] == tomllib.loads(proposal.table)["tool"]["envkit"]
    _replace(target, after)
    return document.path


def _replace(target: Path, content: bytes) -> None:
    if not os.access(target, os.W_OK):
        # The directory may allow a replacement that the file's own mode forbids.
        raise PermissionError(13, "Permission denied")
    status = target.stat()
    descriptor, name = tempfile.mkstemp(prefix=".envkit-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                # Only root can give a file away; for others it becomes theirs, as on any save.
                with suppress(PermissionError):
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _judge(evidence: list[_Evidence], notes: list[str]) -> dict[ServiceName, str]:
    """Which services to propose, and why, from the strongest evidence down."""
    others = [item.text for item in evidence if item.service is None]
    chosen: dict[ServiceName, str] = {}
    for service in SERVICES:
        texts: list[str] = []
        best: Confidence = "guess"
        for confidence in reversed(_ORDER):
            found = [
                item.text
                for item in evidence
                if item.service == service and item.confidence == confidence
            ]
            if found:
                texts, best = found + texts, confidence
        if not texts:
            continue
        texts = list(dict.fromkeys(texts))
        if best == "guess" and others:
            notes.append(
                f"{service} is left out: {texts[0]} may need it, but the project names another"
                f" database ({others[0]})"
            )
            continue
        reason = "; ".join(texts[:3])
        if len(texts) > 3:
            reason += f"; and {len(texts) - 3} more"
        if best == "guess":
            reason += " (a guess: nothing names the database it runs on)"
        elif best == "likely":
            reason += " (likely)"
        chosen[service] = reason
    return chosen


def _env_lines(evidence: list[_Evidence], prefix: str) -> list[Line]:
    wanted: dict[str, tuple[str, str]] = {}
    for item in evidence:
        reference = (item.service, item.part)
        if item.variable and _STANDARD.get(item.variable) != reference:
            wanted.setdefault(item.variable, (f"{item.service}.{item.part}", item.text))
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


def _version_lines(evidence: list[_Evidence], prefix: str, notes: list[str]) -> list[Line]:
    lines: list[Line] = []
    for service in SERVICES:
        named = [item for item in evidence if item.service == service and item.version]
        versions = list(dict.fromkeys(item.version for item in named))
        if len(versions) > 1:
            seen = "; ".join(item.text for item in named)
            notes.append(f"{service}: no version is proposed, because the images differ ({seen})")
        elif versions:
            lines += [
                Line(text=""),
                Line(text=f"[{prefix}{service}]"),
                Line(
                    text=f'version = "{versions[0]}"',
                    reason=f"{service}.version: {named[0].text}",
                ),
            ]
    return lines


def _text(path: Path, notes: list[str]) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        # Evidence only: a byte that is not UTF-8 spoils one word, not the search.
        return path.read_bytes().decode("utf-8", errors="replace").removeprefix("\ufeff")
    except OSError as error:
        notes.append(f"{path.name} could not be looked at: {error.strerror or error}")
        return None


def _requirement(requirement: str, where: str) -> Iterator[_Evidence]:
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?", requirement)
    if match:
        extras = [extra.strip() for extra in (match[2] or "").split(",")]
        yield from _package(match[1], extras, where)


def _package(name: str, extras: list[str], where: str) -> Iterator[_Evidence]:
    normal = _normalised(name)
    if normal.startswith("envkit"):
        return
    says_postgres = False
    for service in SERVICES:
        if normal in _DRIVERS[service]:
            yield _Evidence(service=service, confidence="certain", text=f"{name} in {where}")
        for extra in extras:
            if re.fullmatch(_EXTRAS[service], _normalised(extra)):
                says_postgres |= service == "postgres"
                yield _Evidence(
                    service=service, confidence="likely", text=f"{name}[{extra}] in {where}"
                )
    if normal in _ANY_DATABASE and not says_postgres:
        yield _Evidence(service="postgres", confidence="guess", text=f"{name} in {where}")
    if normal in _OTHER_DATABASE:
        yield _Evidence(service=None, confidence="certain", text=f"{name} in {where}")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _at(data: object, *path: str) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _in_pyproject(document: Document) -> Iterator[_Evidence]:
    data = document.data
    lists: list[tuple[str, ...]] = [("project", "dependencies"), ("tool", "uv", "dev-dependencies")]
    tables: list[tuple[str, ...]] = [
        ("tool", "poetry", "dependencies"),
        ("tool", "poetry", "dev-dependencies"),
    ]
    for parent in (
        ("project", "optional-dependencies"),
        ("dependency-groups",),
        ("tool", "pdm", "dev-dependencies"),
    ):
        lists += [(*parent, group) for group in _keys(_at(data, *parent))]
    tables += [
        ("tool", "poetry", "group", group, "dependencies")
        for group in _keys(_at(data, "tool", "poetry", "group"))
    ]
    for path in lists:
        label = ".".join(path).removeprefix("project.")
        items = _at(data, *path)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, str):
                yield from _requirement(item, _place(document, label, (*path, index)))
    for path in tables:
        yield from _in_table(document, path)


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _in_table(document: Document, path: tuple[str, ...]) -> Iterator[_Evidence]:
    table = _at(document.data, *path)
    for name in _keys(table):
        extras = _at(table[name], "extras")
        listed = (
            [extra for extra in extras if isinstance(extra, str)]
            if isinstance(extras, list)
            else []
        )
        yield from _package(name, listed, _place(document, ".".join(path), (*path, name)))


def _place(document: Document, label: str, path: KeyPath) -> str:
    return f"{document.path.name} {label}, line {document.line(path)}"


def _in_requirements(root: Path, notes: list[str]) -> Iterator[_Evidence]:
    for path in _files(root, "requirements*.txt", "requirements/*.txt"):
        for number, line in enumerate((_text(path, notes) or "").splitlines(), 1):
            if not line.lstrip().startswith(("#", "-")):
                name = path.relative_to(root).as_posix()
                yield from _requirement(line, f"{name}, line {number}")


def _files(root: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


def _in_pipfile(root: Path, notes: list[str]) -> Iterator[_Evidence]:
    path = root / "Pipfile"
    if not path.is_file():
        return
    try:
        document = read_document(path)
    except ConfigInvalid as error:
        notes.append(f"Pipfile could not be looked at: {error.observed}")
        return
    yield from _in_table(document, ("packages",))
    yield from _in_table(document, ("dev-packages",))


def _in_setup_cfg(root: Path, notes: list[str]) -> Iterator[_Evidence]:
    section = key = ""
    for number, line in enumerate((_text(root / "setup.cfg", notes) or "").splitlines(), 1):
        if header := re.match(r"\[([^\]]*)\]", line):
            section, key = header[1].strip(), ""
            continue
        requirement = line
        # A line that is not indented begins a new key.
        if assignment := re.match(r"([A-Za-z0-9_.-]+)\s*[=:](.*)", line):
            key, requirement = assignment[1], assignment[2]
        if (section == "options" and key in ("install_requires", "tests_require")) or (
            section == "options.extras_require" and key
        ):
            yield from _requirement(requirement, f"setup.cfg {key}, line {number}")


def _in_frameworks(root: Path, notes: list[str]) -> Iterator[_Evidence]:
    for number, line in enumerate((_text(root / "alembic.ini", notes) or "").splitlines(), 1):
        match = re.match(r"sqlalchemy\.url\s*[=:]\s*(\w+)(?:\+\w+)?:", line)
        if match and match[1] in _SCHEMES:
            service = _SCHEMES[match[1]]
            yield _Evidence(
                service=service,
                confidence="certain",
                text=f"the URL in alembic.ini, line {number}, is {match[1]}:",
            )
            break
    else:
        if (root / "alembic.ini").is_file():
            yield _Evidence(service="postgres", confidence="guess", text="alembic.ini")
    if "django" in (_text(root / "manage.py", notes) or ""):
        yield _Evidence(service="postgres", confidence="guess", text="Django's manage.py")


def _in_compose_files(root: Path, notes: list[str]) -> Iterator[_Evidence]:
    files = _files(
        root,
        *(f"{stem}*.{end}" for stem in ("docker-compose", "compose") for end in ("yml", "yaml")),
    )
    for path in files:
        for number, line in enumerate((_text(path, notes) or "").splitlines(), 1):
            # A mapping's key on a line of its own, or inside braces; never in a comment.
            match = re.match(r"[^#]*?(?:^|[\s{,])[\"']?image[\"']?\s*:\s+(.*)", line)
            image = _image(match[1]) if match else ""
            name, _, tag = image.rpartition("/")[2].partition(":")
            service = _IMAGES.get(name)
            if service is None:
                continue
            version = re.match(r"(\d{1,4})(?![A-Za-z0-9])", tag) if name in _VERSIONED else None
            yield _Evidence(
                service=service,
                confidence="certain",
                text=f"image {name}{':' if tag else ''}{tag} in {path.name}, line {number}",
                version=version[1] if version else "",
            )


def _image(value: str) -> str:
    """The image of a YAML value: without anchor, quotes, comment and digest, defaults filled in."""
    match = re.match(r"(?:&\S+\s+)?(?:\"([^\"]*)\"|'([^']*)'|(?:\$\{[^}]*\}|[^\s,}{])+)", value)
    if match is None:
        return ""
    text = match[1] or match[2] or re.sub(r"^&\S+\s+", "", match[0])
    text = re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)
    return text.partition("@")[0]


def _in_examples(root: Path, notes: list[str]) -> Iterator[_Evidence]:
    for path in (root / name for name in _EXAMPLES):
        for number, line in enumerate((_text(path, notes) or "").splitlines(), 1):
            match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*[\"']?(.*)", line)
            if match and not match[1].startswith("ENVKIT_"):
                yield from _variable(match[1], match[2], f"{path.name}, line {number}")


def _variable(name: str, value: str, where: str) -> Iterator[_Evidence]:
    # An example may hold a real password: of its value, only the scheme is ever repeated.
    words = name.upper().split("_")
    text = f"{name} in {where}"
    standard = _STANDARD.get(name)
    named = next((_NAMED[word] for word in words if word in _NAMED), None)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9]*)(\+[A-Za-z0-9]+)?://", value)
    if scheme:
        base = scheme[1].lower()
        if base in _SCHEMES:
            dialect = f" (its value names {scheme[1]}{scheme[2]}, the URL does not)"
            yield _Evidence(
                service=_SCHEMES[base],
                confidence="certain",
                text=text + (dialect if scheme[2] and _SCHEMES[base] else ""),
                variable=name,
            )
            return
        # ClickHouse is spoken to over HTTP; with any other scheme the variable is not for us.
        if not (named == "clickhouse" and base in ("http", "https")):
            return
    if standard is not None and name != "DATABASE_URL":
        yield _Evidence(
            service=standard[0], confidence="certain", text=text, variable=name, part=standard[1]
        )
    elif words[-1] in ("URL", "URI", "DSN"):
        if named:
            yield _Evidence(service=named, confidence="certain", text=text, variable=name)
        elif "DATABASE" in words or "DB" in words:
            yield _Evidence(service="postgres", confidence="guess", text=text, variable=name)
    elif len(words) > 1 and words[-2] in _NAMED and words[-1] in _PARTS:
        yield _Evidence(
            service=_NAMED[words[-2]],
            confidence="likely",
            text=text,
            variable=name,
            part=_PARTS[words[-1]],
        )
