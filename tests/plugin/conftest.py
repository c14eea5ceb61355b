"""A project whose tests use the plugin, and a look for what they leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Leftovers


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester, leftovers: Leftovers) -> pytest.Pytester:
    """A project whose tests need Redis, unless they say otherwise."""
    pytester.makefile(".toml", envkit='services = ["redis"]')
    return pytester


@pytest.fixture
def postgres(suite: pytest.Pytester) -> pytest.Pytester:
    """A project whose tests have Postgres, and a way to make its server write into its log."""
    suite.makefile(".toml", envkit='services = ["postgres"]')
    suite.makepyfile(
        ask="""
        import psycopg
        def ask(services, statement):
            try:
                with psycopg.connect(services.url, autocommit=True) as connection:
                    connection.execute(statement)
            except psycopg.Error:
                pass
        """
    )
    return suite
