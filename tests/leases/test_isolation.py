"""Many leases at a time, used at random and handed on: nobody sees anything of anybody else."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.leases.content import content
from tests.leases.holders import Here, Holder, There
from tests.leases.program import SCRIPT_DIGEST, Program
from tests.leases.using import log_of

if TYPE_CHECKING:
    from tests.conftest import Leftovers, Project

# Seconds; and what makes a run happen again, as far as threads do.
_LONG = float(os.environ.get("TEST_LONG", "20"))
_SEED = os.environ.get("TEST_SEED") or os.urandom(4).hex()
_WORKERS = 20
_LEASES = 64
_TEMPLATES = ("", "", "plain", "empty")


class Run:
    """Threads that work until time is over or one of them has failed."""

    def __init__(self, fresh: dict[str, Any]) -> None:
        self.fresh = fresh
        self.problems: list[str] = []
        self.taken = 0
        self.steps = 0
        self._over = threading.Event()
        self._numbers = itertools.count()

    def of(self, works: list[Callable[[], None]]) -> None:
        """Run all of these at the same time.

        Raises:
            AssertionError: One of them has failed.
        """
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.problems, f"TEST_SEED={_SEED}\n" + "\n".join(self.problems[:3])

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            self.problems.append(traceback.format_exc())
            self._over.set()

    def going(self, until: float) -> bool:
        return time.monotonic() < until and not self._over.is_set()

    def begin(self, holder: Holder, chance: random.Random) -> Program:
        """A new lease, which must be as its template, and a program on it."""
        template = chance.choice(_TEMPLATES)
        lease = holder.take(template)
        self.taken += 1
        found = content(lease, (SCRIPT_DIGEST,))
        for service, expected in self.fresh[template].items():
            assert found[service] == expected, (lease.id, template, service)
        return Program(lease, template, f"tag-{next(self._numbers)}", chance)


def _work(run: Run, programs: list[Program], holder: Holder, chance: random.Random) -> None:
    ghosts: list[Program] = []
    until = time.monotonic() + _LONG
    try:
        while run.going(until):
            number = chance.randrange(len(programs))
            program = programs[number]
            for _ in range(chance.randint(1, 6)):
                try:
                    program.step()
                except Exception as error:
                    raise AssertionError(
                        f"{program.lease.id}, {program.tag}: {program.done}"
                    ) from error
                run.steps += 1
            for ghost in ghosts:
                ghost.haunt()
            if chance.random() < 0.4:
                if chance.random() < 0.5:
                    program.close()
                else:
                    ghosts.append(program)
                holder.release(program.lease)
                programs[number] = run.begin(holder, chance)
            while len(ghosts) > 3:
                ghosts.pop(0).close()
    finally:
        for one in (*programs, *ghosts):
            one.close()


@pytest.fixture
def holders(templates: Project) -> Any:
    """Eight clients, two of them in processes of their own."""
    made: list[Holder] = [Here(templates.root) for _ in range(6)]
    made += [There(templates.root) for _ in range(2)]
    yield made
    for one in made:
        one.close()


def test_leases_are_alone_and_begin_as_their_templates(
    holders: list[Holder], leftovers: Leftovers
) -> None:
    first = holders[0]
    assert isinstance(first, Here)
    run = Run({})
    for template in dict.fromkeys(_TEMPLATES):
        lease = first.take(template)
        run.fresh[template] = content(lease, (SCRIPT_DIGEST,))
        assert run.fresh[template]["redis"]["scripts"] is False
        first.release(lease)
    chances = [random.Random(f"{_SEED} {worker}") for worker in range(_WORKERS)]
    programs: list[list[Program]] = [[] for _ in range(_WORKERS)]

    def begin(worker: int) -> None:
        for _ in range(worker, _LEASES, _WORKERS):
            holder = holders[worker % len(holders)]
            programs[worker].append(run.begin(holder, chances[worker]))

    run.of([lambda w=w: begin(w) for w in range(_WORKERS)])  # type: ignore[misc]
    leases = [program.lease for several in programs for program in several]
    assert len(leases) == _LEASES
    for service, what in (("postgres", "database"), ("redis", "port"), ("clickhouse", "database")):
        assert len({getattr(lease.endpoints[service], what) for lease in leases}) == _LEASES
    run.of(
        [
            lambda w=w: _work(run, programs[w], holders[w % len(holders)], chances[w])  # type: ignore[misc]
            for w in range(_WORKERS)
        ]
    )
    assert run.taken > _LEASES
    log = log_of(first.user.client)
    print(f"TEST_SEED={_SEED}: {run.taken} leases, {run.steps} steps")  # noqa: T201
    assert "Traceback" not in log, log
    for holder in holders:
        holder.close()
    assert leftovers.wait_until_none(5) == []


# What would reach beyond one database of a server that many share.
_REFUSED = (
    "FLUSHALL",
    "CONFIG SET maxmemory-policy allkeys-lru",
    "SWAPDB 1 2",
    "SCRIPT FLUSH",
    "FUNCTION FLUSH",
    "CLIENT KILL TYPE normal",
    "ACL SETUSER other on nopass +@all ~*",
    "DEBUG SLEEP 0",
    "SHUTDOWN NOSAVE",
    "MONITOR",
    "REPLICAOF NO ONE",
)


def test_databases_of_one_redis_are_alone_and_begin_as_their_templates(templates: Project) -> None:
    holders = [Here(templates.root) for _ in range(3)]
    seeded = {b"greeting", b"kinds"}
    owners: dict[str, str] = {}
    guard = threading.Lock()
    run = Run({})

    def use(holder: Here, chance: random.Random) -> None:
        ghosts: list[redis.Redis] = []
        until = time.monotonic() + _LONG / 2
        while run.going(until):
            lease = holder.database()
            endpoint = lease.endpoints["redis"]
            with guard:
                assert owners.setdefault(endpoint.database, lease.id) == lease.id
            client = redis.Redis.from_url(endpoint.url)
            assert set(client.keys()) == seeded, client.keys()
            assert client.acl_whoami() == endpoint.user
            for _ in range(chance.randint(1, 10)):
                client.set(lease.id, lease.id, ex=100)
                client.eval("return redis.call('SET', KEYS[1], 'by script')", 1, f"{lease.id}:2")
                keys = set(client.keys()) - seeded
                assert keys <= {lease.id.encode(), f"{lease.id}:2".encode()}, keys
                command = chance.choice((*_REFUSED, "FLUSHDB", _other(endpoint.database)))
                if command == "FLUSHDB":
                    client.flushdb()
                else:
                    with pytest.raises(redis.ResponseError):
                        client.execute_command(*command.split())
            for ghost in ghosts:
                with contextlib.suppress(redis.RedisError):
                    ghost.set("ghost", "ghost")
            ghosts = [*ghosts[-2:], client]
            with guard:
                del owners[endpoint.database]
            holder.release(lease)
            run.taken += 1
        for ghost in ghosts:
            ghost.close()

    try:
        run.of(
            [
                lambda n=n: use(holders[n % 3], random.Random(f"{_SEED} {n}"))  # type: ignore[misc]
                for n in range(12)
            ]
        )
        assert run.taken > 12
        log = log_of(holders[0].user.client)
        assert "Traceback" not in log, log
    finally:
        for holder in holders:
            holder.close()


def _other(number: str) -> str:
    return f"SELECT {(int(number) + 1) % 16}"
