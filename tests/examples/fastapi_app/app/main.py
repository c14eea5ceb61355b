"""Short names for long addresses: kept in Postgres, cached in Redis, counted in ClickHouse."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated

import clickhouse_connect
import psycopg
from clickhouse_connect.driver import Client
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from redis import Redis


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect when the application starts, to what the environment says then."""
    app.state.cache = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    app.state.clicks = clickhouse_connect.get_client(dsn=os.environ["CLICKHOUSE_URL"])
    yield
    app.state.clicks.close()
    app.state.cache.close()


app = FastAPI(lifespan=lifespan)


def database() -> Iterator[psycopg.Connection]:
    """A connection, and a transaction, for each request."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as db:
        yield db


def cache(request: Request) -> Redis:
    return request.app.state.cache


def clicks(request: Request) -> Client:
    return request.app.state.clicks


Database = Annotated[psycopg.Connection, Depends(database)]
Cache = Annotated[Redis, Depends(cache)]
Clicks = Annotated[Client, Depends(clicks)]


class Link(BaseModel):
    name: str
    target: str


@app.post("/links", status_code=201)
def make(link: Link, db: Database, cache: Cache) -> Link:
    if cache.sismember("reserved", link.name):
        raise HTTPException(422, f"{link.name} is reserved")
    try:
        db.execute("INSERT INTO link VALUES (%s, %s)", [link.name, link.target])
    except psycopg.errors.UniqueViolation:
        raise HTTPException(409, f"{link.name} is taken") from None
    return link


@app.get("/links/{name}/clicks")
def count(name: str, clicks: Clicks) -> int:
    found = clicks.query(
        "SELECT sum(clicks) FROM clicks_by_day WHERE name = {name:String}", {"name": name}
    )
    return found.result_rows[0][0]


@app.get("/{name}")
def follow(name: str, db: Database, cache: Cache, clicks: Clicks) -> RedirectResponse:
    target = cache.get(f"link:{name}")
    if target is None:
        row = db.execute("SELECT target FROM link WHERE name = %s", [name]).fetchone()
        if row is None:
            raise HTTPException(404, f"there is no {name}")
        target = row[0]
        cache.set(f"link:{name}", target, ex=60)
    clicks.insert("click", [[name]], column_names=["name"])
    return RedirectResponse(target)
