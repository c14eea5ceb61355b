"""``envkit shell``: the service's own client, or a plain prompt where there is none."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from envkit.errors import ToolMissing
from envkit.host import client_program
from envkit.model import Endpoint
from envkit.redact import printable
from envkit.services.spec import Service

__all__ = ["open_shell"]

Evaluate = Callable[[str], str]


def open_shell(spec: Service, endpoint: Endpoint) -> NoReturn:
    """Replace this process by a client for the endpoint.

    Raises:
        ToolMissing: There is none, and the driver for a prompt of our own is missing too.
    """
    tool = spec.tool(endpoint)
    program = client_program(tool)
    if program is not None:
        without = {name: v for name, v in os.environ.items() if name not in spec.misleading}
        sys.stdout.flush()
        arguments = () if sys.stdin.isatty() else tool.piped_arguments
        os.execve(program, [program, *arguments, *tool.arguments], without | tool.environment)
    if endpoint.service == "redis":
        evaluate = _redis(endpoint)
    elif endpoint.service == "clickhouse":
        evaluate = _clickhouse(endpoint)
    else:
        raise ToolMissing(f"{' or '.join(tool.programs)} is not installed", hint="put it on PATH")
    _prompt(spec.title, endpoint, evaluate)


def _prompt(title: str, endpoint: Endpoint, evaluate: Evaluate) -> NoReturn:
    """Read a line, print its answer, until the end of input."""
    interactive = sys.stdin.isatty()
    if interactive:
        import readline  # noqa: F401 - gives input() history and editing

        print(f"{title} at {endpoint.host}:{endpoint.port}; Ctrl-D ends")
    failed = False
    while True:
        try:
            line = input(f"{endpoint.service}> " if interactive else "")
        except EOFError:
            if interactive:
                print()
            break
        except KeyboardInterrupt:
            print()
            continue
        if not line.strip():
            continue
        if line.strip().rstrip(";").lower() in ("exit", "quit", r"\q"):
            break
        try:
            print(printable(evaluate(line)))
        except Exception as error:
            failed = True
            print(printable(f"error: {error}"), file=sys.stderr)
            if not interactive:
                break
    sys.exit(1 if failed and not interactive else 0)


def _redis(endpoint: Endpoint) -> Evaluate:
    from envkit.services.redis import RedisHandle

    # A connection and not a client, which would turn "PONG" into True.
    pool = RedisHandle(endpoint).client(decode_responses=True, protocol=2).connection_pool
    connection: Any = pool.get_connection()

    def evaluate(line: str) -> str:
        connection.send_command(*shlex.split(line))
        return _shown(connection.read_response())

    return evaluate


def _shown(answer: Any, indent: str = "") -> str:
    """An answer as redis-cli writes it."""
    if isinstance(answer, list):
        if not answer:
            return "(empty array)"
        rows = []
        for number, one in enumerate(answer, 1):
            head = f"{number}) "
            rows.append(
                f"{indent if number > 1 else ''}{head}{_shown(one, indent + ' ' * len(head))}"
            )
        return "\n".join(rows)
    if answer is None:
        return "(nil)"
    if isinstance(answer, int):
        return f"(integer) {answer}"
    return str(answer)


def _clickhouse(endpoint: Endpoint) -> Evaluate:
    from envkit.services.clickhouse import ClickHouseHandle

    client = ClickHouseHandle(endpoint).client()

    def evaluate(line: str) -> str:
        wide = "PrettyCompactMonoBlock" if sys.stdout.isatty() else "TabSeparated"
        answer = client.raw_query(
            line.rstrip().rstrip(";"),
            fmt=None,
            settings={
                "default_format": wide,
                "output_format_pretty_color": 0,
            },
        )
        return answer.decode(errors="replace").rstrip("\n")

    return evaluate
