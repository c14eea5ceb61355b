"""Redis servers that were used: the next one gets them as new, or does not get them at all.

Nothing here waits for time to pass; where a server does not answer, renewing gives up by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.own_redis import Own, Start, run, starting, state

SCRIPT = "return redis.call('SET', 'by script', 1)"
LIBRARY = "#!lua name=lib\nredis.register_function('one', function() return 1 end)"
READING = "return redis.call('GET', 'a')"
FORBIDDEN = "return redis.pcall('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')"

Use = Callable[[Own], object]


def attempted(client: redis.Redis, *words: str | bytes | int) -> None:
    with contextlib.suppress(redis.RedisError):
        run(client, *words)


def in_transaction(own: Own) -> None:
    with own.client().pipeline(transaction=True) as pipeline:
        pipeline.set("a", 1)
        pipeline.incr("a")
        pipeline.execute()


def in_all_databases(own: Own) -> None:
    for number in range(16):
        own.client(number).set("number", number)


def wrong_password(own: Own) -> None:
    client = own.client()
    for _ in range(3):
        attempted(client, "AUTH", "not the password")


HARMLESS: dict[str, Use] = {
    "nothing": lambda _: None,
    "a connection": lambda own: own.client().ping(),
    "reading": lambda own: own.client().get("a"),
    "a key": lambda own: own.client().set("a", 1),
    "keys in all databases": in_all_databases,
    "a transaction": in_transaction,
    "a script": lambda own: own.client().eval(SCRIPT, 0),
    "a script that reads": lambda own: run(own.client(), "EVAL_RO", READING, 0),
    "a loaded script": lambda own: own.client().script_load(SCRIPT),
    "a script that may not do it": lambda own: attempted(own.client(), "EVAL", FORBIDDEN, 0),
    "a library": lambda own: own.client().function_load(LIBRARY),
    "a message": lambda own: own.client().publish("news", "none"),
    "an unknown command": lambda own: attempted(own.client(), "NONSENSE", 1),
    "a command with too few words": lambda own: attempted(own.client(), "CONFIG", "SET"),
    "a command of the wrong type": lambda own: attempted(own.client(), "INCR", "a", "b"),
    "a wrong password": wrong_password,
    "emptying": lambda own: own.client().flushall(),
    "swapped databases": lambda own: run(own.client(), "SWAPDB", 0, 1),
    "a named client": lambda own: own.client().client_setname("test"),
    "tracking": lambda own: attempted(own.client(), "CLIENT", "TRACKING", "ON", "BCAST"),
    "looking at the configuration": lambda own: own.client().config_get("*"),
    "looking at the users": lambda own: own.client().acl_list(),
    "a module that may not be": lambda own: attempted(own.client(), "MODULE", "LOAD", "/none.so"),
}


@pytest.mark.parametrize("use", HARMLESS.values(), ids=HARMLESS)
def test_server_is_as_new_after(own: Own, use: Use) -> None:
    before = state(own, SCRIPT, READING)
    use(own)
    assert own.renew()
    assert state(own, SCRIPT, READING) == before
    use(own)  # and again, in a server that was renewed
    assert own.renew()
    assert state(own, SCRIPT, READING) == before


def configured_in_a_transaction(own: Own) -> None:
    with own.client().pipeline(transaction=True) as pipeline:
        pipeline.set("a", 1)
        pipeline.config_set("maxmemory-policy", "allkeys-lru")
        pipeline.execute()


def configured_without_evidence(own: Own) -> None:
    own.client().config_set("maxmemory-policy", "allkeys-lru")
    own.client().config_resetstat()


def followed(own: Own) -> None:
    """A replica asks for everything."""
    with socket.create_connection((own.address.host, own.address.port)) as connection:
        connection.sendall(f"AUTH {own.namespace.password}\r\n".encode())
        assert connection.recv(100) == b"+OK\r\n"
        connection.sendall(b"SYNC\r\n")
        client = own.client()
        while not client.info("replication")["connected_slaves"]:
            pass


LASTING: dict[str, Use] = {
    "CONFIG SET": lambda own: own.client().config_set("maxmemory-policy", "allkeys-lru"),
    "CONFIG SET that failed": lambda own: attempted(own.client(), "CONFIG", "SET", "none", 1),
    "CONFIG SET in a transaction": configured_in_a_transaction,
    "CONFIG RESETSTAT": lambda own: own.client().config_resetstat(),
    "CONFIG RESETSTAT after CONFIG SET": configured_without_evidence,
    "a password of its own": lambda own: own.client().config_set("requirepass", "mine"),
    "another user": lambda own: run(
        own.client(), "ACL", "SETUSER", "else", "on", "nopass", "+@all"
    ),
    "a user without rights": lambda own: run(own.client(), "ACL", "SETUSER", "default", "-config"),
    "a user that is off": lambda own: run(own.client(), "ACL", "SETUSER", "default", "off"),
    "SAVE": lambda own: own.client().save(),
    "REPLICAOF": lambda own: run(own.client(), "REPLICAOF", "127.0.0.1", 1),
    "a replica": followed,
    "DEBUG": lambda own: run(own.client(), "DEBUG", "SET-ACTIVE-EXPIRE", 0),
    "a pause": lambda own: run(own.client(), "CLIENT", "PAUSE", 60_000, "WRITE"),
    "a pause of all": lambda own: run(own.client(), "CLIENT", "PAUSE", 60_000),
    "its end": lambda own: attempted(own.client(), "SHUTDOWN", "NOSAVE"),
}


@pytest.mark.parametrize("renewed", [False, True], ids=["new", "renewed"])
@pytest.mark.parametrize("use", LASTING.values(), ids=LASTING)
def test_server_is_not_renewed_after(start_redis: Start, use: Use, renewed: bool) -> None:
    own = start_redis("--enable-debug-command", "yes")
    if renewed:
        own.client().set("a", 1)
        assert own.renew()
    use(own)
    assert not own.renew()


def test_server_that_stands_still_is_not_renewed(own: Own) -> None:
    os.kill(own.pid, signal.SIGSTOP)
    assert not own.renew()


def test_server_in_an_endless_script_is_not_renewed(own: Own) -> None:
    client = own.client()
    client.ping()

    def loop() -> None:
        with pytest.raises(redis.ConnectionError):  # until the server is killed
            client.eval("while true do end", 0)

    thread = threading.Thread(target=loop)
    thread.start()
    while own_is_answering(own):
        pass
    assert not own.renew()
    os.kill(own.pid, signal.SIGKILL)
    thread.join()


def own_is_answering(own: Own) -> bool:
    with contextlib.closing(own.client()) as client:
        client.connection_pool.connection_kwargs["socket_timeout"] = 0.1
        try:
            client.ping()
        except redis.RedisError:
            return False
        return True


def test_server_that_takes_no_more_connections_is_not_renewed(start_redis: Start) -> None:
    own = start_redis("--maxclients", "3")
    clients = [own.client() for _ in range(3)]
    for client in clients:
        client.ping()
    assert not own.renew()


def test_server_that_is_fuller_than_a_new_one_is_worth_is_not_renewed(own: Own) -> None:
    with own.client().pipeline(transaction=False) as pipeline:
        for number in range(60_000):
            pipeline.set(str(number), 1)
        pipeline.execute()
    assert not own.renew()


# -- whoever had it -------------------------------------------------------------------------------


def waiting_for_a_key(client: redis.Redis) -> None:
    client.blpop(["never"], timeout=0)


def listening(client: redis.Redis) -> None:
    with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe("news")
        for _ in pubsub.listen():
            pass


def watching(client: redis.Redis) -> None:
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        for _ in monitor.listen():
            pass


WAITING: dict[str, Callable[[redis.Redis], None]] = {
    "blpop": waiting_for_a_key,
    "subscribe": listening,
    "monitor": watching,
}


@pytest.mark.parametrize("command", WAITING)
def test_whoever_waits_for_something_is_disconnected(own: Own, command: str) -> None:
    client = own.client()
    ended: list[Exception] = []

    def until_the_end() -> None:
        try:
            WAITING[command](client)
        except (redis.ConnectionError, OSError) as error:
            ended.append(error)

    thread = threading.Thread(target=until_the_end)
    thread.start()
    admin = own.client()
    while command not in {one["cmd"] for one in admin.client_list()}:
        pass
    assert own.renew()
    thread.join()
    assert ended


def test_open_transaction_ends_with_the_lease(own: Own) -> None:
    client = own.client()
    with client.pipeline() as pipeline:
        pipeline.watch("a")  # type: ignore[no-untyped-call]
        pipeline.multi()
        pipeline.set("a", 1)
        assert own.renew()
        with pytest.raises(redis.RedisError):
            pipeline.execute()
    assert own.client().dbsize() == 0


def test_nobody_gets_in_with_the_password_of_the_last_lease(own: Own) -> None:
    late = own.client()
    early = own.client()
    early.set("a", 1)
    assert own.renew()
    with pytest.raises(redis.ConnectionError):
        early.set("a", 2)
    for straggler in (early, late):
        with pytest.raises(redis.AuthenticationError):
            straggler.set("a", 2)
    assert own.client().dbsize() == 0
    assert own.renew()  # who was refused has changed nothing


def test_nobody_writes_into_the_next_lease(own: Own) -> None:
    """Whatever a thread of the last test sends, and however often it connects again."""
    ended = threading.Event()
    began = threading.Event()

    def write(client: redis.Redis) -> None:
        while not ended.is_set():
            with contextlib.suppress(redis.RedisError):
                client.incr("theirs")
            began.set()

    threads = [threading.Thread(target=write, args=(own.client(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    began.wait()
    for _ in range(20):
        if own.renew():  # else somebody came just in between
            assert own.client().keys() == []
            own.client().set("ours", 1)
            assert own.client().keys() == [b"ours"]
    ended.set()
    for thread in threads:
        thread.join()


# -- templates ------------------------------------------------------------------------------------


@pytest.fixture
def prepared(start_redis: Start) -> Own:
    """A server to be sealed."""
    prepared = start_redis()
    prepared.client(0).hset("hash", mapping={"a": "1"})
    prepared.client(7).rpush("list", 1, 2, 3)
    return prepared


def content(own: Own) -> dict[int, dict[Any, bytes | None]]:
    return {
        number: {key: client.dump(key) for key in client.scan_iter()}
        for number in range(16)
        if (client := own.client(number)).dbsize()
    }


@pytest.mark.parametrize(
    "use",
    [
        HARMLESS["nothing"],
        lambda own: own.client().hgetall("hash"),
        lambda own: own.client().hset("hash", "b", "2"),
        lambda own: own.client().delete("hash"),
        lambda own: own.client(3).set("more", 1),
        lambda own: own.client().eval("return redis.call('HSET', 'hash', 'a', '2')", 0),
        lambda own: own.client().restore("hash", 0, own.client().dump("hash") or b"", replace=True),
        lambda own: own.client().flushall(),
    ],
)
def test_content_of_a_template_is_what_it_was_after(prepared: Own, own: Own, use: Use) -> None:
    before = content(prepared)
    sealed = prepared.seal()
    own.fill(sealed)
    for _ in range(3):  # a new server, then renewed ones
        assert content(own) == before
        use(own)
        assert own.renew(sealed)
    assert content(own) == before


def test_what_a_template_expires_lives_anew(prepared: Own, own: Own) -> None:
    prepared.client().set("expires", 1, px=60_000)
    sealed = prepared.seal()
    own.fill(sealed)
    own.client().get("expires")
    time.sleep(1)  # longer than what comes until it is asked again
    left = own.client().pttl("expires")
    assert own.renew(sealed)
    assert own.client().pttl("expires") >= left


def test_functions_of_a_template_are_what_they_were(prepared: Own, own: Own) -> None:
    prepared.client().function_load(LIBRARY)
    sealed = prepared.seal()
    own.fill(sealed)
    own.client().function_load(LIBRARY.replace("return 1", "return 2"), replace=True)
    assert own.renew(sealed)
    assert own.client().fcall("one", 0) == 1


def test_server_of_one_template_can_become_one_of_another(prepared: Own, own: Own) -> None:
    sealed = prepared.seal()
    own.client().set("a", 1)
    assert own.renew(sealed)
    assert set(content(own)) == {0, 7}
    own.client().set("a", 1)
    assert own.renew(None)
    assert content(own) == {}


# -- whatever is done -----------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.sampled_from(["0", "1", "7"])
COMMANDS = st.one_of(
    st.tuples(st.just("SET"), KEYS, st.binary(max_size=20)),
    st.tuples(st.just("SET"), KEYS, st.just("1"), st.just("PX"), st.sampled_from(["1", "9999"])),
    st.tuples(st.sampled_from(["INCR", "DEL", "LPOP", "GET", "PERSIST", "TYPE", "DUMP"]), KEYS),
    st.tuples(st.sampled_from(["RPUSH", "SADD", "PFADD", "APPEND"]), KEYS, st.text(max_size=5)),
    st.tuples(st.just("HSET"), KEYS, KEYS, NUMBERS),
    st.tuples(st.just("ZADD"), KEYS, NUMBERS, KEYS),
    st.tuples(st.just("XADD"), KEYS, st.just("*"), KEYS, NUMBERS),
    st.tuples(st.just("XGROUP"), st.just("CREATE"), KEYS, KEYS, st.just("$"), st.just("MKSTREAM")),
    st.tuples(st.sampled_from(["RENAME", "COPY", "SUNIONSTORE", "SORT"]), KEYS, KEYS),
    st.tuples(st.just("MOVE"), KEYS, NUMBERS),
    st.tuples(st.just("SELECT"), NUMBERS),
    st.tuples(st.just("SWAPDB"), NUMBERS, NUMBERS),
    st.tuples(st.just("EVAL"), st.just(SCRIPT), st.just("0")),
    st.tuples(st.just("SCRIPT"), st.just("LOAD"), st.just(SCRIPT)),
    st.tuples(st.just("FUNCTION"), st.just("LOAD"), st.just(LIBRARY)),
    st.tuples(st.just("FCALL"), st.just("one"), st.just("0")),
    st.tuples(st.just("AUTH"), st.text("xyz", min_size=1, max_size=3)),
    st.sampled_from(
        [("MULTI",), ("EXEC",), ("DISCARD",), ("FLUSHALL",), ("FLUSHDB",), ("INFO",), ("RESET",)]
    ),
    st.tuples(st.sampled_from(["NONSENSE", "PUBLISH", "WATCH", "CLIENT", "CONFIG"]), KEYS),
)


@pytest.fixture(params=["wheel", "path"], scope="module")
def used(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Own, dict[str, Any]]]:
    """A server that is renewed again and again, and how it was in the beginning."""
    with starting(request.param, tmp_path_factory.mktemp("used")) as start:
        own = start()
        yield own, state(own, SCRIPT, READING)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commands=st.lists(COMMANDS, max_size=20))
def test_server_is_as_new_after_any_commands_on_data(
    used: tuple[Own, dict[str, Any]], commands: list[tuple[str | bytes, ...]]
) -> None:
    own, new = used
    with contextlib.closing(own.client()) as client:
        connection = client.connection_pool.get_connection()
        for words in commands:
            connection.send_command(*words)  # type: ignore[no-untyped-call]
            with contextlib.suppress(redis.RedisError):
                connection.read_response()
    assert own.renew()
    assert state(own, SCRIPT, READING) == new
