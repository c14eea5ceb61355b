"""Numbered databases of a Redis server as leases: taken only if empty, and never somebody else's.

The server is one of the test's own, so that it knows the password and can play everybody else.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from envkit import api
from envkit.errors import AttachUnsuitable, LeaseLimit
from envkit.host import find_programs
from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.attached.redis import ATTACHMENT
from envkit.services.redis import SPEC
from envkit.services.spec import Address, Namespace

COUNT = 6
OWNER = Owner.this_process().text


@pytest.fixture(params=["wheel", "path"], scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Address]:
    """A server with six databases: of the wheel, and what is installed otherwise.

    Valkey 9.1 confines users to a database itself; older ones and Redis need more rules.
    """
    programs = [p for p in find_programs(SPEC.programs) if p.program.origin == request.param]
    if not programs:
        pytest.skip("no redis-server or valkey-server on PATH")
    root = tmp_path_factory.mktemp(request.param)
    (root / "envkit.toml").write_text(
        f'backend = "embedded"\nredis.version = "{programs[0].version}"\n'
        f"redis.settings.databases = {COUNT}\n"
    )
    with api.lease("redis", root=root) as leased:
        one = leased.redis
        yield Address(host=one.host, port=one.port, user=one.user, password=one.password)


def everybody(server: Address, database: int) -> redis.Redis:
    return redis.Redis(server.host, server.port, database, server.password, decode_responses=True)


@pytest.fixture(autouse=True)
def _empty(server: Address) -> Iterator[None]:
    yield
    with everybody(server, 0) as admin:
        admin.flushall()
        for user in admin.acl_users():
            if user != "default":
                admin.acl_deluser(user)


def fill(server: Address, *databases: int) -> None:
    for number in databases:
        with everybody(server, number) as client:
            client.set("theirs", number)


def create(server: Address, name: str = "lease_1") -> Namespace:
    return SPEC.create(server, name, ServiceSettings(), OWNER, None)


def test_the_one_empty_database_is_found(server: Address) -> None:
    fill(server, 1, 2, 4, 5)
    assert create(server).database == "3"


def test_database_that_somebody_filled_is_not_taken(server: Address) -> None:
    fill(server, 1, 2, 3, 4, 5)
    with pytest.raises(LeaseLimit, match=r"all 5 databases .* are in use or not empty"):
        create(server)


def test_database_that_somebody_filled_is_not_flushed(server: Address) -> None:
    fill(server, 1, 2, 4, 5)
    SPEC.drop(server, create(server))
    for number in (1, 2, 4, 5):
        with everybody(server, number) as client:
            assert client.get("theirs") == str(number)


def test_database_that_was_not_taken_is_not_claimed(server: Address) -> None:
    fill(server, 1, 2, 3, 4, 5)
    with pytest.raises(LeaseLimit):
        create(server)
    with everybody(server, 0) as client:
        assert client.keys() == []


def test_claim_says_whose_the_database_is(server: Address) -> None:
    database = create(server).database
    with everybody(server, 0) as client:
        assert client.get(f"envkit:lease:{database}") == OWNER


def test_database_that_is_claimed_is_not_taken_although_it_is_empty(server: Address) -> None:
    with everybody(server, 0) as client:
        for number in (1, 2, 3, 5):
            client.set(f"envkit:lease:{number}", "somebody")
    assert create(server).database == "4"


def test_dropped_database_can_be_taken_again(server: Address) -> None:
    fill(server, 1, 2, 4, 5)
    for name in ("lease_1", "lease_2"):
        namespace = create(server, name)
        with everybody(server, 3) as client:
            client.set("mark", "left behind")
        SPEC.drop(server, namespace)
    with everybody(server, 3) as client:
        assert client.dbsize() == 0


def test_base_database_is_never_taken(server: Address) -> None:
    taken = {create(server, f"lease_{n}").database for n in range(COUNT - 1)}
    assert taken == {"1", "2", "3", "4", "5"}


def test_another_base_database_is_left_out_as_well(server: Address) -> None:
    fill(server, 1, 2, 3)
    base = Address(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        database="4",
    )
    assert create(base).database == "5"


@pytest.mark.parametrize(
    "command", ["SELECT 2", "MOVE mine 2", "COPY mine mine DB 2", "SWAPDB 3 2"]
)
def test_user_of_a_lease_is_confined(server: Address, command: str) -> None:
    fill(server, 1, 2, 4, 5)
    one = create(server)
    with redis.Redis(server.host, server.port, 3, one.password, username=one.user) as client:
        client.set("mine", "1")
        with pytest.raises(redis.ResponseError, match=r"(?i)no permissions|NOPERM"):
            client.execute_command(*command.split())


@pytest.mark.parametrize(
    "command", ["LOAD REPLACE", "DELETE theirs", "FLUSH", "RESTORE x", "SCRIPT FLUSH"]
)
def test_user_of_a_lease_does_not_change_what_all_databases_share(
    server: Address, command: str
) -> None:
    library = "#!lua name=theirs\nredis.register_function('f', function() return 1 end)"
    with everybody(server, 0) as admin:
        admin.function_load(library)
    one = create(server)
    words = command.split() if "SCRIPT" in command else ["FUNCTION", *command.split()]
    if "LOAD" in command:
        words.append(library)
    number = int(one.database)
    with redis.Redis(server.host, server.port, number, one.password, username=one.user) as client:
        with pytest.raises(redis.ResponseError, match=r"(?i)no permissions|NOPERM"):
            client.execute_command(*words)
        assert client.fcall("f", 0) == 1
    with everybody(server, 0) as admin:
        admin.function_flush()


def test_user_of_a_lease_is_gone_with_it(server: Address) -> None:
    one = create(server)
    SPEC.drop(server, one)
    with everybody(server, 0) as client:
        assert client.acl_users() == ["default"]


def test_server_that_cannot_confine_is_no_target_while_database_0_holds_something(
    server: Address,
) -> None:
    greeting = SPEC.greet(server, 5)
    ATTACHMENT.examine(server, greeting, ServiceSettings())  # empty: any server will do
    fill(server, 0)
    if greeting.product == "Valkey":
        ATTACHMENT.examine(server, greeting, ServiceSettings())
        return
    with pytest.raises(AttachUnsuitable, match="keys in database 0"):
        ATTACHMENT.examine(server, greeting, ServiceSettings())
