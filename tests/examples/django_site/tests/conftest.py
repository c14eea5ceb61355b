import pytest
from asgiref.sync import SyncToAsync
from django.db import connection, connections


@pytest.fixture(scope="session")
def django_db_setup():
    """Instead of pytest-django's, which would make and migrate a database: it is there already."""


@pytest.fixture
def own_database(real_postgres, django_db_blocker):
    """A database of this test's own, for what commits: nothing has to be flushed afterwards.

    Instead of ``@pytest.mark.django_db(transaction=True)``.
    """
    close_connections()
    before = connection.settings_dict.copy()
    # All threads make their connections from this one dictionary.
    connection.settings_dict |= {
        "NAME": real_postgres.database,
        "USER": real_postgres.user,
        "PASSWORD": real_postgres.password,
        "HOST": real_postgres.host,
        "PORT": real_postgres.port,
    }
    with django_db_blocker.unblock():
        yield
    close_connections()
    connection.settings_dict |= before


def close_connections():
    """Those of this thread, and of the one that async code queries in."""
    connections.close_all()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
