"""A random program on one lease: what it writes carries the lease's tag, and it reads no other."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg
import redis

from envkit.model import Endpoint, Lease
from envkit.services.clickhouse_http import Connection, Rejected
from envkit.services.spec import address_of
from tests.leases.using import postgres, refused

__all__ = ["SCRIPT", "SCRIPT_DIGEST", "Program"]

SCRIPT = "return 'from a script of a test'"
SCRIPT_DIGEST = hashlib.sha1(SCRIPT.encode()).hexdigest()
_LIBRARY = "#!lua name={name}\nserver.register_function('{name}', function() return 1 end)"
_DATABASES = (0, 1, 7)


class Program:
    """What one test does with its lease on all three services.

    Args:
        lease: Its own.
        template: That the lease is a copy of: nothing, ``plain`` or ``empty``.
        tag: Nobody else's.
        chance: Decides what happens.
    """

    def __init__(self, lease: Lease, template: str, tag: str, chance: random.Random) -> None:
        self.lease = lease
        self.tag = tag
        self.done: list[str] = []
        self._template = template
        self._chance = chance
        self._count: Counter[str] = Counter()
        self._postgres = postgres(lease.endpoints["postgres"])
        self._listener: psycopg.Connection[Any] | None = None
        self._clickhouse = Connection(address_of(lease.endpoints["clickhouse"]), 60)
        self._redis = [self._client(number) for number in _DATABASES]
        self._subscription: Any = None
        common = [self._lock, self._notify, self._large_object, self._temporary, self._roles]
        common += [self._extension, self._settings, self._script, self._function, self._configure]
        common += [self._flush, self._keys, self._publish, self._kill_clients, self._own_table]
        prepared: dict[str, list[Callable[[], None]]] = {
            "": [self._rows, self._rows, self._count_on, self._roll_back, self._look, self._view],
            "plain": [self._plain_rows] * 3,
            "empty": [],
        }
        self._actions = common + prepared[template] * 3

    def step(self) -> None:
        """Do something, and look for what does not belong there."""
        action = self._chance.choice(self._actions)
        self.done.append(action.__name__)
        action()

    def close(self) -> None:
        for one in (self._postgres, self._listener, *self._redis, self._subscription):
            if one is not None:
                with contextlib.suppress(Exception):
                    one.close()
        self._clickhouse.__exit__()

    def haunt(self) -> None:
        """Go on although the lease is somebody else's or gone: nothing of it may be seen."""
        tries: list[Callable[[], object]] = [
            lambda: self._sql("INSERT INTO items (tag) VALUES ('ghost')"),
            lambda: self._sql("INSERT INTO plain (tag) VALUES ('ghost')"),
            lambda: self._sql("SELECT nextval('tickets')"),
            lambda: self._sql("SELECT pg_advisory_lock(42)"),
            lambda: self._sql("NOTIFY common, 'ghost'"),
            lambda: postgres(self.lease.endpoints["postgres"]).close(),
            lambda: self._ask("INSERT INTO items VALUES (1, 'ghost')"),
            lambda: self._ask("INSERT INTO t1 VALUES (1, 'ghost')"),
            lambda: self._redis[0].set("ghost", "ghost"),
            lambda: self._client(0).set("ghost", "ghost"),
            lambda: self._redis[1].config_set("maxmemory-policy", "allkeys-lru"),
            lambda: self._redis[0].publish("common", "ghost"),
        ]
        with contextlib.suppress(psycopg.Error, redis.RedisError, OSError):
            self._chance.choice(tries)()

    # -- Postgres -----------------------------------------------------------------------------

    def _sql(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self._postgres.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def _rows(self) -> None:
        number = self._chance.randint(1, 5)
        self._sql(
            f"INSERT INTO items (tag) SELECT '{self.tag}' FROM generate_series(1, {number});"
            f"INSERT INTO visits (tag) VALUES ('{self.tag}');"
            f"INSERT INTO parts SELECT id, '{self.tag}' FROM items LIMIT 1"
        )
        self._count["items"] += number
        self._count["visits"] += 1
        self._look()

    def _look(self) -> None:
        for table, expected in (("items", "items"), ("noted", "items"), ("visits", "visits")):
            found = dict(self._sql(f"SELECT tag, count(*) FROM {table} GROUP BY tag"))
            want = {self.tag: self._count[expected]} if self._count[expected] else {}
            assert found == want, (table, found, want)
        assert self._sql("SELECT count(*) FROM kinds") == [(2,)]

    def _plain_rows(self) -> None:
        self._sql(f"INSERT INTO plain (tag) VALUES ('{self.tag}')")
        self._count["plain"] += 1
        # The numbers are those of a table that nobody else writes to.
        expected = [(self.tag, n + 1) for n in range(self._count["plain"])]
        assert self._sql("SELECT tag, id FROM plain ORDER BY id") == expected
        number = self._chance.randint(0, 3)
        self._ask(f"INSERT INTO t{number} VALUES (1, '{self.tag}')")
        self._count[f"t{number}"] += 1
        found = self._ask(f"SELECT tag FROM t{number}").split()
        assert found == [self.tag] * self._count[f"t{number}"], found

    def _count_on(self) -> None:
        for sequence, start in (("tickets", 100), ("used", 2)):
            found = self._sql(f"SELECT nextval('{sequence}')")
            assert found == [(start + self._count[sequence],)], (sequence, found, self._count)
            self._count[sequence] += 1

    def _roll_back(self) -> None:
        self._sql("BEGIN")
        self._sql("INSERT INTO items (tag) VALUES ('rolled back'); TRUNCATE visits")
        self._sql("ROLLBACK")
        self._look()

    def _lock(self) -> None:
        assert self._sql("SELECT pg_try_advisory_lock(42)") == [(True,)]

    def _notify(self) -> None:
        if self._listener is None:
            self._listener = postgres(self.lease.endpoints["postgres"])
            self._listener.execute("LISTEN common")
        self._sql(f"NOTIFY common, '{self.tag}'")
        said = [one.payload for one in self._listener.notifies(timeout=5, stop_after=1)]
        assert said == [self.tag], said

    def _large_object(self) -> None:
        self._sql(f"SELECT lo_from_bytea(0, '{self.tag}')")
        found = self._sql(
            "SELECT DISTINCT convert_from(lo_get(oid), 'UTF8') FROM pg_largeobject_metadata"
        )
        assert found == [(self.tag,)], found

    def _temporary(self) -> None:
        self._sql(f"CREATE TEMP TABLE IF NOT EXISTS mine AS SELECT '{self.tag}' AS tag")
        assert self._sql("SELECT tag FROM mine") == [(self.tag,)]

    def _own_table(self) -> None:
        self._sql(f"CREATE TABLE IF NOT EXISTS own AS SELECT '{self.tag}'::text AS tag")
        assert self._sql("SELECT tag FROM public.own") == [(self.tag,)]
        self._ask("CREATE TABLE IF NOT EXISTS own (tag String) ENGINE = Memory")
        self._ask(f"INSERT INTO own VALUES ('{self.tag}')")
        assert self._ask("SELECT DISTINCT tag FROM own") == self.tag

    def _extension(self) -> None:
        self._sql(f"CREATE EXTENSION IF NOT EXISTS {self._chance.choice(('pg_trgm', 'citext'))}")

    def _roles(self) -> None:
        others = "SELECT datname::text FROM pg_database WHERE datname <> current_database()"
        for statement in (
            f'CREATE ROLE "{self.tag}"',
            "ALTER SYSTEM SET work_mem = '1MB'",
            "ALTER ROLE CURRENT_USER SUPERUSER",
            "CREATE DATABASE other",
            "SELECT pg_stat_reset()",
            *(f'DROP DATABASE "{name}"' for (name,) in self._chance.sample(self._sql(others), 2)),
        ):
            assert refused(self._postgres, statement), statement

    def _settings(self) -> None:
        name = self.lease.endpoints["postgres"].database
        self._sql(
            self._chance.choice(
                (
                    "SET search_path = public, pg_temp",
                    "ALTER ROLE CURRENT_USER SET search_path = nowhere",
                    f"ALTER DATABASE {name} SET work_mem = '5MB'",
                    f"ALTER DATABASE {name} SET search_path = public",
                    "SET statement_timeout = '1min'",
                )
            )
        )

    # -- ClickHouse ---------------------------------------------------------------------------

    def _ask(self, statement: str) -> str:
        database = self.lease.endpoints["clickhouse"].database
        return self._clickhouse.query(statement, database=database)

    def _view(self) -> None:
        number = self._chance.randint(1, 5)
        rows = ", ".join(f"({n}, '{self.tag}')" for n in range(number))
        self._ask(f"INSERT INTO items VALUES {rows}")
        self._count["rows"] += number
        expected = f"{self.tag}\t{self._count['rows']}"
        assert self._ask("SELECT tag, count() FROM items GROUP BY tag") == expected
        found = self._ask("SELECT tag, sum(n) FROM totals GROUP BY tag")
        assert found == expected, (found, expected)
        assert self._ask("SELECT count() FROM kinds") == "2"
        with contextlib.suppress(Rejected):  # not everywhere while the view is there
            self._ask("ALTER TABLE kinds ADD COLUMN IF NOT EXISTS n UInt8")

    # -- Redis --------------------------------------------------------------------------------

    def _client(self, number: int) -> redis.Redis:
        endpoint: Endpoint = self.lease.endpoints["redis"]
        return redis.Redis(
            host=endpoint.host, port=endpoint.port, password=endpoint.password, db=number
        )

    def _keys(self) -> None:
        for client in self._redis:
            client.set(f"{self.tag}:{self._chance.randint(0, 9)}", self.tag)
            found = {key.decode() for key in client.scan_iter()}
            assert all(k.startswith(self.tag) or k in ("greeting", "kinds") for k in found), found

    def _flush(self) -> None:
        self._chance.choice(self._redis).flushall()
        assert [client.dbsize() for client in self._redis] == [0, 0, 0]

    def _publish(self) -> None:
        if self._subscription is None:
            self._subscription = self._redis[0].pubsub()
            self._subscription.subscribe("common")
            assert self._subscription.get_message(timeout=5)["type"] == "subscribe"
        assert self._redis[1].publish("common", self.tag) == 1
        said = self._subscription.get_message(timeout=5)
        assert said["data"] == self.tag.encode(), said

    def _script(self) -> None:
        digest = self._redis[0].script_load(SCRIPT)
        assert self._redis[1].evalsha(digest, 0) == b"from a script of a test"

    def _function(self) -> None:
        name = self.tag.replace("-", "_")
        self._redis[0].function_load(_LIBRARY.format(name=name), replace=True)
        found = [library[1].decode() for library in self._redis[0].function_list()]
        assert found == [name], found

    def _configure(self) -> None:
        name, *values = self._chance.choice(
            (("maxmemory-policy", "allkeys-lru"), ("appendonly", "yes"), ("hz", "50"))
        )
        self._redis[0].config_set(name, values[0])

    def _kill_clients(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        self._redis[0].client_kill_filter(_type="normal", skipme=True)
