"""``envkit up`` and ``envkit run``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from envkit.cli.arguments import Argument, Command
from envkit.cli.cut import CutCommand, handed_on
from envkit.cli.shared import (
    SERVICE_NAMES,
    WHICH_SERVICES,
    backend_option,
    configured,
    guarded,
    say,
    say_left,
    services_argument,
)

if TYPE_CHECKING:
    from envkit.config import Config
    from envkit.errors import EnvkitError
    from envkit.keeper.client import Client

__all__ = ["run", "up"]

_RUN_FAILED = 125


@click.command(cls=Command, short_help="Start services and keep them up until `envkit down`.")
@services_argument
@backend_option
@guarded()
def up(services: tuple[str, ...], backend: str | None) -> None:
    """Start services (or join them) and keep them up until `envkit down`."""
    from envkit.keeper.client import connect

    loaded = configured(services, backend)
    with connect(loaded.root, loaded.settings) as client:
        _start(loaded, client)
        client.pin()
    say("up; `envkit export` shows where, `envkit down` stops them", err=True)


@click.command(
    cls=CutCommand,
    misplaced="Is this your command's own? Put -- before the command.",
    usage_code=_RUN_FAILED,
    options_metavar="[SERVICE]... [OPTIONS] -- COMMAND...",
    short_help="Run one command with fresh services in its environment.",
)
@click.argument(
    "services",
    cls=Argument,
    meaning=WHICH_SERVICES,
    shown="[SERVICE]...",
    nargs=-1,
    metavar="",
)
@backend_option
@click.option(
    "--template",
    default="",
    metavar="NAME",
    help="The template of that name from the configuration, or 'empty' for none at all, instead of "
    "the usual one.",
)
@click.pass_context
@guarded(_RUN_FAILED)
def run(ctx: click.Context, services: tuple[str, ...], backend: str | None, template: str) -> int:
    """Run one command with fresh services in its environment.

    All that follows after `--` is the command. It gets databases of its own (DATABASE_URL, PG*,
    REDIS_URL, CLICKHOUSE_URL, CLICKHOUSE_*), which are dropped when it ends. The exit code is the
    command's; 125 is a failure of envkit's own, 126 and 127 mean that the command could not be run.
    """
    from envkit.api import Services
    from envkit.keeper.client import connect
    from envkit.running import Unrunnable, find_command, run_command
    from envkit.templates import Templates
    from envkit.variables import misleading

    command = handed_on(ctx)
    if not command:
        raise _no_command(services)
    loaded = configured(services, backend)
    try:
        find_command(command[0])
        with connect(loaded.root, loaded.settings) as client:
            _start(loaded, client)
            templates = Templates(loaded)
            wants = templates.wants(loaded.settings.services, template=template)
            lease = templates.take(client, wants)
            held = Services(lease, loaded.settings)
            code = run_command(command, held.env, misleading(lease.endpoints))
        say_left(client.left)
        if client.lost:
            say(
                "the process that kept the servers went away meanwhile; its watchdog removes them\n"
                "  → in case that was killed as well: envkit prune",
                err=True,
            )
        return code
    except Unrunnable as error:
        say(f"envkit run: {error}", err=True)
        return error.code


def _no_command(words: Sequence[str]) -> EnvkitError:
    """What to say to ``envkit run redis`` and to ``envkit run pytest -x``."""
    from envkit.errors import UsageError

    foreign = next((n for n, word in enumerate(words) if word not in SERVICE_NAMES), len(words))
    named, command = words[:foreign], words[foreign:]
    return UsageError(
        "no command was given: it follows after --",
        hint=" ".join(["envkit run", *named, "--", *(command or ["pytest"])]),
    )


def _start(loaded: Config, client: Client) -> None:
    from envkit.progress import show

    with show(loaded.settings.services) as on_event:
        client.start(loaded.settings.services, on_event)
