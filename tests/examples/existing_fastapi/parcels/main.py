"""Parcels on their way: kept in Postgres, found quickly through Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import NullPool, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from parcels.models import Parcel
from parcels.settings import settings

engine = create_async_engine(str(settings.database_url), poolclass=NullPool)
sessions = async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.cache = Redis.from_url(str(settings.redis_url), decode_responses=True)
    yield
    await app.state.cache.aclose()


app = FastAPI(lifespan=lifespan)


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session)]


class NewParcel(BaseModel):
    code: str
    weight_g: int


@app.post("/parcels", status_code=201)
async def accept(new: NewParcel, session: Session) -> NewParcel:
    session.add(Parcel(code=new.code, weight_g=new.weight_g))
    try:
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(409, "taken, or without weight") from error
    return new


@app.get("/parcels/{code}")
async def weight(code: str, session: Session) -> int:
    key = f"weight:{code}"
    if found := await app.state.cache.get(key):
        return int(found)
    found = await session.scalar(select(Parcel.weight_g).where(Parcel.code == code))
    if found is None:
        raise HTTPException(404, f"there is no parcel {code}")
    await app.state.cache.set(key, found, ex=60)
    return found
