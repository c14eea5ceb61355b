"""What the doctor can mend itself: only what is safe, each shown before and verified after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from msgspec import Struct

from envkit.config import Config
from envkit.doctor.model import Finding, Report
from envkit.dsn import Dsn, read
from envkit.errors import DsnMalformed, LeaseFailed
from envkit.guard import why_not
from envkit.model import ServiceName

__all__ = ["Remedy", "remedies"]


class Remedy(Struct, frozen=True, kw_only=True):
    """One thing that can be mended.

    Attributes:
        what: What would be done, for whoever has to agree.
        apply: Does it, and says in words what was done. Raises `EnvkitError` if it fails.
    """

    what: str
    apply: Callable[[], str]


def remedies(report: Report, config: Config) -> tuple[Remedy, ...]:
    """Those for the findings of a report, the root causes first, each once."""
    found: dict[str, Remedy] = {}
    for finding in _all(report.findings):
        make = _REMEDIES.get(finding.slug)
        remedy = make(finding, config) if make else None
        if remedy is not None:
            found.setdefault(remedy.what, remedy)
    return tuple(found.values())


def _all(findings: Iterable[Finding]) -> Iterable[Finding]:
    for finding in findings:
        yield finding
        yield from finding.consequences


def _missing_database(finding: Finding, config: Config) -> Remedy | None:
    """Only where leases may be made anyway: on a server that looks like a test's, or is allowed."""
    target = _target(finding.service, config)
    if target is None or not target.database or why_not(target, config.settings.attach.allow):
        return None
    return Remedy(
        what=f"create the database {target.database!r} at {target.where}",
        apply=partial(_CREATE[target.service], target),
    )


def _target(service: ServiceName | None, config: Config) -> Dsn | None:
    if service not in _CREATE:
        return None
    table = config.settings.of(service)
    if not table.url:
        return None
    try:
        return read(service, table.url, table.url_origin)
    except DsnMalformed:
        return None


def _create_postgres(target: Dsn) -> str:
    from psycopg import Error, sql

    from envkit.services.attached import load
    from envkit.services.postgres_sessions import connected

    address = load("postgres").address(target, "")
    try:
        with connected(address, dbname="postgres") as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {}").format(sql.Identifier(target.database))
            )
    except Error as error:
        raise _failed(target, str(error)) from None
    return f"created the database {target.database!r} at {target.where}"


def _create_clickhouse(target: Dsn) -> str:
    from msgspec import structs

    from envkit.services.attached import load
    from envkit.services.clickhouse import query

    address = load("clickhouse").address(target, "")
    quoted = target.database.replace("\\", "\\\\").replace("`", "\\`")
    try:
        query(structs.replace(address, database=""), 10, f"CREATE DATABASE `{quoted}`")
    except OSError as error:
        raise _failed(target, str(error)) from None
    return f"created the database {target.database!r} at {target.where}"


def _failed(target: Dsn, words: str) -> LeaseFailed:
    return LeaseFailed(
        f"the database {target.database!r} could not be created at {target.where}",
        detail=words,
        hint="as an administrator of that server, create it",
    )


def _leftovers(_: Finding, config: Config) -> Remedy:
    return Remedy(
        what="remove what dead runs of envkit left behind (envkit prune)",
        apply=partial(_prune, config),
    )


def _prune(config: Config) -> str:
    from envkit.keeper.prune import prune

    settings = config.settings
    done = prune(data_dir=settings.data_dir, settings=settings, root=str(config.root))
    return "\n".join(f"removed {one}" for one in done.removed) or "nothing was left any more"


def _missing_secret(finding: Finding, config: Config) -> Remedy | None:
    if not finding.fix.command:  # nobody but its owner can give it
        return None
    return Remedy(
        what=f"make values for missing secrets in {config.env_files[0]}",
        apply=partial(_generate, config),
    )


def _generate(config: Config) -> str:
    from envkit.secrets import generate

    made = generate(config, os.environ)
    return f"made {', '.join(made.names)} in {made.file}" if made.names else "nothing was missing"


_CREATE: Final[dict[ServiceName, Callable[[Dsn], str]]] = {
    "postgres": _create_postgres,
    "clickhouse": _create_clickhouse,
}
_REMEDIES: Final[dict[str, Callable[[Finding, Config], Remedy | None]]] = {
    "pg.db.missing": _missing_database,
    "ch.db.missing": _missing_database,
    "secret.missing": _missing_secret,
    "secret.empty": _missing_secret,
    "envkit.leftovers": _leftovers,
}
