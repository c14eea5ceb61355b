"""``envkit export`` and ``envkit shell``: ways into what is up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import click

from envkit.cli.arguments import Command
from envkit.cli.shared import (
    SERVICE_NAMES,
    configured,
    guarded,
    print_json,
    say,
    service_argument,
    services_argument,
)

if TYPE_CHECKING:
    from envkit.config import Config
    from envkit.errors import EnvkitError
    from envkit.model import Endpoint, ServiceName

__all__ = ["export", "shell"]

_EXPORTS = ("shell", "dotenv", "json", "github", "gitlab")


@click.command(cls=Command)
@services_argument
@click.option(
    "--format",
    "output",
    type=click.Choice(_EXPORTS),
    default="shell",
    show_default=True,
    help='shell: for eval "$(envkit export)"; dotenv: for a file .env; github: appends to '
    "$GITHUB_ENV and masks passwords; gitlab: for artifacts:reports:dotenv.",
)
@guarded()
def export(services: tuple[str, ...], output: str) -> None:
    """Print where a long-lived database on what is up can be reached.

    The database is made at the first call and stays until `envkit down`. Its throw-away password is
    part of the output.
    """
    from envkit.variables import environment

    loaded = configured(services)
    endpoints = _exported(loaded)
    if output == "json":
        print_json(
            {
                "version": 1,
                "project": str(loaded.root),
                "services": {name: _endpoint_json(e) for name, e in endpoints.items()},
            },
            secret=True,
        )
        return
    variables = environment(endpoints, loaded.settings)
    from envkit.export import renderer

    text = renderer(output)(variables)
    if output == "github":
        _to_github(text, variables, endpoints)
    else:
        say(text, nl=False, secret=True)
    if output == "gitlab":
        from envkit.export.gitlab import excess

        if over := excess(text):
            say(f"warning: this has {over}", err=True)


def _exported(loaded: Config, lease: str = "") -> dict[ServiceName, Endpoint]:
    """The long-lived endpoints, from whichever of the project's keepers has the services."""
    from envkit.errors import KeeperAbsent, UsageError, UseError
    from envkit.keeper.client import join, running
    from envkit.keeper.record import key_of
    from envkit.templates import Templates

    wanted = loaded.settings.services
    templates = Templates(loaded)
    last: EnvkitError = KeeperAbsent(
        f"nothing is running for {loaded.root}",
        hint=f"envkit up{'' if set(wanted) == set(SERVICE_NAMES) else ' ' + ' '.join(wanted)}",
    )
    found: dict[ServiceName, Endpoint] = {}
    # The one that the configuration means comes first, then the one started last.
    meant = key_of(loaded.root, loaded.settings)
    keepers = sorted(running(loaded.root), key=lambda one: (one.key != meant, -one.started))
    for record in keepers:
        try:
            with join(record.key, hold=False) as client:
                wants = templates.wants(wanted)
                found = templates.export(client, wants, lease).endpoints | found
        except (UseError, UsageError) as error:
            last = error
    if not found:
        raise last
    return {name: found[name] for name in wanted if name in found} or found


def _endpoint_json(endpoint: Endpoint) -> dict[str, Any]:
    from envkit.model import as_builtins

    fields: dict[str, Any] = as_builtins(endpoint)
    fields.pop("service")
    fields["started_ms"] = round(fields["started_ms"], 1)
    return fields


def _to_github(
    text: str, variables: dict[str, str], endpoints: dict[ServiceName, Endpoint]
) -> None:
    from envkit.errors import UsageError
    from envkit.export.github import masks
    from envkit.variables import ADMIN_URLS

    target = os.environ.get("GITHUB_ENV")
    if not target:
        raise UsageError(
            "GITHUB_ENV is not set, so this is not a step of a GitHub workflow",
            hint="envkit export --format dotenv",
        )
    passwords = {secret for e in endpoints.values() for secret in e.secrets}
    secret = [
        name
        for name, value in variables.items()
        if any(p in value for p in passwords) or name in ADMIN_URLS.values()
    ]
    say(masks(variables, secret), nl=False, secret=True)
    try:
        with open(target, "a", encoding="utf-8") as file:  # noqa: PTH123 - GitHub gives a string
            file.write(text)
    except OSError as error:
        raise UsageError(
            f"GITHUB_ENV ({target}) cannot be written: {error.strerror}",
            hint="envkit export --format dotenv",
        ) from None


@click.command(cls=Command, short_help="Open psql, redis-cli or a ClickHouse prompt.")
@service_argument
@click.option(
    "--lease",
    default="",
    metavar="ID",
    help="That of a test, as the test's report names it, instead of the database of "
    "`envkit export`.",
)
@guarded()
def shell(service: str, lease: str) -> NoReturn:
    """Open psql, redis-cli or a ClickHouse prompt with credentials in place."""
    from envkit import services
    from envkit.prompt import open_shell

    loaded = configured([service])
    name = loaded.settings.services[0]
    endpoints = _exported(loaded, lease)
    if name not in endpoints:
        from envkit.errors import UsageError

        raise UsageError(
            f"lease {lease!r} has no {name}, only {', '.join(endpoints)}",
            hint=f"envkit shell {next(iter(endpoints))} --lease {lease}",
        )
    open_shell(services.load(name), endpoints[name])
