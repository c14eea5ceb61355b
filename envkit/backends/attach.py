"""Servers that run already: nothing is started, nothing is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from envkit.backends.site import Site
from envkit.errors import AttachDenied, AttachFailed, EnvkitError
from envkit.wait import NotAnswering, Trouble

__all__ = ["AttachedServer"]

_T = TypeVar("_T")

# Whoever starts a server beside us has this long: what is still starting shows itself by then.
_PATIENCE_S = 2.0
_ONE_TRY_S = 3.0


class AttachedServer:
    """Somebody else's server.

    Attributes:
        ended: Never set: what becomes of the server is not ours to watch.
    """

    product = ""
    pid = 0
    container = ""
    socket_dir = ""

    def __init__(
        self, *, name: str, title: str, host: str, port: int, why: str, password: str, site: Site
    ) -> None:
        self.log = site.logs / f"{name}.log"
        self.ended = threading.Event()
        self.host = host
        self.port = port
        self._title = title
        self._why = why
        self._password = password

    def launch(self) -> None:
        """Say in the log where the server's own log is not."""
        with self.log.open("a") as log:
            log.write(f"{self._title}: {self._why}; its log is with whoever started it\n")

    def wants_another_try(self) -> bool:
        return False

    def wants_fresh_start(self) -> bool:
        return False

    def log_tail(self) -> str:
        return ""

    def failure(self, title: str, error: NotAnswering) -> EnvkitError:
        return AttachFailed(
            f"{title}, {self._why}, is not ready after {error.limit:g} s",
            detail=self._words(error.last),
            hint="start_timeout in [tool.envkit] gives it more time",
        )

    def stop(self) -> None:
        """Leave it alone."""

    def asking(
        self, ask: Callable[[float], _T], trouble: Callable[[Exception], Trouble]
    ) -> Callable[[float], _T]:
        """The same question, but with an end to the patience with what does not go away.

        Args:
            ask: As `until_answer` takes it.
            trouble: What an exception of ``ask`` means.
        """
        begun = time.monotonic()

        def one_try(limit: float) -> _T:
            try:
                return ask(min(limit, _ONE_TRY_S))
            except EnvkitError:
                raise
            except Exception as error:
                meaning = trouble(error)
                if meaning.kind == "absent" and time.monotonic() - begun < _PATIENCE_S:
                    raise
                if meaning.kind == "starting":
                    raise
                raise self._failed(error, meaning) from None

        return one_try

    def _failed(self, error: Exception, trouble: Trouble) -> EnvkitError:
        kind = AttachDenied if trouble.kind == "denied" else AttachFailed
        what = {
            "denied": "answers, but does not let envkit in",
            "foreign": f"is not {self._title}, or not its usual protocol",
        }.get(trouble.kind, "does not answer")
        return kind(
            f"{self._title}, {self._why}, {what}", detail=self._words(error), hint=trouble.hint
        )

    def _words(self, error: BaseException | None) -> str:
        """What was said, without the password, should it be part of that."""
        words = str(error).strip() or repr(error)
        return words.replace(self._password, "***") if len(self._password) > 3 else words
