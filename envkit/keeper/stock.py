"""Namespaces that are ready before anybody asks, and what becomes of used ones.

A `Crew` works for all stocks of a service in the background: it makes what is used like new, or
else drops it, and makes new ones until there are as many as wanted. What can be had at once goes
before what takes long, and dropping waits until nothing else is to be done.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from envkit.errors import LeaseLimit
from envkit.keeper.held import Held
from envkit.services.spec import Sealed
from envkit.wait import Cancelled

__all__ = ["Crew", "Source", "Stock"]

# Namespaces beside each other that are made or removed at a time: more would only take turns on
# the server, and one would leave it idle while it waits for itself.
_HANDS = 2
# Whoever has just got a namespace, or given one back, is about to begin something; what can wait
# begins when nobody has for so long. On two cores that halves the time to a test's first answers.
_REST_S = 0.02
# A member of the crew that has nothing to do for this long goes home.
_IDLE_S = 2.0
# So many may wait to be dropped before that comes first: each takes room.
_PILE = 24
# So long may what is being removed take to make room for something new.
_ROOM_S = 5.0
# The most that growing demand can make of a stock.
_MOST = 64


class Source(Protocol):
    """Makes, renews and drops namespaces of one server."""

    def make(self, name: str, sealed: Sealed | None) -> Held:
        """A new one; raises what went wrong."""

    def renew(self, held: Held, name: str, sealed: Sealed | None) -> Held | None:
        """A used one as if it were new, or None."""

    def drop(self, held: Held) -> None:
        """Remove one."""


def _name() -> str:
    return f"lease_{os.urandom(5).hex()}"


class Stock:
    """Namespaces of one template.

    Args:
        source: Where they come from.
        sealed: The template; None for empty ones.
        crew: Works for it.
        room: How many more there may be, as far as the limit of leases goes.

    Attributes:
        wanted: How many are to be ready.
        taken: How many have been handed out.
    """

    def __init__(
        self, source: Source, sealed: Sealed | None, crew: Crew, room: Callable[[], int]
    ) -> None:
        self.source = source
        self.sealed = sealed
        self.wanted = 0
        self.taken = 0
        self._crew = crew
        self._room = room
        self._ready: deque[Held] = deque()
        self._used: deque[Held] = deque()  # perhaps to be renewed
        self._doomed: deque[Held] = deque()  # to be dropped
        self._coming = 0
        self._going = 0
        self._out = 0
        self._most_out = 0
        self._growing = False
        self._closed = False
        self._full = False  # the server cannot hold more
        self._guard = threading.Lock()

    def warm(self, count: int) -> None:
        """Have this many ready from now on."""
        with self._guard:
            if self._closed:
                return
            self.wanted = max(self.wanted, min(count, _MOST))
            self._growing = True
        self._crew.call(self)

    def ready(self) -> Held | None:
        """One that is there already and that nobody else has."""
        with self._guard:
            while self._ready:
                held = self._ready.popleft()
                if held.up.alive:
                    break
                self._doomed.append(held)
            else:
                return None
        return self._handed(held)

    def new(self) -> Held:
        """One that is made now, of a used one if there is any; raises what went wrong."""
        with self._guard:
            used = self._used.popleft() if self._used and self.wanted else None
            if used is not None:
                self._coming += 1
            elif self._growing and self.wanted < min(self._most_out, _MOST):
                # Whoever waits shows that there were too few, be it for a moment; more than are
                # in use at a time would only take room.
                self.wanted += 1
        if used is not None and (fresh := self._renewed(used)) is not None:
            with self._guard:
                self._coming -= 1
            return self._handed(fresh)
        while True:
            try:
                return self._handed(self.source.make(_name(), self.sealed))
            except LeaseLimit:
                if not self._crew.make_room():
                    raise

    def close(self) -> None:
        """Take nothing more in, and drop what is there."""
        with self._guard:
            self._closed = True
            self._growing = False
            self.wanted = 0
            self._doomed += [*self._ready, *self._used]
            self._ready.clear()
            self._used.clear()
        self._crew.call(self)

    @property
    def idle(self) -> int:
        """How many are there that nobody has, or are being made."""
        with self._guard:
            return len(self._ready) + self._coming

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to be done for it, now that it is closed."""
        with self._guard:
            return self._closed and not (self._coming or self._used or self._doomed)

    @property
    def counts(self) -> tuple[int, int]:
        """How many are ready, and how many the crew has yet to make, to renew or to remove."""
        with self._guard:
            ready = len(self._ready)
            missing = 0 if self._full else max(0, self._new_ones - ready - self._coming)
            work = self._coming + self._going + len(self._doomed)
            return ready, work + max(missing, len(self._used))

    @property
    def _new_ones(self) -> int:
        """Up to how many ready ones more are made.

        Those that somebody has will be back, and to renew one takes less than to make one: so one
        that is taken is not replaced at once, unless half of them are.
        """
        return max(self.wanted - self._out, self._half)

    @property
    def _half(self) -> int:
        return (self.wanted + 1) // 2

    def _handed(self, held: Held) -> Held:
        with self._guard:
            self.taken += 1
            self._out += 1
            self._most_out = max(self._most_out, self._out)
        self._crew.call(self)
        return msgspec.structs.replace(held, give_back=lambda: self._back(held))

    def _back(self, held: Held) -> None:
        with self._guard:
            self._out -= 1
            self._full = False
            (self._doomed if self._closed else self._used).append(held)
        self._crew.call(self)

    def drop_one(self) -> bool:
        """Drop now what nobody has; False if there is none."""
        with self._guard:
            for pile in (self._doomed, self._used, self._ready):
                if pile:
                    held = pile.popleft()
                    self._going += 1
                    break
            else:
                return False
        self._drop(held)
        return True

    # -- what the crew does -------------------------------------------------------------------

    def job(self, *, pressing: bool, rested: bool) -> Callable[[], None] | None:
        """Something to be done here.

        Args:
            pressing: Only what brings one to the ready ones, or makes room that is needed.
            rested: What can wait as well; else only what is soon needed.
        """
        room = self._room()  # asks all stocks, this one included
        with self._guard:
            ready = len(self._ready) + self._coming
            enough = self.wanted if self._used else 0 if self._full else self._new_ones
            if not rested:
                enough = min(enough, self._half)
            if ready < enough and room > 0:
                self._coming += 1
                if not self._used:
                    return self._make
                used = self._used.popleft()
                return lambda: self._renew(used)
            can_wait = pressing or not rested
            if can_wait and len(self._used) + len(self._doomed) <= _PILE:
                return None
            for pile in (self._doomed, self._used):
                if pile:
                    doomed = pile.popleft()
                    self._going += 1
                    return lambda: self._drop(doomed)
            return None

    def _renew(self, used: Held) -> None:
        if (fresh := self._renewed(used)) is not None:
            with self._guard:
                self._arrived(fresh)

    def _renewed(self, used: Held) -> Held | None:
        """One as new, which is still on its way; else the used one is doomed."""
        fresh = None
        try:
            if used.up.alive:
                fresh = self.source.renew(used, _name(), self.sealed)
        except Cancelled:
            pass
        except Exception:
            traceback.print_exc()  # whatever a user has done to it: it is dropped
        finally:
            if fresh is None:
                with self._guard:
                    self._coming -= 1
                    self._doomed.append(used)
        return fresh

    def _make(self) -> None:
        fresh = None
        try:
            fresh = self.source.make(_name(), self.sealed)
        except Cancelled:
            self.wanted = 0
        except LeaseLimit:
            self._full = True  # until something comes back
        except Exception:
            # Whoever asks next makes one itself, and is told.
            self.wanted = 0
            traceback.print_exc()
        finally:
            with self._guard:
                self._arrived(fresh)

    def _arrived(self, fresh: Held | None) -> None:
        self._coming -= 1
        if fresh is not None:
            (self._doomed if self._closed else self._ready).append(fresh)

    def _drop(self, held: Held) -> None:
        try:
            self.source.drop(held)
        except Exception:
            if held.up.alive:
                traceback.print_exc()  # it goes with the server at the latest
        finally:
            with self._guard:
                self._going -= 1
                self._full = False


class Crew:
    """Threads that work for the stocks of one service, as long as there is something to do."""

    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._stocks: list[Stock] = []
        self._hands = 0
        self._calls = 0
        self._called = 0.0
        self._working = 0
        self._done = 0
        self._ended = False

    def call(self, stock: Stock) -> None:
        """Something has changed in a stock."""
        with self._guard:
            if self._ended:
                return
            if stock not in self._stocks:
                self._stocks.append(stock)
            self._calls += 1
            self._called = time.monotonic()
            self._guard.notify()
            if self._hands >= _HANDS:
                return
            self._hands += 1
        try:
            threading.Thread(target=self._work, daemon=True).start()
        except RuntimeError:  # no thread to be had: it waits for the next call
            with self._guard:
                self._hands -= 1

    def make_room(self) -> bool:
        """Remove something that nobody has, because a server is full; False if there is none."""
        with self._guard:
            stocks, working = list(self._stocks), self._working
        if any(stock.drop_one() for stock in stocks):
            return True
        with self._guard:
            done = self._done
            return bool(working) and self._guard.wait_for(lambda: self._done > done, _ROOM_S)

    def end(self) -> None:
        """Take up nothing more."""
        with self._guard:
            self._ended = True
            self._guard.notify_all()

    def _work(self) -> None:
        while True:
            with self._guard:
                seen = self._calls
                rested = time.monotonic() - self._called >= _REST_S
                self._stocks = [stock for stock in self._stocks if not stock.is_over]
                stocks = list(self._stocks)
            job = self._found(stocks, rested)
            if job is not None and not self._ended:
                with self._guard:
                    self._working += 1
                try:
                    job()
                finally:
                    with self._guard:
                        self._working -= 1
                        self._done += 1
                        self._guard.notify_all()
                continue
            with self._guard:
                if not self._ended:
                    if self._calls != seen or self._guard.wait(_IDLE_S if rested else _REST_S):
                        continue
                    if self._calls != seen or not rested:
                        continue
                self._hands -= 1
                return

    @staticmethod
    def _found(stocks: list[Stock], rested: bool) -> Callable[[], None] | None:
        for pressing in (True, False):
            for stock in stocks:
                job = stock.job(pressing=pressing, rested=rested)
                if job is not None:
                    return job
        return None
