"""The same with pytest-asyncio: each connection lives in the event loop of its own test."""

import pytest
import pytest_asyncio

from catalogue import Catalogue, open_catalogue

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def catalogue(isolated_env):
    """As the application opens it, with DATABASE_URL and REDIS_URL of this test's own."""
    async with open_catalogue() as opened:
        yield opened


@pytest_asyncio.fixture
async def database(real_postgres):
    """A psycopg connection to look at what the application has written."""
    async with await real_postgres.aconnect(autocommit=True) as connection:
        yield connection


async def test_misspelt_title_is_found(catalogue: Catalogue):
    assert await catalogue.find("left hand of darknes") == "The Left Hand of Darkness"


async def test_new_book_is_stored(catalogue: Catalogue, database):
    number = await catalogue.add("Emma")
    found = await database.execute("SELECT title FROM book WHERE id = %s", [number])
    assert await found.fetchone() == ("Emma",)


async def test_what_was_found_is_remembered(catalogue: Catalogue, real_redis):
    async with real_redis.aclient(decode_responses=True) as redis:
        await redis.hset("found", "the marches", "Middlemarch")
    assert await catalogue.find("the marches") == "Middlemarch"
