import asyncio
from collections.abc import Iterator

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import delete

from parcels.main import app, engine
from parcels.models import Parcel
from parcels.settings import settings


async def delete_parcels() -> None:
    async with engine.begin() as connection:
        await connection.execute(delete(Parcel))


@pytest.fixture
def cache() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(str(settings.redis_url), decode_responses=True) as cache:
        cache.flushdb()
        yield cache


@pytest.fixture
def client(cache: redis.Redis) -> Iterator[TestClient]:
    """The application; its database, which `alembic upgrade head` has made, is emptied before."""
    asyncio.run(delete_parcels())
    with TestClient(app) as client:
        yield client
