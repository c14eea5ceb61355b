"""Alembic in tests: isolated_env has set DATABASE_URL, and env.py looks there."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

ALEMBIC = Config(Path(__file__).parent.parent / "alembic.ini")


def test_models_are_what_the_migrations_make(isolated_env):
    command.check(ALEMBIC)


@pytest.mark.real_services(template="empty")
def test_migrations_lead_there_and_back(isolated_env):
    command.upgrade(ALEMBIC, "head")
    command.downgrade(ALEMBIC, "base")
    command.upgrade(ALEMBIC, "head")


def test_last_migration_can_be_undone(isolated_env, real_postgres):
    # A copy of the template is the test's own: it may alter and drop what the migrations made.
    command.downgrade(ALEMBIC, "-1")
    with real_postgres.connect() as db:
        assert db.execute(
            "INSERT INTO customer (email) VALUES (%s) RETURNING id", ["a"]
        ).fetchone() == (1,)
