"""What the report of a failed test says about its services: where they are, and their logs.

Imported when a test that had a lease has failed; others never pay.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from envkit.model import Endpoint, ServiceName, Settings
from envkit.pytest_leases import Keep, OpenLease
from envkit.redact import MASK, Redactor, printable, redacted

__all__ = ["sections"]

_MOST_LINES: Final = 20
_MOST_CHARACTERS: Final = 4096
_LONGEST_LINE: Final = 500
# Of a line: enough to find secrets in what is shown of it.
_LOOKED_AT: Final = 3 * _LONGEST_LINE
_MOST_READ: Final = 1 << 20
# What a server in a container prints gets into the file by way of the engine.
_BEHIND_S: Final = 0.05

# After a log_line_prefix of "%m [%p] %d ".
_POSTGRES_LINE = re.compile(
    r"\S+ (?P<when>\S+ \S+) (?P<process>\[\d+\]) (?P<database>\S*) (?P<rest>(?P<label>[A-Z]+): .*)"
)
_MORE_OF_A_MESSAGE: Final = ("DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "STATEMENT")
# Of no database and still about each: a server process died, or the server ends.
_ABOUT_ALL = re.compile(
    r"(WARNING|ERROR|FATAL|PANIC): |LOG: .*(was terminated by|exited with exit code"
    r"|terminating any other|reinitializing|interrupted|shut(ting)? down|shutdown)"
)
# Statements that failed are quoted in logs as they were.
_SQL_PASSWORD = re.compile(
    r"(?P<head>\b(?:password|identified(?:\s+with\s+\w+)?\s+by)\s+(?:E|U&)?)'(?:[^']|'')*(?:'|$)",
    re.IGNORECASE,
)


def sections(
    leases: Sequence[OpenLease], keep: Keep, settings: Settings
) -> Iterator[tuple[str, str]]:
    """Sections for a report: titles and texts, nothing secret in them.

    Args:
        leases: That the test has.
        keep: Whose are to stay after their tests.
        settings: Of the project.
    """
    yield "envkit: services of this test", "\n".join(_about(leases, keep))
    endpoints = [endpoint for one in leases for endpoint in one.lease.endpoints.values()]
    hide = Redactor(secret for endpoint in endpoints for secret in endpoint.secrets)
    if any(endpoint.backend == "docker" for endpoint in endpoints):
        time.sleep(_BEHIND_S)
    for one in leases:
        for service in one.lease.logs:
            lines, unread = _written(one, service)
            title = _title(one, service, mixed=service not in one.lease.own)
            # Whoever wants another prefix gets what is written as it is.
            if service == "postgres" and "log_line_prefix" not in settings.postgres.settings:
                lines = _of_database(lines, one.lease.endpoints[service].database)
                title = _title(one, service, mixed=False)
            if lines:
                yield title, _last(lines, hide, at_least=unread)
        one.measure()
        one.told = True


# -- where they are --------------------------------------------------------------------------------


def _about(leases: Iterable[OpenLease], keep: Keep) -> Iterator[str]:
    gone = stays = True
    for one in leases:
        gone = one.client.closed
        stays = keep != "none" and not gone
        for service, endpoint in one.lease.endpoints.items():
            whose = f"{service} ({one.fixture})" if one.fixture else service
            what = f"{endpoint.product} {endpoint.version}"
            where = f"{_place(endpoint)}, database {endpoint.database}"
            yield redacted(f"{whose}: {what} at {where}")
            yield redacted(f"    {endpoint.safe_url}")
            if stays:
                yield f"    envkit shell {service} --lease {one.lease.id}"
    if gone:
        yield "gone: the process that kept the servers has ended"
    elif not stays:
        yield "gone after the test: --envkit-keep=failed keeps its databases"


def _place(endpoint: Endpoint) -> str:
    if endpoint.host.startswith("/"):
        return endpoint.host
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


# -- logs ------------------------------------------------------------------------------------------


def _title(one: OpenLease, service: ServiceName, *, mixed: bool) -> str:
    notes = [f"fixture {one.fixture}"] if one.fixture else []
    notes += ["may have other tests' lines"] if mixed else []
    when = "since it failed" if one.told else "during this test"
    return f"{service} log {when}" + (f" ({', '.join(notes)})" if notes else "")


def _written(one: OpenLease, service: ServiceName) -> tuple[list[str], bool]:
    """What was written to a log since, and whether there is more than is worth reading."""
    begin = one.log_sizes.get(service, 0)
    try:
        with Path(one.lease.logs[service]).open("rb") as file:
            size = file.seek(0, 2)
            start = max(begin if begin <= size else 0, size - _MOST_READ)
            file.seek(start)
            data = file.read(size - start)
    except OSError:
        return [], False
    lines = data.decode(errors="replace").split("\n")
    unread = start > begin
    if unread:
        del lines[0]  # only its end
    return [line.removesuffix("\r") for line in lines if line.strip()], unread


def _of_database(lines: Iterable[str], database: str) -> list[str]:
    """The lines of a Postgres server's log that are about a database.

    Without what is the same in all of them: lines are short enough for a terminal that way.
    """
    chosen: list[tuple[str, str, str]] = []
    wanted = False
    for line in lines:
        found = _POSTGRES_LINE.match(line)
        if found is None:
            # The message before goes on.
            if wanted:
                chosen.append(("   ", "", line.removeprefix("\t")))
            continue
        if found["database"]:
            wanted = found["database"] == database
        elif found["label"] not in _MORE_OF_A_MESSAGE:
            wanted = _ABOUT_ALL.match(found["rest"]) is not None
        if wanted:
            chosen.append((found["when"], f" {found['process']}", found["rest"]))
    several = len({process for _, process, _ in chosen if process}) > 1
    return [f"{when}{process if several else ''} {rest}" for when, process, rest in chosen]


def _last(lines: Sequence[str], hide: Redactor, *, at_least: bool) -> str:
    """The last lines, fit for a screen, and how much is missing before."""
    shown = "\n".join(line[:_LOOKED_AT] for line in lines[-_MOST_LINES:])
    shown = _SQL_PASSWORD.sub(rf"\g<head>'{MASK}'", redacted(hide(shown)))
    kept: list[str] = []
    room = _MOST_CHARACTERS
    for line in reversed(printable(shown).split("\n")):
        room -= min(len(line), _LONGEST_LINE)
        if room < 0:
            break
        kept.insert(0, line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} (…)")
    left = len(lines) - len(kept)
    number = f"at least {left}" if at_least else str(left)
    before = (
        [f"({number} {'line' if left == 1 else 'lines'} before these left out)"] if left else []
    )
    return "\n".join([*before, *kept])
