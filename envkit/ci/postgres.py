"""Postgres of another version than the ``embedded`` extra brings, from PostgreSQL's own packages.

https://wiki.postgresql.org/wiki/Apt; the script comes with Debian's and Ubuntu's postgresql-common.
"""

from __future__ import annotations

from envkit.ci.job import Job
from envkit.ci.pins import WHEELS

__all__ = ["apt_lines"]


def apt_lines(job: Job, rights: str = "") -> list[str]:
    """Lines of a shell that install it, if this one of several jobs needs it.

    Args:
        job: One that asks for another version, or of which one does.
        rights: What goes before commands that only root may run.
    """
    major = "$major" if job.separately else job.postgres[0].split(".")[0]
    lines = [
        f"{rights}apt-get update",
        f"{rights}apt-get install --yes postgresql-common",
        f"{rights}/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y",
        f"{rights}apt-get install --yes --no-install-recommends postgresql-{major}",
    ]
    if not job.separately:
        return lines
    return [
        "major=${ENVKIT_POSTGRES_VERSION%%.*}",
        f'if [ "$major" != {WHEELS["postgres"]} ]; then',
        *(f"  {line}" for line in lines),
        "fi",
    ]
