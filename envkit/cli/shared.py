"""What the commands share: printing, errors as words and exit codes, options, the project."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO

import click

from envkit.cli.arguments import Argument

if TYPE_CHECKING:
    from envkit.config import Config
    from envkit.errors import EnvkitError

__all__ = [
    "SERVICE_NAMES",
    "WHICH_SERVICES",
    "add_to_summary",
    "backend_option",
    "configured",
    "configured_or_not",
    "drawn",
    "format_option",
    "guarded",
    "has_signs",
    "print_json",
    "project_root",
    "say",
    "say_left",
    "service_argument",
    "services_argument",
    "show_usage_error",
    "styled",
    "terminal_width",
    "wants_colour",
]

_P = ParamSpec("_P")
_INTERRUPTED = 130
_WIDEST = 100

SERVICE_NAMES = ("postgres", "redis", "clickhouse")


def say(text: str, *, nl: bool = True, err: bool = False, secret: bool = False) -> None:
    """Print, with all masked that is nobody's business.

    Args:
        text: What to print.
        nl: Whether to end the line.
        err: On standard error.
        secret: The secrets in it are what was asked for.
    """
    from envkit.redact import redacted

    # The stream is named because click replaces one whose encoding is ASCII by its own.
    stream = sys.stderr if err else sys.stdout
    shown = text if secret else redacted(text)
    try:
        click.echo(shown, file=stream, nl=nl, color=wants_colour(stream))
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk behind it
        # What is still in the buffer would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2 if err else 1)
        if not err:
            what = f"standard output cannot be written: {error.strerror}"
            raise click.ClickException(what) from None


def wants_colour(stream: TextIO) -> bool:
    """Whether to print colours there.

    https://no-color.org and https://force-color.org; the first one wins, as in Python itself.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_signs(stream: TextIO) -> bool:
    """Whether its encoding has arrows and check marks; a C locale's has only ASCII."""
    try:
        "✓✗→".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def terminal_width() -> int:
    """Columns for text that people read: those of the terminal, but no endless lines."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


def complain(error: EnvkitError) -> None:
    """What was observed, the evidence, and what to type."""
    stream = sys.stderr

    def part(text: str, **style: Any) -> str:
        return styled(text, stream, **style)

    say(
        f"{part('error', fg='red', bold=True)}: {part(error.observed)} "
        f"{part(f'[{error.slug}]', dim=True)}",
        err=True,
    )
    from envkit.redact import redacted

    # As a whole: what is masked may go over several lines.
    for line in redacted(error.detail).splitlines():
        say(f"    {part(line)}", err=True)
    if error.hint:
        say(f"  {drawn('→', '->', stream)} {part(error.hint, bold=True)}", err=True)


def styled(text: str, stream: TextIO, **style: Any) -> str:
    """The text made safe to print and, where colours are wanted, in colour."""
    from envkit.redact import printable, redacted

    safe = printable(redacted(text))
    return click.style(safe, **style) if style and wants_colour(stream) else safe


def drawn(sign: str, instead: str, stream: TextIO) -> str:
    """A sign if the stream's encoding has it."""
    return sign if has_signs(stream) else instead


def guarded(code: int | None = None) -> Callable[[Callable[_P, int | None]], Callable[_P, None]]:
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
                complain(error)
                sys.exit(code or error.exit_code)
            except KeyboardInterrupt:
                say("interrupted", err=True)
                sys.exit(_INTERRUPTED)
            sys.exit(result or 0)

        return wrapper

    return decorate


service_argument = click.argument(
    "service",
    cls=Argument,
    meaning="Which service.",
    metavar="|".join(SERVICE_NAMES),
    shell_complete=lambda *_: list(SERVICE_NAMES),
)
WHICH_SERVICES = (
    "postgres, redis, clickhouse; those of ENVKIT_SERVICES or [tool.envkit] if none is named."
)
services_argument = click.argument(
    "services",
    cls=Argument,
    meaning=WHICH_SERVICES,
    nargs=-1,
    metavar="[SERVICE]...",
    shell_complete=lambda *_: list(SERVICE_NAMES),
)
backend_option = click.option(
    "--backend",
    metavar="[auto|embedded|docker|attach]",
    help="How services come to be, instead of ENVKIT_BACKEND and the configuration; or for each "
    "service, as in postgres=docker,redis=embedded.",
)
format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or for programs.",
)


def configured(services: Sequence[str] = (), backend: str | None = None) -> Config:
    from envkit import config

    return config.load(overrides=config.Overrides(backend=backend, services=services))


def project_root() -> Path:
    """The project's directory, for what must work with a broken configuration too."""
    from envkit.config import find_root
    from envkit.errors import ConfigError

    try:
        return find_root()
    except ConfigError:
        try:
            here = Path.cwd()
        except FileNotFoundError:
            here = None
        if here is None:
            raise  # that is what it says
        names = ("envkit.toml", "pyproject.toml")
        parents = (p for p in (here, *here.parents) if any((p / n).is_file() for n in names))
        return next(parents, here)


def configured_or_not() -> Config | None:
    """The configuration, for what has to work with a broken one too."""
    from envkit.errors import ConfigError

    try:
        return configured()
    except ConfigError:
        return None


def print_json(data: Any, *, secret: bool = False) -> None:
    # Masked before it is written: a mask in the middle of an escape would spoil the text.
    shown = data if secret else _masked(data)
    say(json.dumps(shown, indent=2, ensure_ascii=False), secret=True)


def _masked(data: Any) -> Any:
    from envkit.redact import redacted

    match data:
        case str():
            return redacted(data)
        case dict():
            return {_masked(key): _masked(value) for key, value in data.items()}
        case list() | tuple():
            return [_masked(item) for item in data]
    return data


def show_usage_error(error: click.ClickException) -> None:
    """What click says of a wrong command line, which may have a secret in it."""
    import io

    shown = io.StringIO()
    error.show(shown)
    say(shown.getvalue(), nl=False, err=True)


def say_left(containers: Sequence[str]) -> None:
    if containers:
        say(
            f"left behind, because they could not be removed: {', '.join(containers)}\n"
            "  → when that is mended: envkit prune",
            err=True,
        )


def add_to_summary(text: str) -> None:
    """Append to the summary of a step of GitHub Actions; where that cannot be, say so."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return
    try:
        # A pipe that nobody reads must not hold the report up.
        descriptor = os.open(
            name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        say(f"the summary was not written to GITHUB_STEP_SUMMARY, {name}: {why}", err=True)
