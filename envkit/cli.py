"""The ``envkit`` command: what to do, what to print, and which exit code that makes.

This is the only module that prints and exits. Everything but click is imported by the command that
needs it, so that ``envkit --help`` answers at once.

Exit codes: 0 done, 1 a problem, 2 usage or configuration, 3 could not start. ``envkit run`` gives
its command's code; 125 is a failure of our own, 126 and 127 mean that the command could not be run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TextIO

import click

from envkit.cli_compose import compose
from envkit.cli_images import images
from envkit.version import __version__

if TYPE_CHECKING:
    from envkit.config import Config
    from envkit.errors import EnvkitError
    from envkit.init import Proposal
    from envkit.keeper.client import Client
    from envkit.model import Endpoint, ServiceName

__all__ = ["doctor_main", "main"]

_P = ParamSpec("_P")
_RUN_FAILED = 125
_INTERRUPTED = 130

_SERVICES = ("postgres", "redis", "clickhouse")
_EXPORTS = ("shell", "dotenv", "json", "github", "gitlab")


def _say(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Print. The stream is named because click replaces one whose encoding is ASCII by its own."""
    click.echo(text, file=sys.stderr if err else sys.stdout, nl=nl)


# -- errors and exit codes ------------------------------------------------------------------------


def _complain(error: EnvkitError) -> None:
    """What was observed, the evidence, and what to type."""
    from envkit.redact import printable, without_passwords

    stream = sys.stderr
    styled = stream.isatty() and "NO_COLOR" not in os.environ

    def part(text: str, **style: Any) -> str:
        safe = printable(without_passwords(text))
        return click.style(safe, **style) if styled and style else safe

    _say(
        f"{part('error', fg='red', bold=True)}: {part(error.observed)} "
        f"{part(f'[{error.slug}]', dim=True)}",
        err=True,
    )
    for line in error.detail.splitlines():
        _say(f"    {part(line)}", err=True)
    if error.hint:
        _say(f"  {_arrow(stream)} {part(error.hint, bold=True)}", err=True)


def _arrow(stream: TextIO) -> str:
    """An arrow that the stream's encoding has; a C locale's has only ASCII."""
    try:
        "→".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "->"
    return "→"


def _guarded(code: int | None = None) -> Callable[[Callable[_P, int | None]], Callable[_P, None]]:
    """Turn what a command raises into words and an exit code.

    Args:
        code: Of every error of ours, instead of the error's own.
    """

    def decorate(function: Callable[_P, int | None]) -> Callable[_P, None]:
        @wraps(function)
        def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> None:
            from envkit.errors import EnvkitError

            try:
                result = function(*args, **kwargs)
            except EnvkitError as error:
                _complain(error)
                sys.exit(code or error.exit_code)
            except KeyboardInterrupt:
                _say("interrupted", err=True)
                sys.exit(_INTERRUPTED)
            sys.exit(result or 0)

        return wrapper

    return decorate


class _RunCommand(click.Command):
    """``envkit run [SERVICE…] -- COMMAND…``: what follows ``--`` is not ours to read."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            ctx.meta["envkit.command"] = args[cut + 1 :]
            args = args[:cut]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if ctx.resilient_parsing:
                raise
            error.show()
            if "envkit.command" not in ctx.meta:
                _say("Is this your command's own? Put -- before the command.", err=True)
            sys.exit(_RUN_FAILED)


# -- options that several commands share ----------------------------------------------------------


_services_argument = click.argument(
    "services", nargs=-1, metavar="[SERVICE]...", shell_complete=lambda *_: list(_SERVICES)
)
_backend_option = click.option(
    "--backend",
    metavar="[auto|embedded|docker|attach]",
    help="How services come to be, instead of what is configured.",
)
_format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or for programs.",
)


def _configured(services: Sequence[str] = (), backend: str | None = None) -> Config:
    from envkit import config

    return config.load(overrides=config.Overrides(backend=backend, services=services))


def _root() -> Path:
    """The project's directory, for what must work with a broken configuration too."""
    from envkit.config import find_root
    from envkit.errors import ConfigError

    try:
        return find_root()
    except ConfigError:
        here = Path.cwd()
        names = ("envkit.toml", "pyproject.toml")
        parents = (p for p in (here, *here.parents) if any((p / n).is_file() for n in names))
        return next(parents, here)


def _configured_or_not() -> Config | None:
    """The configuration, for what has to work with a broken one too."""
    from envkit.errors import ConfigError

    try:
        return _configured()
    except ConfigError:
        return None


def _start(loaded: Config, client: Client) -> None:
    from envkit.progress import show

    with show(loaded.settings.services) as on_event:
        client.start(loaded.settings.services, on_event)


def _say_left(containers: Sequence[str]) -> None:
    if containers:
        _say(
            f"left behind, because the engine did not remove them: {', '.join(containers)}\n"
            "  → when it answers again: envkit prune",
            err=True,
        )


def _print_json(data: Any) -> None:
    _say(json.dumps(data, indent=2, ensure_ascii=False))


# -- commands -------------------------------------------------------------------------------------


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Services: postgres, redis, clickhouse; those of [tool.envkit] if none is named.",
)
@click.version_option(__version__, prog_name="envkit")
def cli() -> None:
    """Real Postgres, Redis and ClickHouse for your tests.

    Started together, isolated per test, gone without a trace.
    """


@cli.command(short_help="Start services and keep them up until `envkit down`.")
@_services_argument
@_backend_option
@_guarded()
def up(services: tuple[str, ...], backend: str | None) -> None:
    """Start services (or join them) and keep them up until `envkit down`."""
    from envkit.keeper.client import connect

    loaded = _configured(services, backend)
    with connect(loaded.root, loaded.settings) as client:
        _start(loaded, client)
        client.pin()
    _say("up; `envkit export` shows where, `envkit down` stops them", err=True)


@cli.command(
    cls=_RunCommand,
    options_metavar="[SERVICE]... [OPTIONS] -- COMMAND...",
    short_help="Run one command with fresh services in its environment.",
)
@click.argument("services", nargs=-1, metavar="")
@_backend_option
@click.pass_context
@_guarded(_RUN_FAILED)
def run(ctx: click.Context, services: tuple[str, ...], backend: str | None) -> int:
    """Run one command with fresh services in its environment.

    The command gets databases of its own (DATABASE_URL, PG*, REDIS_URL, CLICKHOUSE_URL,
    CLICKHOUSE_*), which are dropped when it ends. The exit code is the command's; 125 is a failure
    of envkit's own, 126 and 127 mean that the command could not be run.
    """
    from envkit.api import Services, misleading
    from envkit.keeper.client import connect
    from envkit.running import Unrunnable, find_command, run_command

    command: list[str] = ctx.meta.get("envkit.command", [])
    if not command:
        raise _no_command(services)
    loaded = _configured(services, backend)
    try:
        find_command(command[0])
        with connect(loaded.root, loaded.settings) as client:
            _start(loaded, client)
            lease = client.take(loaded.settings.services)
            held = Services(lease, loaded.settings)
            code = run_command(command, held.env, misleading(lease.endpoints))
        _say_left(client.left)
        return code
    except Unrunnable as error:
        _say(f"envkit run: {error}", err=True)
        return error.code


def _no_command(words: Sequence[str]) -> EnvkitError:
    """What to say to ``envkit run redis`` and to ``envkit run pytest -x``."""
    from envkit.errors import UsageError

    foreign = next((n for n, word in enumerate(words) if word not in _SERVICES), len(words))
    named, command = words[:foreign], words[foreign:]
    return UsageError(
        "no command was given: it follows after --",
        hint=" ".join(["envkit run", *named, "--", *(command or ["pytest"])]),
    )


@cli.command()
@_services_argument
@click.option(
    "--format",
    "output",
    type=click.Choice(_EXPORTS),
    default="shell",
    show_default=True,
    help='shell: eval "$(envkit export)"; github: appends to $GITHUB_ENV and masks passwords.',
)
@_guarded()
def export(services: tuple[str, ...], output: str) -> None:
    """Print where a long-lived database on what is up can be reached.

    The database is made at the first call and stays until `envkit down`. Its throw-away password is
    part of the output.
    """
    from envkit.api import environment

    loaded = _configured(services)
    endpoints = _exported(loaded)
    if output == "json":
        _print_json(
            {
                "version": 1,
                "project": str(loaded.root),
                "services": {name: _endpoint_json(e) for name, e in endpoints.items()},
            }
        )
        return
    variables = environment(endpoints, loaded.settings)
    from envkit.export import renderer

    text = renderer(output)(variables)
    if output == "github":
        _to_github(text, variables, endpoints)
    else:
        _say(text, nl=False)


def _exported(loaded: Config, lease: str = "") -> dict[ServiceName, Endpoint]:
    """The long-lived endpoints, from whichever of the project's keepers has the services."""
    from envkit.errors import KeeperAbsent, UsageError, UseError
    from envkit.keeper.client import join, running

    wanted = loaded.settings.services
    last: EnvkitError = KeeperAbsent(
        f"nothing is running for {loaded.root}",
        hint=f"envkit up{'' if set(wanted) == set(_SERVICES) else ' ' + ' '.join(wanted)}",
    )
    found: dict[ServiceName, Endpoint] = {}
    for record in running(loaded.root):
        try:
            with join(record.key, hold=False) as client:
                found = client.export(wanted, lease).endpoints | found
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
    from envkit.api import ADMIN_URLS
    from envkit.errors import UsageError
    from envkit.export.github import masks

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
    _say(masks(variables, secret), nl=False)
    try:
        with open(target, "a", encoding="utf-8") as file:  # noqa: PTH123 - GitHub gives a string
            file.write(text)
    except OSError as error:
        raise UsageError(
            f"GITHUB_ENV ({target}) cannot be written: {error.strerror}",
            hint="envkit export --format dotenv",
        ) from None


@cli.command(short_help="Open psql, redis-cli or a ClickHouse prompt.")
@click.argument("service", metavar="|".join(_SERVICES), shell_complete=lambda *_: list(_SERVICES))
@click.option("--lease", default="", metavar="ID", help="That of a test, instead of the export's.")
@_guarded()
def shell(service: str, lease: str) -> NoReturn:
    """Open psql, redis-cli or a ClickHouse prompt with credentials in place."""
    from envkit import services
    from envkit.prompt import open_shell

    loaded = _configured([service])
    name = loaded.settings.services[0]
    endpoints = _exported(loaded, lease)
    if name not in endpoints:
        from envkit.errors import UsageError

        raise UsageError(
            f"lease {lease!r} has no {name}, only {', '.join(endpoints)}",
            hint=f"envkit shell {next(iter(endpoints))} --lease {lease}",
        )
    open_shell(services.load(name), endpoints[name])


@cli.command()
@_format_option
@_guarded()
def status(output: str) -> None:
    """Show what is running for this project, and why that way."""
    from envkit.errors import UseError
    from envkit.keeper.client import join, running

    root = _root()
    keepers: list[dict[str, Any]] = []
    for record in running(root):
        try:
            with join(record.key, hold=False) as client:
                keepers.append(client.status())
        except UseError:
            continue  # it ended just now
    if output == "json":
        _print_json({"version": 1, "project": str(root), "keepers": keepers})
        return
    if not keepers:
        _say(f"nothing is running for {root}")
    for keeper in keepers:
        _print_keeper(keeper)


def _print_keeper(keeper: dict[str, Any]) -> None:
    clients = keeper["clients"]
    holds = [f"used by {clients} client{'s' if clients != 1 else ''}"] if clients else []
    holds += ["up until `envkit down`"] if keeper["pinned"] else []
    _say(f"{keeper['project']}: {', '.join(holds) or 'ending'} (keeper {keeper['pid']})")
    for row in keeper["services"]:
        where = f"{row['host']}:{row['port']}" if row["port"] else ""
        what = f"{row['product']} {row['version']}".strip()
        leases = f", {row['leases']} lease{'s' if row['leases'] != 1 else ''}" * bool(row["leases"])
        _say(f"  {row['service']:<11}{row['state']:<9}{what:<28}{where}".rstrip())
        how = "" if row["backend"] == "attach" else f"{row['backend']}: "
        _say(f"             {how}{row['why']}{leases}")


@cli.command()
@click.argument("service", metavar="|".join(_SERVICES), shell_complete=lambda *_: list(_SERVICES))
@_guarded()
def logs(service: str) -> None:
    """Print the logs of a service's servers.

    When nothing is running: what was saved of the last run that ended badly.
    """
    from envkit.errors import KeeperAbsent, UseError
    from envkit.keeper.client import join, running
    from envkit.paths import state_dir
    from envkit.redact import printable

    loaded = _configured([service])
    name = loaded.settings.services[0]
    paths = []
    for record in running(loaded.root):
        try:
            with join(record.key, hold=False) as client:
                paths += client.logs(name)
        except UseError:
            continue
    if not paths:
        from envkit.keeper.record import key_of

        key = key_of(loaded.root, loaded.settings)
        paths = sorted((state_dir() / "logs").glob(f"{key}.{name}*.log"))
    if not paths:
        raise KeeperAbsent(
            f"{name} is not running for {loaded.root}, and no logs were saved",
            hint=f"envkit up {name}",
        )
    for path in paths:
        if len(paths) > 1:
            _say(f"==> {path} <==", err=True)
        _say(printable(path.read_text(errors="replace")), nl=False)


@cli.command()
@click.option("--all", "every", is_flag=True, help="Of all your projects, deleted ones included.")
@_guarded()
def down(every: bool) -> None:
    """Stop everything that runs for this project, whoever uses it."""
    from envkit.keeper.stop import stop_all

    stopped = stop_all(None if every else _root())
    if not stopped:
        _say("nothing was running", err=True)
    for one in stopped:
        used = f"; {one.clients} {'was' if one.clients == 1 else 'were'} using it" * bool(
            one.clients
        )
        if one.services or not one.attached:
            _say(f"stopped {', '.join(one.services) or 'an idle keeper'}{used}", err=True)
            used = ""
        for words in one.attached:
            _say(f"let go of {words}, which stays as it is{used}", err=True)
        _say_left(one.left)


@cli.command()
@click.option(
    "--older-than",
    metavar="AGE",
    help="Also what cannot be proven dead, if it is older than this (30m, 12h, 7d).",
)
@_format_option
@_guarded()
def prune(older_than: str | None, output: str) -> None:
    """Remove what dead runs left behind; never what a living one uses."""
    from envkit.keeper.prune import prune as prune_all
    from envkit.redact import printable, without_passwords

    age = None if older_than is None else _age(older_than)
    loaded = _configured_or_not()
    pruned = prune_all(
        older_than=age,
        data_dir=loaded.settings.data_dir if loaded else "",
        settings=loaded.settings if loaded else None,
        root=str(loaded.root) if loaded else "",
    )
    if output == "json":
        _print_json({"version": 1, "removed": pruned.removed, "left": pruned.left})
        return
    for path in pruned.removed:
        _say(f"removed {path}")
    for words in pruned.left:
        _say(printable(without_passwords(f"left alone {words}")))
    if not pruned.removed and not pruned.left:
        _say("nothing to remove")


def _age(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit():
        from envkit.errors import UsageError

        raise UsageError(f"--older-than {text!r} is not an age", hint="such as 30m, 12h or 7d")
    return int(number) * units[unit]


@cli.command(short_help="Propose [tool.envkit] for this project, and write it.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@_guarded()
def init(yes: bool) -> int:
    """Propose [tool.envkit] from what this project depends on, and write it."""
    from envkit.config import find_root
    from envkit.init import propose, write

    proposal = propose(find_root())
    _print_proposal(proposal)
    if not yes:
        if not sys.stdin.isatty():
            _say("nothing was written; `envkit init --yes` writes it", err=True)
            return 0
        if not click.confirm(f"Write this to {proposal.file}?", default=True):
            return 1
    _say(f"written to {write(proposal)}")
    return 0


def _print_proposal(proposal: Proposal) -> None:
    import shutil
    from textwrap import TextWrapper

    width = shutil.get_terminal_size().columns
    comment = TextWrapper(width, "# ", "#   ", break_long_words=False, break_on_hyphens=False)
    for text in (*proposal.reasons, *(f"note: {note}" for note in proposal.notes)):
        click.echo(comment.fill(text))
    click.echo(proposal.table)


for _group in (compose, images):
    for _command in _group.commands.values():
        assert _command.callback is not None
        _command.callback = _guarded()(_command.callback)
    cli.add_command(_group)


def main() -> NoReturn:
    """Run the command line."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A log or path with a character that the terminal's encoding lacks must not end in a
        # traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="envkit")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    raise AssertionError("click exits by itself")


def _open_standard_streams() -> None:
    """Give closed ones (``envkit up >&-``) a place to go, or the next files get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for good


def doctor_main() -> NoReturn:
    """Run ``envkit doctor`` under its second name."""
    _say("envkit doctor is not part of this version of envkit", err=True)
    sys.exit(2)
