"""Why a table that a program expects is not there, by how the configuration has them made."""

from __future__ import annotations

from typing import Final

from envkit.doctor.model import Facts
from envkit.model import ServiceName

__all__ = ["why_missing"]

_EXAMPLES: Final[dict[ServiceName, str]] = {
    "postgres": 'migrate = "alembic upgrade head" or schema = ["db/schema.sql"]',
    "clickhouse": 'schema = ["db/tables.sql"]',
}


def why_missing(facts: Facts, service: ServiceName) -> tuple[str, str]:
    """The cause, most probably, and what to do."""
    made_by = facts.of(service).made_by
    if made_by:
        return (
            f"'{made_by}' does not make it",
            "add what makes it, or see which database the connection names",
        )
    return (
        "nothing has made it",
        f"say how: {_EXAMPLES[service]} in the table of {service}",
    )
