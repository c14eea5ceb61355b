"""Templates of Redis: what was prepared in a server or database is in every copy, as it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from msgspec import structs

from envkit.errors import TemplateFailed
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.attached.redis import ATTACHMENT
from envkit.services.redis import SPEC
from tests.services.own_redis import Own, Start, client_of, run

THIS = Owner.this_process()
OWNER = THIS.text
BINARY = bytes(range(256))
LIBRARY = "#!lua name=lib\nredis.register_function('one', function() return 1 end)"


def write_one_of_each(client: redis.Redis) -> None:
    client.set("string", "word")
    client.set(b"binary\r\n\x00\xff", BINARY)
    client.set("number", 12)
    client.set("empty", "")
    client.setbit("bits", 77, 1)
    client.set("large", BINARY * 40_000)
    client.rpush("list", *range(1000), BINARY)
    client.sadd("numbers", *range(10))
    client.sadd("set", "a", BINARY)
    client.hset("hash", mapping={"a": 1, "b": BINARY})
    client.zadd("sorted", {"a": 1.5, "b": float("-inf"), "c": 1e300})
    client.xadd("stream", {"a": 1}, id="5-1")
    client.xadd("stream", {"a": BINARY}, id="6-1")
    client.xgroup_create("stream", "group", id="0")
    client.xreadgroup("group", "me", {"stream": ">"}, count=1)
    client.pfadd("loglog", *range(500))
    client.geoadd("places", (13.361389, 38.115556, "Palermo"))


def everything(client: redis.Redis) -> dict[bytes, Any]:
    """Key to what the server says of it in each way there is."""
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": lambda key: sorted(client.smembers(key)),
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda key: (
            client.xrange(key),
            client.xinfo_groups(key),
            client.xpending(key, "group"),
        ),
    }
    found = {}
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        assert isinstance(kind, bytes)
        # Strings are packed as it suits them at the moment.
        encoding = b"" if kind == b"string" else client.object("encoding", key)
        found[key] = (kind, encoding, readers[kind](key))
    return found


def copied(original: Own, start: Start) -> Own:
    sealed = original.seal()
    copy = start()
    copy.fill(sealed)
    return copy


def test_every_type_is_in_a_copy(own: Own, start_redis: Start) -> None:
    client = own.client()
    write_one_of_each(client)
    estimate = client.pfcount("loglog")  # first: it is kept with the value
    before = everything(client)
    assert len(before) == 14
    copy = copied(own, start_redis).client()
    assert everything(copy) == before
    assert copy.pfcount("loglog") == estimate
    assert copy.geopos("places", "Palermo") == [pytest.approx((13.361389, 38.115556), abs=1e-4)]


def test_each_database_is_in_a_copy(own: Own, start_redis: Start) -> None:
    for number in (0, 3, 15):
        own.client(number).set("number", number)
    copy = copied(own, start_redis)
    assert [copy.client(number).get("number") for number in (0, 3, 15)] == [b"0", b"3", b"15"]
    assert copy.client(1).dbsize() == 0


def test_nothing_makes_an_empty_copy(own: Own, start_redis: Start) -> None:
    copy = copied(own, start_redis)
    assert copy.client().info("keyspace") == {}


def test_more_keys_than_are_asked_for_at_once_are_in_a_copy(own: Own, start_redis: Start) -> None:
    client = own.client()
    client.mset({f"key {number}": number for number in range(3333)})
    copy = copied(own, start_redis).client()
    assert copy.dbsize() == 3333
    assert copy.get("key 3332") == b"3332"


def test_functions_are_in_a_copy(own: Own, start_redis: Start) -> None:
    own.client().function_load(LIBRARY)
    assert copied(own, start_redis).client().fcall("one", 0) == 1


def test_time_to_live_is_counted_from_the_birth_of_a_copy(own: Own, start_redis: Start) -> None:
    client = own.client()
    client.set("short", 1, px=1500)
    client.set("long", 1, ex=100)
    client.set("always", 1)
    sealed = own.seal()
    time.sleep(1.6)  # as long as the first had to live
    copy = start_redis()
    copy.fill(sealed)
    assert copy.client().pttl("short") > 0
    assert 90_000 < copy.client().pttl("long") <= 100_000
    assert copy.client().pttl("always") == -1


def test_time_to_live_of_fields_is_counted_from_the_birth_of_a_copy(
    own: Own, start_redis: Start
) -> None:
    client = own.client()
    client.hset("hash", mapping={"short": "1", "long": BINARY, "always": "3"})
    try:
        client.hpexpire("hash", 1500, "short")
    except redis.ResponseError:
        pytest.skip("fields of hashes do not expire on this server")
    client.hexpire("hash", 100, "long")
    client.expire("hash", 1000)
    sealed = own.seal()
    time.sleep(1.6)
    copy = start_redis()
    copy.fill(sealed)
    copied = copy.client()
    assert copied.hgetall("hash") == {b"short": b"1", b"long": BINARY, b"always": b"3"}
    short, long, always = copied.hpttl("hash", "short", "long", "always")
    assert 0 < short <= 1500
    assert 90_000 < long <= 100_000
    assert always == -1
    assert 900_000 < copied.pttl("hash") <= 1_000_000


def test_expired_keys_are_not_in_a_copy(own: Own, start_redis: Start) -> None:
    own.client().set("gone", 1, px=1)
    time.sleep(0.01)
    assert copied(own, start_redis).client().dbsize() == 0


def test_nobody_gets_into_a_server_that_was_sealed(own: Own) -> None:
    client = own.client()
    client.ping()
    own.seal()
    with pytest.raises(redis.ConnectionError):
        client.set("late", 1)
    with pytest.raises(redis.AuthenticationError):
        own.client().ping()


def test_what_is_still_being_written_does_not_tear_a_template(own: Own) -> None:
    client = own.client()
    began = threading.Event()

    def write() -> None:
        for number in range(10**6):
            client.set(f"key {number}", number)
            began.set()

    def write_on() -> None:
        with pytest.raises(redis.ConnectionError):
            write()

    writer = threading.Thread(target=write_on)
    writer.start()
    began.wait()
    sealed = own.seal()
    writer.join()
    assert sealed.keys > 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), "ran CONFIG SET, and"),
        (("CONFIG", "RESETSTAT"), "ran CONFIG RESETSTAT"),
        (("ACL", "SETUSER", "somebody", "on", "nopass", "+get"), r"users of its own \(somebody\)"),
        (("REPLICAOF", "NO", "ONE"), "ran REPLICAOF"),
    ],
)
def test_what_no_copy_would_have_is_refused(own: Own, command: tuple[str, ...], said: str) -> None:
    run(own.client(), *command)
    with pytest.raises(TemplateFailed, match=said):
        own.seal()


def test_template_may_be_prepared_in_a_server_that_was_renewed(
    own: Own, start_redis: Start
) -> None:
    own.client().set("theirs", 1)
    assert own.renew()
    own.client().set("ours", 1)
    assert copied(own, start_redis).client().keys() == [b"ours"]


def test_copy_that_is_too_large_for_the_server_is_refused(own: Own, start_redis: Start) -> None:
    own.client().set("large", b"\1\2\3\4" * 500_000)
    own.client().set("also", b"x" * 2_000_000)
    sealed = own.seal()
    with pytest.raises(TemplateFailed, match="OOM"):
        start_redis("--maxmemory", "1500kb").fill(sealed)


# -- numbered databases of one server -------------------------------------------------------------


@pytest.mark.parametrize("kind", [SPEC, ATTACHMENT], ids=["ours", "somebody's"])
def test_template_of_a_numbered_database_is_in_other_databases(own: Own, kind: Any) -> None:
    run = THIS.run if kind is ATTACHMENT else ""
    where = structs.replace(own.address, database="0", run=run)
    prepared = kind.create(where, f"{where.prefix}template", ServiceSettings(), OWNER, None)
    client = client_of(where, prepared)
    write_one_of_each(client)
    before = everything(client)
    sealed = kind.seal(where, prepared)
    with pytest.raises(redis.ConnectionError):  # whoever prepared it is gone
        client.ping()
    copies = [
        kind.create(where, f"{where.prefix}lease_{number}", ServiceSettings(), OWNER, sealed)
        for number in range(2)
    ]
    assert len({copy.database for copy in [prepared, *copies]}) == 3
    for copy in copies:
        with client_of(where, copy) as client:
            assert everything(client) == before
            client.flushdb()
    kind.unseal(where, sealed)
    for copy in copies:
        kind.drop(where, copy)
    assert own.client().info("keyspace") == {}
    assert own.client().acl_users() == ["default"]


def test_database_is_free_again_if_a_template_does_not_fit(own: Own) -> None:
    prepared = SPEC.create(own.address, "template", ServiceSettings(), OWNER, None)
    with client_of(own.address, prepared) as client:
        client.mset({"one": b"x" * 1_500_000, "two": b"x" * 1_500_000})
    sealed = SPEC.seal(own.address, prepared)
    admin = own.client()
    admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 1_000_000)
    with pytest.raises(TemplateFailed, match="OOM"):
        SPEC.create(own.address, "lease_1", ServiceSettings(), OWNER, sealed)
    assert set(admin.info("keyspace")) == {"db0", f"db{prepared.database}"}
    assert admin.keys() == [f"envkit:lease:{prepared.database}".encode()]
    assert admin.acl_users() == ["default"]
