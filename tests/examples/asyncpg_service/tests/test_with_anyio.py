"""Tests run by anyio's pytest plugin; fixtures are written as always."""

import asyncpg
import pytest

from catalogue import Catalogue, open_catalogue

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"  # asyncpg knows no other


@pytest.fixture
async def catalogue(isolated_env):
    """As the application opens it, with DATABASE_URL and REDIS_URL of this test's own."""
    async with open_catalogue() as opened:
        yield opened


async def test_misspelt_title_is_found(catalogue: Catalogue):
    assert await catalogue.find("midlemarch") == "Middlemarch"


async def test_what_was_found_is_remembered(catalogue: Catalogue, real_redis):
    await catalogue.find("midlemarch")
    async with real_redis.aclient(decode_responses=True) as redis:
        assert await redis.hgetall("found") == {"midlemarch": "Middlemarch"}


async def test_asyncpg_takes_the_url_as_it_is(real_postgres):
    connection = await asyncpg.connect(real_postgres.url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM book") == 3
    finally:
        await connection.close()


@pytest.mark.parametrize("title", ["Emma", "Persuasion"])
async def test_new_book_has_the_number_after_the_seed(catalogue: Catalogue, title: str):
    assert await catalogue.add(title) == 4


async def test_title_is_there_once(catalogue: Catalogue):
    with pytest.raises(asyncpg.UniqueViolationError):
        await catalogue.add("Middlemarch")
