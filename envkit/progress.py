"""What somebody sees while services start: a line for each, live on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from envkit.model import ServiceName
from envkit.redact import one_line

__all__ = ["Event", "show"]

Event = dict[str, Any]

_WIDTH = 12


def _words(event: Event | None, waited: float) -> str:
    """One service's state as people read it."""
    if event is None:
        return "waiting"
    match event["state"]:
        case "ready":
            what = f"{event['product']} {event['version']} ({event['backend']})"
            if event.get("joined"):
                return f"was up already   {what}"
            return f"ready in {event['ms']:.0f} ms   {what}"
        case "failed":
            return f"failed [{event['slug']}]"
        case "pulling":
            return f"pulling {event['image']}"
        case "given up":
            return "not waited for"
        case _:
            return f"starting {waited:.1f} s"


class _Plain:
    """For pipes and logs: a line when a service is ready, has failed or begins to be fetched."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pulling: set[str] = set()

    def __call__(self, event: Event) -> None:
        if event["state"] == "pulling" and event["service"] in self._pulling:
            return  # once, and not for each step
        if event["state"] == "pulling":
            self._pulling.add(event["service"])
        if event["state"] in ("ready", "failed", "pulling"):
            print(
                f"{event['service']:<{_WIDTH}}{one_line(_words(event, 0))}",
                file=self._stream,
                flush=True,
            )


class _Live:
    """For terminals: the lines of all services, redrawn in place."""

    def __init__(self, services: Sequence[ServiceName]) -> None:
        self._begun = time.monotonic()
        self._guard = threading.Lock()
        self._events: dict[str, Event | None] = dict.fromkeys(services)

    def __call__(self, event: Event) -> None:
        with self._guard:
            self._events[event["service"]] = event

    def end(self) -> None:
        """Nobody waits any more: what is not ready by now stays on the screen as such."""
        with self._guard:
            for service, event in self._events.items():
                if event is None or event["state"] in ("starting", "pulling"):
                    self._events[service] = {"service": service, "state": "given up"}

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        rows: list[Any] = [table]
        with self._guard:
            events = dict(self._events)
        for service, event in events.items():
            state = event["state"] if event else "waiting"
            mark, style = _MARKS[state]
            if state in ("starting", "pulling"):
                mark = _SPINNER[int(time.monotonic() * 10) % len(_SPINNER)]
            words = _words(event, time.monotonic() - self._begun)
            table.add_row(
                Text(mark, style=style),
                Text(service),
                Text(one_line(words), style="" if state == "ready" else style),
            )
            if event and state == "pulling":
                rows.append(_layers(service, event["layers"]))
        return Group(*rows)


def _layers(service: str, layers: dict[str, tuple[str, int, int]]) -> Any:
    """A line for each layer that is on its way, with a bar for what is known of its size."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for layer, (what, done, total) in layers.items():
        finished = what in _FINISHED
        known = 1 if finished else total or 1
        bar = ProgressBar(total=known, completed=known if finished else done, width=_BAR)
        size = f"{done / 1e6:.1f}/{total / 1e6:.1f} MB" if total and not finished else ""
        table.add_row(
            Text(f"  {service}", style="dim"), Text(layer), bar, Text(one_line(f"{what} {size}"))
        )
    return table


_BAR = 20
# The engine's own words for a layer that needs nothing more.
_FINISHED = ("Pull complete", "Already exists", "Download complete")

_MARKS = {
    "waiting": ("·", "dim"),
    "starting": ("·", "yellow"),
    "pulling": ("·", "yellow"),
    "ready": ("✓", "green"),
    "failed": ("✗", "red"),
    "given up": ("·", "dim"),
}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@contextmanager
def show(services: Sequence[ServiceName], stream: TextIO | None = None) -> Iterator[Any]:
    """Show progress for the length of a ``with`` block.

    Args:
        services: Those that are being started.
        stream: Where to; standard error if not given, so that data can be piped.

    Yields:
        A callable for the events of `Client.start`.
    """
    stream = stream or sys.stderr
    if not stream.isatty() or not _can_show(stream):
        yield _Plain(stream)
        return
    from rich.console import Console
    from rich.live import Live

    live = _Live(services)
    with Live(
        live, console=Console(file=stream, highlight=False), refresh_per_second=20, transient=False
    ):
        try:
            yield live
        finally:
            live.end()


def _can_show(stream: TextIO) -> bool:
    """Whether the terminal's encoding has the marks; a C locale's has not."""
    try:
        (_SPINNER + "✓✗·").encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
