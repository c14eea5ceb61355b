"""The ``envkit`` command: what to do, what to print, and which exit code that makes.

This is the only package that prints and exits. Everything but click is imported by the command that
needs it, so that ``envkit --help`` answers at once.

What exit codes mean is said in `envkit.cli.exit_codes`.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import NoReturn

import click

from envkit.cli.ci import ci
from envkit.cli.clean import down, prune
from envkit.cli.compose import compose
from envkit.cli.doctor import doctor
from envkit.cli.exit_codes import EXIT_CODES, said
from envkit.cli.explain import explain
from envkit.cli.images import images
from envkit.cli.init import init
from envkit.cli.look import logs, status
from envkit.cli.secrets import secrets
from envkit.cli.shared import configured_or_not, say, show_usage_error
from envkit.cli.start import run, up
from envkit.cli.test import test
from envkit.cli.use import export, shell
from envkit.version import __version__

__all__ = ["doctor_main", "main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Exit codes: {said(EXIT_CODES)}.",
)
@click.version_option(__version__, prog_name="envkit")
def cli() -> None:
    """Real Postgres, Redis and ClickHouse for your tests.

    Started together, isolated per test, gone without a trace.
    """


_COMMANDS = (
    *(up, run, export, shell, status, logs, down, prune),
    *(init, test, doctor, explain, secrets, ci, compose, images),
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command line."""
    _run(cli, "envkit")


def doctor_main() -> NoReturn:
    """Run ``envkit doctor`` under its second name."""
    _run(doctor, "env-doctor")


def _run(command: click.Command, name: str) -> NoReturn:
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # A log or path with a character that the terminal's encoding lacks must not end in a
        # traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    _mask_secrets()
    sys.excepthook = _crashed
    try:
        sys.exit(command.main(prog_name=name, standalone_mode=False) or 0)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except click.ClickException as error:
        show_usage_error(error)
        sys.exit(error.exit_code)
    except click.Abort:
        say("aborted", err=True)
        sys.exit(1)


def _mask_secrets() -> None:
    """Have everything that is said pass what masks the secrets of project and environment."""
    from envkit.redact import conceal_later

    def values() -> set[str]:
        from envkit.secrets import values_to_conceal

        return values_to_conceal(configured_or_not(), os.environ)

    conceal_later(values)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python does, without what nobody may see."""
    from traceback import format_exception

    from envkit.redact import printable

    say(printable("".join(format_exception(kind, error, trace))), nl=False, err=True)


def _open_standard_streams() -> None:
    """Give closed ones (``envkit up >&-``) a place to go, or the next files get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for good
