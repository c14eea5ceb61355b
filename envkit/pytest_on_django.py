"""pytest-django on a lease: its test database is the one that ``export_env`` has taken.

Django makes a database ``test_NAME`` beside the one of its settings and migrates it, for each
worker of xdist. A lease is a database for tests already, migrated, of this worker alone, and its
role may not make others. So Django goes through all of its steps, and finds the database made:
it still applies what was not migrated, and creates the tables of apps without migrations.

An alias whose settings do not lead to the lease, to the host, port, database and user of it, is
none of envkit's business and is left to Django.
"""

from __future__ import annotations

import sys
from typing import Any

from envkit.model import Endpoint

__all__ = ["use_lease"]


def use_lease(endpoint: Endpoint) -> None:
    """Have Django's set-up of test databases take the lease for what leads there.

    Args:
        endpoint: Of the Postgres lease in ``os.environ``.
    """
    if "django" not in sys.modules:
        return  # a fixture of that name that has nothing to do with it
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connections

    if not settings.configured:
        return
    for alias in connections:
        try:
            connection = connections[alias]
        except ImproperlyConfigured:
            continue  # Django says so itself when it comes to it
        if _leads_to(connection, endpoint):
            connection.creation = _on_lease(type(connection.creation), endpoint)(connection)


def _leads_to(connection: Any, endpoint: Endpoint) -> bool:
    settings = connection.settings_dict
    found = tuple(str(settings.get(key) or "") for key in ("HOST", "PORT", "NAME", "USER"))
    wanted = (endpoint.host, str(endpoint.port), endpoint.database, endpoint.user)
    return bool(connection.vendor == "postgresql" and found == wanted)


def _on_lease(usual: type[Any], endpoint: Endpoint) -> type[Any]:
    """A ``DatabaseCreation`` for the lease.

    The three methods are what Django's own backends override for a database that is not made by
    CREATE DATABASE (``django/db/backends/sqlite3/creation.py``, ``…/oracle/creation.py``). Several
    aliases of one lease have one name here, so Django takes them for one database, as they are.
    """

    class OnLease(usual):  # type: ignore[misc] # known only when Django is
        def _get_test_db_name(self) -> str:
            return endpoint.database

        def _create_test_db(self, *_: object, **__: object) -> str:
            return endpoint.database

        def _destroy_test_db(self, *_: object, **__: object) -> None:
            """Nothing: the lease ends with the run."""

    return OnLease
