"""The leases of a pytest run, from the hand-out to the end: whose they are, and which ones stay.

Whether a test failed is known when all of its teardown is over, and that is after the fixture that
had the lease: a fixture that the test got earlier may fail later. So a lease ends with its test,
not with its fixture.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Literal

import pytest

from envkit.errors import EnvkitError
from envkit.keeper.client import Client
from envkit.model import Lease, ServiceName

__all__ = ["Keep", "Kept", "OpenLease", "OpenLeases"]

Keep = Literal["none", "failed", "all"]
#: Whose lease was kept, its id, and its services.
Kept = tuple[str, str, list[ServiceName]]


class OpenLease:
    """A lease that a fixture has.

    Attributes:
        client: The connection that it belongs to.
        fixture: Name of the fixture, if the lease is that of one fixture alone.
        log_sizes: Bytes that each service's log had when the running test got at the lease.
        told: Whether a report of the running test has said what is in the logs up to there.
    """

    def __init__(self, lease: Lease, client: Client, owner: str, fixture: str) -> None:
        self.lease = lease
        self.client = client
        self.fixture = fixture
        self.log_sizes: dict[ServiceName, int] = {}
        self.told = False
        self._owner = owner
        self._failed = ""
        self._in_use = True
        self._of_this_test = True
        self.measure()

    def measure(self) -> None:
        """Have the logs begin here."""
        for service, path in self.lease.logs.items():
            with suppress(OSError):  # then as before
                self.log_sizes[service] = os.stat(path).st_size  # noqa: PTH116 - for each test

    def _begin_again(self) -> None:
        self._of_this_test = self.told = False
        self.measure()

    def _end(self, keep: Keep) -> Kept | None:
        with suppress(EnvkitError):  # such as KeeperLost: then it is gone already
            if keep == "all" or (keep == "failed" and self._failed):
                self.client.keep(self.lease.id)
                whose = self._failed or self._owner
                whose += f" ({self.fixture})" if self.fixture else ""
                return whose, self.lease.id, list(self.lease.endpoints)
            self.client.release(self.lease.id)
        return None


class OpenLeases:
    """Those that fixtures have, and those whose test is not over yet.

    Args:
        keep: Whose are to stay.
        kept: Where to write down those that do.
    """

    def __init__(self, keep: Keep, kept: list[Kept]) -> None:
        self.keep = keep
        self._kept = kept
        self._open: list[OpenLease] = []
        self._tests_are_over = False

    def opened(self, lease: Lease, client: Client, owner: str, fixture: str) -> OpenLease:
        """A lease that was just taken.

        Args:
            lease: What the keeper gave.
            client: Who got it.
            owner: Node id of the test, class or file that it is for; empty is the session.
            fixture: See `OpenLease`.
        """
        one = OpenLease(lease, client, owner or "the session", fixture)
        self._open.append(one)
        return one

    def closed(self, one: OpenLease) -> None:
        """The fixture is done with it."""
        one._in_use = False
        if self._tests_are_over:
            self._settle()

    def failed(self, item: pytest.Item) -> list[OpenLease]:
        """Those that a test had which failed."""
        names = getattr(item, "fixturenames", ())
        used = [one for one in self._open if one._of_this_test or one.fixture in names]
        for one in used:
            one._failed = one._failed or item.nodeid
        return used

    def test_is_over(self) -> None:
        """End those of the test; the others' logs begin anew for the next one."""
        self._settle()
        for one in self._open:
            one._begin_again()

    def tests_are_over(self) -> None:
        """From now on a lease ends with its fixture."""
        self._tests_are_over = True
        self._settle()

    def _settle(self) -> None:
        done = [one for one in self._open if not one._in_use]
        self._open = [one for one in self._open if one._in_use]
        for one in done:
            if kept := one._end(self.keep):
                self._kept.append(kept)
