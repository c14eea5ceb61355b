"""Event loops: objects of one in the hands of another."""

from __future__ import annotations

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule(
    "async.loop-mismatch",
    texts=[
        r"got Future .* attached to a different loop",
        r"is bound to a different event loop",
        r"The future belongs to a different loop",
        r"^(?:E\b)?\s*RuntimeError: Event loop is closed$",
        r"ScopeMismatch: You tried to access the '?function'? scoped fixture "
        r"'?(?:event_loop|_function_scoped_runner)\b",
    ],
    confidence="likely",
    layer="driver",
)
def loop_mismatch(seen: Seen) -> Finding:
    """A connection, lock or task of one event loop is used in another one.

    Why: pytest-asyncio gives each test a loop of its own; a client or pool that a fixture of wider
    scope (or a module) made belongs to another loop, which may be closed already.

    Fix: Let fixture and tests share a loop (loop_scope="session" on both), or make the client in a
    fixture of function scope.
    """
    return seen.finding(
        title="something made in one event loop is used in another",
        cause="a client, pool or lock of a fixture with wider scope (or of a module) meets the "
        "loop of a single test",
        fix='give both loop_scope="session" (asyncio_default_fixture_loop_scope and '
        "asyncio_default_test_loop_scope), or make the client once a test",
    )
