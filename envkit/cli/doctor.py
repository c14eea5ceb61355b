"""``envkit doctor``: what would make the tests fail, why, and what to type."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from envkit.cli.arguments import Argument, Command
from envkit.cli.shared import (
    add_to_summary,
    configured_or_not,
    guarded,
    has_signs,
    project_root,
    say,
    terminal_width,
    wants_colour,
)

if TYPE_CHECKING:
    from envkit.doctor.model import Report

__all__ = ["doctor"]


@click.command(cls=Command)
@click.option(
    "--category",
    metavar="NAME",
    help="Also see whether pytest finds tests of this category of the configuration.",
)
@click.option(
    "--log",
    "logged",
    metavar="FILE",
    help="Read the log or JUnit file of a run instead of looking at this machine ('-': standard "
    "input).",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "json", "github", "junit", "html"]),
    default="text",
    show_default=True,
    help="text: for people; json: for programs; github: annotations and the step summary; junit: "
    "for CI; html: one file for a browser.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Mend what is safe to mend, asking before each thing, and look again.",
)
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Write ASCII characters only.")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show every check with what it saw, not only those that failed.",
)
@click.argument(
    "pytest_args",
    cls=Argument,
    meaning="Also see whether pytest finds tests with these, such as -k EXPR or a file.",
    nargs=-1,
    metavar="[-- PYTEST ARGUMENTS]...",
)
@guarded()
def doctor(
    category: str | None,
    logged: str | None,
    output: str,
    fix: bool,
    yes: bool,
    ascii_only: bool,
    verbose: bool,
    pytest_args: tuple[str, ...],
) -> int:
    """Say what would make the tests fail, why, and what to type.

    Looks at configuration, secrets, container engine, programs, drivers and services, all at once,
    and changes nothing without --fix. Exit codes: 0 healthy, 1 a problem, 3 something could not be
    checked.
    """
    begun = time.monotonic()

    def show(report: Report) -> None:
        _show(report, output, ascii_only, verbose, time.monotonic() - begun)

    if logged is not None:
        _refuse_together({"--fix": fix, "--category": category, "pytest arguments": pytest_args})
        from envkit.doctor.visit import facts_of, read_log

        loaded = configured_or_not()
        report = read_log(_read(logged), facts_of(loaded) if loaded else None)
        show(report)
        return report.exit_code
    from envkit.doctor.visit import visit

    def look() -> Report:
        return visit(project_root(), category=category or "", pytest_args=pytest_args)

    report = look()
    if fix:
        if output == "text":
            show(report)
        if _mend(report, yes):
            begun = time.monotonic()
            report = look()
        elif output == "text":
            return report.exit_code
    show(report)
    return report.exit_code


def _refuse_together(others: Mapping[str, object]) -> None:
    from envkit.errors import UsageError

    for name, given in others.items():
        if given:
            raise UsageError(
                f"--log reads a log and looks at nothing else; {name} does not go with it",
                hint="run the doctor once more without --log",
            )


def _mend(report: Report, yes: bool) -> bool:
    """Mend what can be, one after another; whether anything was."""
    from envkit import config
    from envkit.doctor.remedies import remedies
    from envkit.errors import ConfigError

    try:
        found = remedies(report, config.load(project_root()))
    except ConfigError:
        found = ()
    if not found and report.findings:
        say("nothing of this can be mended by envkit itself", err=True)
    mended = False
    for remedy in found:
        if yes or _agreed(remedy.what):
            say(remedy.apply(), err=True)
            mended = True
    return mended


def _agreed(what: str) -> bool:
    from envkit.errors import UsageError

    try:
        return click.confirm(f"{what}?", default=False, err=True)
    except click.Abort:  # Ctrl-C, or there is nobody to answer
        raise UsageError(
            "--fix asks before each thing it does, and there was no answer",
            hint="envkit doctor --fix --yes",
        ) from None


def _read(name: str) -> str:
    from envkit.doctor.reading import text_of
    from envkit.errors import UsageError

    try:
        if name == "-":
            text, skipped = text_of(sys.stdin.buffer)
        else:
            with Path(name).open("rb") as file:
                text, skipped = text_of(file)
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read: {error.strerror}", hint="name the file of a log, or '-'"
        ) from None
    if skipped:
        say(f"{skipped >> 20} MiB in the middle of the log were not read", err=True)
    return text


def _show(report: Report, output: str, ascii_only: bool, verbose: bool, seconds: float) -> None:
    from importlib import import_module

    render = import_module(f"envkit.doctor.render.{output}")
    if output == "text":
        stream = sys.stdout
        text = render.render(
            report,
            width=terminal_width(),
            styled=wants_colour(stream),
            ascii_only=ascii_only or not has_signs(stream),
            verbose=verbose,
            seconds=seconds,
        )
    elif output == "html":
        text = render.render(report, project=str(project_root()))
    else:
        text = render.render(report)
    if output == "github":
        add_to_summary(render.summary(report))
    say(text, nl=not text.endswith("\n"))
