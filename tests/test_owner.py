"""Whether the owner of a leftover is provably dead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from msgspec import structs

from envkit.owner import Owner
from envkit.processes import start_time


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until its standard input is closed."""
    program = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    yield program
    program.communicate()


def owner_of(pid: int) -> Owner:
    return structs.replace(Owner.this_process(), pid=pid, started=start_time(pid) or 0)


def test_process_that_lives_is_not_dead() -> None:
    assert Owner.this_process().is_dead is False


def test_process_that_ended_is_dead(other: subprocess.Popen[bytes]) -> None:
    owner = owner_of(other.pid)
    assert owner.is_dead is False
    other.communicate()
    assert owner.is_dead is True


def test_process_that_has_the_number_of_an_earlier_one_is_not_the_owner() -> None:
    this = Owner.this_process()
    assert structs.replace(this, started=this.started - 1).is_dead is True


def test_owner_of_before_a_reboot_is_dead() -> None:
    assert structs.replace(Owner.this_process(), boot="earlier").is_dead is True


def test_owner_on_another_machine_cannot_be_judged() -> None:
    elsewhere = structs.replace(Owner.this_process(), boot="other", machine="other")
    assert elsewhere.is_dead is None


def test_owner_whose_boot_is_not_known_cannot_be_judged() -> None:
    assert structs.replace(Owner.this_process(), boot="").is_dead is None


def test_owner_in_another_pid_namespace_cannot_be_judged() -> None:
    neighbour = structs.replace(Owner.this_process(), pids="pid:[1]", pid=1, started=0)
    assert neighbour.is_dead is None


def test_two_owners_in_one_process_are_told_apart() -> None:
    assert Owner.this_process().run != Owner.this_process().run


def test_what_is_written_can_be_read_back() -> None:
    owner = Owner.this_process()
    assert Owner.read(owner.text) == owner


@pytest.mark.parametrize("text", ["", "true", "{}", '{"pid": "x"}', "someone's own label"])
def test_what_somebody_else_wrote_is_nobody(text: str) -> None:
    assert Owner.read(text) is None
