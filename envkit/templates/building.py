"""Preparing what becomes a template: files of statements, then commands, then seeds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from envkit import services
from envkit.config import Config
from envkit.declared import TemplateSource
from envkit.errors import TemplateFailed, TemplateTimeout
from envkit.model import Endpoint
from envkit.redact import conceal, printable, redacted
from envkit.secrets import for_one_test
from envkit.templates.sources import files_of, is_callable
from envkit.variables import environment, environment_to_nowhere, misleading

__all__ = ["interrupts_later", "prepare"]

_SHOWN_LINES: Final = 40
_SHOWN_LINE: Final = 500
_SHOWN_BYTES: Final = 16 << 10
_ENDING_S: Final = 2.0

# Called with the URL if the function takes anything, as those do that know nothing of envkit.
_CALL: Final = """\
import importlib, inspect, os, sys
sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "src")]
module, _, name = sys.argv[1].partition(":")
function = getattr(importlib.import_module(module), name)
made = function(*([os.environ[sys.argv[2]]] if inspect.signature(function).parameters else []))
if inspect.isawaitable(made):
    import asyncio
    async def wait(): return await made
    asyncio.run(wait())
"""
_URL: Final = {
    "postgres": "DATABASE_URL",
    "redis": "REDIS_URL",
    "clickhouse": "CLICKHOUSE_URL",
}


def prepare(where: Endpoint, source: TemplateSource, config: Config) -> None:
    """Put into a namespace what a template is to hold.

    Args:
        where: The namespace; nobody else has it.
        source: What to put there.
        config: Of the project.

    Raises:
        TemplateFailed: A file or a command ended with an error; with its own words.
        TemplateTimeout: A command took too long.
        ConfigInvalid: A file is not there.
    """
    conceal(where.secrets)  # commands print what they were given
    place = where.service
    _apply(where, files_of(source.schema, "schema", place, config), config)
    if source.migrate:
        _run(where, source.migrate, "migrate", source.migrate_timeout, config)
    if isinstance(source.seed, str):
        if source.seed:
            _run(where, source.seed, "seed", source.migrate_timeout, config)
    else:
        _apply(where, files_of(source.seed, "seed", place, config), config)


def _apply(where: Endpoint, files: list[Path], config: Config) -> None:
    spec = services.load(where.service)
    for path in files:
        try:
            shown = str(path.relative_to(config.root))
        except ValueError:
            shown = str(path)
        spec.apply(where, path, shown)


def _run(where: Endpoint, command: str, field: str, limit: float, config: Config) -> None:
    endpoints = {where.service: where}
    variables = environment(endpoints, config.settings)
    # Migrations read the same settings as tests: what tests are given has to be there, too. Other
    # services may not be running; a command that does more than read where they are is refused.
    given = environment_to_nowhere(config.settings)
    given |= {k: v for k, v in os.environ.items() if k not in misleading(endpoints)} | variables
    secrets = for_one_test(config, given)
    conceal(secrets.values())
    given |= secrets
    # What `pip install` put beside this Python, activated or not.
    given["PATH"] = os.pathsep.join(
        filter(None, (str(Path(sys.executable).parent), given.get("PATH", "")))
    )
    given["PYTHONUNBUFFERED"] = "1"  # what it says before it hangs is worth reading
    arguments = (
        [sys.executable, "-c", _CALL, command, _URL[where.service]]
        if is_callable(command)
        else ["/bin/sh", "-c", command]
    )
    with tempfile.TemporaryFile() as output:
        process = None
        try:
            with interrupts_later():
                process = subprocess.Popen(
                    arguments,
                    cwd=config.root,
                    env=given,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            process.wait(limit)
        except subprocess.TimeoutExpired:
            assert process is not None
            _end(process)
            raise TemplateTimeout(
                f"{field} of {where.service} did not end within {limit:g} s: {command}",
                detail=_tail(output) or "(it printed nothing)",
                hint=f"look for what it waits for; migrate_timeout in [tool.envkit.{where.service}]"
                " gives it more time",
            ) from None
        except BaseException:
            if process is not None:
                _end(process)
            raise
        # What it left running would go on changing the template.
        _end(process)
        if process.returncode:
            how = (
                f"signal {-process.returncode}"
                if process.returncode < 0
                else f"exit code {process.returncode}"
            )
            raise TemplateFailed(
                f"{field} of {where.service} ended with {how}: {command}",
                detail=_tail(output) or "(it printed nothing)",
                hint="try it by hand: "
                f"envkit run --template empty {where.service} -- {_by_hand(command)}",
            )


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Have Ctrl-C and its like come at the end of a ``with`` block.

    Within the start of a process they would leave one that runs and that nobody knows.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread alone
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What is ignored, or ends us at once, stays as it is.
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for signal_number in came:
            signal.raise_signal(signal_number)


def _by_hand(command: str) -> str:
    if is_callable(command):
        module, _, function = command.partition(":")
        return f"python -c 'import {module}; {module}.{function}()' (with the URL, if it takes one)"
    import shlex

    simple = not set(command) & set("|&;<>()$`\\\"'*?[]#~=%\n")
    return command if simple else f"sh -c {shlex.quote(command)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_S)
            if number == signal.SIGTERM and process.returncode is not None:
                continue  # its children may not have listened


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _SHOWN_BYTES))
    lines = output.read().decode(errors="replace").strip().splitlines()
    cut = len(lines) > _SHOWN_LINES or size > _SHOWN_BYTES
    shown = [
        printable(redacted(line[:_SHOWN_LINE])) + ("…" if len(line) > _SHOWN_LINE else "")
        for line in lines[-_SHOWN_LINES:]
    ]
    return "\n".join((["…"] if cut else []) + shown)
