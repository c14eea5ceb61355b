"""A write and a read on each real service, through the drivers your application uses.

Run it with services of its own:  envkit run -- python examples/round_trip.py
"""

import os
import time
from collections.abc import Callable


def postgres() -> str:
    import psycopg

    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE greeting (id serial PRIMARY KEY, words text)")
        connection.execute("INSERT INTO greeting (words) VALUES (%s)", ["hello from Postgres"])
        row = connection.execute("SELECT words FROM greeting").fetchone()
    assert row is not None
    return str(row[0])


def redis() -> str:
    from redis import Redis

    with Redis.from_url(os.environ["REDIS_URL"], decode_responses=True) as client:
        client.set("greeting", "hello from Redis")
        return str(client.get("greeting"))


def clickhouse() -> str:
    import clickhouse_connect

    with clickhouse_connect.get_client(dsn=os.environ["CLICKHOUSE_URL"]) as client:
        client.command("CREATE TABLE greeting (words String) ENGINE = MergeTree ORDER BY words")
        client.insert("greeting", [["hello from ClickHouse"]], column_names=["words"])
        return str(client.query("SELECT words FROM greeting").result_rows[0][0])


def main() -> None:
    services: dict[str, Callable[[], str]] = {
        "postgres": postgres,
        "redis": redis,
        "clickhouse": clickhouse,
    }
    for name, round_trip in services.items():
        begun = time.perf_counter()
        words = round_trip()
        took = (time.perf_counter() - begun) * 1000
        print(f"{name:<12}wrote and read {words!r} in {took:.0f} ms")


if __name__ == "__main__":
    main()
