"""What is added to Native blocks for a client's protocol revision."""

from __future__ import annotations

import pytest

from envkit.chdb_server import native
from envkit.chdb_server.failures import Failure

BLOCK = b"\x01\x01\x01d\x08DateTime\0\0\0\0"
INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def test_revision_0_is_what_the_engine_writes() -> None:
    assert native.Reviser(0).revise(BLOCK) == BLOCK


def test_block_info_comes_first() -> None:
    assert native.Reviser(54405).revise(BLOCK) == INFO + BLOCK


def test_nothing_is_added_to_nothing() -> None:
    assert native.Reviser(54405).revise(b"") == b""


def test_a_zone_is_put_back() -> None:
    reviser = native.Reviser(54405)
    reviser.learn([(b"d", b"DateTime('UTC')")])
    assert reviser.revise(BLOCK) == INFO + b"\x01\x01\x01d\x0fDateTime('UTC')\0\0\0\0"


def test_an_ambiguous_block_stays_as_it_is() -> None:
    reviser = native.Reviser(54405)
    reviser.learn([(b"d", b"DateTime('UTC')")])
    block = BLOCK + b"\x01d\x08DateTime"
    assert reviser.revise(block) == INFO + block


def test_newer_revisions_are_refused_by_name() -> None:
    with pytest.raises(Failure, match="client_protocol_version=54454"):
        native.Reviser(54454)
