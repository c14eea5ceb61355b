"""The only polling loop: ask in the service's own protocol until it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from msgspec import Struct

from envkit.errors import EnvkitError

__all__ = ["Cancelled", "NotAnswering", "Trouble", "until_answer"]

_T = TypeVar("_T")

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.02
# A first try may run into a server that accepts and is not there yet, as behind a proxy of ports,
# and would wait for an answer that never comes; one that is only slow gets more each time.
_FIRST_TRY_S = 0.5
_LONGEST_TRY_S = 5.0


class Trouble(Struct, frozen=True, kw_only=True):
    """What an unanswered question to a server that is not ours means.

    Attributes:
        kind: ``starting`` goes away by itself; ``absent`` may, within moments, if somebody is just
            starting it; ``denied`` (an answer, but not for this user) and ``foreign`` (an answer
            of something else) do not.
        hint: What to type.
    """

    kind: Literal["starting", "absent", "denied", "foreign"]
    hint: str


class NotAnswering(Exception):
    """The time is up or the server has ended.

    Attributes:
        last: What the last try ran into.
        ended: Whether the server's process is gone.
        limit: The seconds it had.
    """

    def __init__(self, last: BaseException | None, *, ended: bool, limit: float) -> None:
        super().__init__(str(last))
        self.last = last
        self.ended = ended
        self.limit = limit


class Cancelled(Exception):
    """Nobody waits for this any more."""


def until_answer(
    ask: Callable[[float], _T],
    *,
    ended: threading.Event,
    cancelled: threading.Event,
    limit: float,
) -> _T:
    """Call ``ask`` until it returns.

    Args:
        ask: One round trip; takes its own limit in seconds, raises while there is no answer.
        ended: Set when the server's process is gone; noticed at once.
        cancelled: Set when nobody waits any more; noticed within one try.
        limit: Seconds in all.

    Raises:
        NotAnswering: No answer within the limit, or the server ended.
        Cancelled: As asked.
        EnvkitError: From ``ask``, at once: such an error does not go away by itself.
    """
    begun = time.monotonic()
    pause, one_try = _FIRST_PAUSE_S, _FIRST_TRY_S
    last: BaseException | None = None
    while True:
        left = limit - (time.monotonic() - begun)
        if cancelled.is_set():
            raise Cancelled
        # A server that has ended can leave its port to somebody else, whose answer means nothing.
        if ended.is_set() or left <= 0:
            raise NotAnswering(last, ended=ended.is_set(), limit=limit)
        asked = time.monotonic()
        try:
            answer = ask(min(one_try, left))
        except EnvkitError:
            raise
        except Exception as error:
            last = error
            if time.monotonic() - asked >= one_try:
                one_try = min(one_try * 2, _LONGEST_TRY_S)
        else:
            if not ended.is_set():
                return answer
        ended.wait(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
