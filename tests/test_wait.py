"""The loop that waits for a server's first answer."""

from __future__ import annotations

import threading
import time

from envkit.wait import until_answer


def test_server_that_only_is_slow_gets_more_time_with_each_try() -> None:
    limits: list[float] = []

    def ask(limit: float) -> str:
        limits.append(limit)
        if len(limits) < 3:
            time.sleep(limit)  # what a client does that waits for an answer
            raise TimeoutError
        return "ready"

    said = until_answer(ask, ended=threading.Event(), cancelled=threading.Event(), limit=30)
    assert (said, limits) == ("ready", [0.5, 1.0, 2.0])


def test_try_that_is_refused_at_once_says_nothing_about_speed() -> None:
    limits: list[float] = []

    def ask(limit: float) -> str:
        limits.append(limit)
        if len(limits) < 4:
            raise ConnectionRefusedError
        return "ready"

    until_answer(ask, ended=threading.Event(), cancelled=threading.Event(), limit=30)
    assert limits == [0.5] * 4
