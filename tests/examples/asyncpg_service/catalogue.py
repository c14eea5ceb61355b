"""A catalogue of books that forgives misspelt titles, and remembers what people looked for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from redis.asyncio import Redis


class Catalogue:
    def __init__(self, database: asyncpg.Connection, cache: Redis) -> None:
        self._database = database
        self._cache = cache

    async def add(self, title: str) -> int:
        """The number of a new book."""
        sql = "INSERT INTO book (title) VALUES ($1) RETURNING id"
        return await self._database.fetchval(sql, title)

    async def find(self, words: str) -> str | None:
        """The title that is most like what somebody wrote."""
        if known := await self._cache.hget("found", words):
            return known.decode()
        title = await self._database.fetchval(
            "SELECT title FROM book WHERE title % $1 ORDER BY similarity(title, $1) DESC LIMIT 1",
            words,
        )
        if title is not None:
            await self._cache.hset("found", words, title)
        return title


@asynccontextmanager
async def open_catalogue() -> AsyncIterator[Catalogue]:
    """The catalogue that DATABASE_URL and REDIS_URL lead to."""
    database = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        async with Redis.from_url(os.environ["REDIS_URL"]) as cache:
            yield Catalogue(database, cache)
    finally:
        await database.close()
