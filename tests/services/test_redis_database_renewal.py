"""Numbered databases of one Redis server that were used, and go to the next lease."""

from __future__ import annotations

import os
import signal

import pytest
import redis

from envkit.model import ServiceSettings
from envkit.owner import Owner
from envkit.services.redis import SPEC
from envkit.services.spec import Namespace, Sealed
from tests.services.own_redis import Own, client_of

OWNER = Owner.this_process().text


def create(own: Own, name: str = "lease_1", sealed: Sealed | None = None) -> Namespace:
    return SPEC.create(own.address, name, ServiceSettings(), OWNER, sealed)


def renew(own: Own, namespace: Namespace, sealed: Sealed | None = None) -> Namespace | None:
    return SPEC.renew(own.address, namespace, "lease_2", sealed)


@pytest.fixture
def confining(own: Own) -> Own:
    """A server that can bind a user to a database."""
    namespace = create(own)
    SPEC.drop(own.address, namespace)
    if not namespace.mark:
        pytest.skip("this server cannot bind a user to a database")
    return own


def test_database_goes_to_the_next_one_empty(confining: Own) -> None:
    one = create(confining)
    with client_of(confining.address, one) as client:
        client.mset({"a": 1, "b": 2})
    two = renew(confining, one)
    assert two is not None
    assert (two.user, two.database) == ("lease_2", one.database)
    assert two.password != one.password
    with client_of(confining.address, two) as client:
        assert client.dbsize() == 0


def test_database_goes_to_the_next_one_with_the_content_of_its_template(confining: Own) -> None:
    prepared = create(confining, "template")
    with client_of(confining.address, prepared) as client:
        client.hset("hash", "a", "1")
    sealed = SPEC.seal(confining.address, prepared)
    one = create(confining, sealed=sealed)
    with client_of(confining.address, one) as client:
        client.hset("hash", "a", "2")
        client.set("more", 1)
    two = renew(confining, one, sealed)
    assert two is not None
    with client_of(confining.address, two) as client:
        assert client.keys() == [b"hash"]
        assert client.hgetall("hash") == {b"a": b"1"}


def test_whoever_had_a_database_is_gone(confining: Own) -> None:
    one = create(confining)
    with client_of(confining.address, one) as client:
        client.ping()
        assert renew(confining, one) is not None
        with pytest.raises(redis.ConnectionError):
            client.set("late", 1)
        with pytest.raises(redis.AuthenticationError):
            client.set("late", 1)
    assert sorted(confining.client().acl_users()) == ["default", "lease_2"]


def test_next_user_is_confined_as_well(confining: Own) -> None:
    two = renew(confining, create(confining))
    assert two is not None
    for number in {1, 2} - {int(two.database)}:
        with (
            client_of(confining.address, two) as client,
            pytest.raises(redis.ResponseError, match=r"(?i)no permissions|NOPERM"),
        ):
            client.select(number)


def test_other_leases_of_the_server_are_left_alone(confining: Own) -> None:
    other = create(confining, "other")
    one = create(confining)
    with client_of(confining.address, other) as client:
        client.set("a", 1)
        assert renew(confining, one) is not None
        assert client.get("a") == b"1"


def test_renewed_database_can_be_dropped_and_taken_again(confining: Own) -> None:
    two = renew(confining, create(confining))
    assert two is not None
    SPEC.drop(confining.address, two)
    assert confining.client().info("keyspace") == {}
    assert confining.client().acl_users() == ["default"]


def test_database_that_nobody_claims_any_more_is_not_renewed(confining: Own) -> None:
    one = create(confining)
    confining.client().delete(f"envkit:lease:{one.database}")
    assert renew(confining, one) is None


def test_database_of_a_server_that_stands_still_is_not_renewed(confining: Own) -> None:
    one = create(confining)
    os.kill(confining.pid, signal.SIGSTOP)
    assert renew(confining, one) is None


def test_database_whose_user_could_have_been_elsewhere_is_not_renewed(own: Own) -> None:
    """Redis lets whoever names no database into database 0."""
    one = create(own)
    if one.mark:
        pytest.skip("this server binds a user to a database")
    assert renew(own, one) is None
    SPEC.drop(own.address, one)
    assert own.client().acl_users() == ["default"]
