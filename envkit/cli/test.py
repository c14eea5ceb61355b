"""``envkit test``: the project's categories of tests in their order, each gated by the doctor."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from envkit.cli.arguments import Argument
from envkit.cli.cut import CutCommand, handed_on
from envkit.cli.shared import (
    add_to_summary,
    configured,
    format_option,
    guarded,
    has_signs,
    print_json,
    say,
    say_left,
    styled,
    terminal_width,
    wants_colour,
)

if TYPE_CHECKING:
    from envkit.categories.result import Result
    from envkit.categories.running import How
    from envkit.config import Config
    from envkit.declared import Category
    from envkit.keeper.client import Client

__all__ = ["test"]


@click.command(
    cls=CutCommand,
    misplaced="Is this pytest's own? Put -- before it.",
    options_metavar="[CATEGORY]... [OPTIONS] [-- PYTEST ARGUMENTS...]",
    short_help="Run categories of tests in order, each gated by the doctor.",
)
@click.argument(
    "categories",
    cls=Argument,
    meaning="Names from [tool.envkit.categories]; all if none is named.",
    shown="[CATEGORY]...",
    nargs=-1,
    metavar="",
)
@click.option(
    "--require-tests",
    is_flag=True,
    help="Fail if no test of a category was selected, unless it has allow_empty.",
)
@click.option(
    "--keep-going", is_flag=True, help="Also run what comes after a category that failed."
)
@click.option(
    "--fail-fast", is_flag=True, help="Run nothing more at all after a category that failed."
)
@click.option("--junit", metavar="FILE", help="Write a JUnit file with a suite for each category.")
@format_option
@click.pass_context
@guarded()
def test(
    ctx: click.Context,
    categories: tuple[str, ...],
    require_tests: bool,
    keep_going: bool,
    fail_fast: bool,
    junit: str | None,
    output: str,
) -> int:
    """Run categories of tests in order, each gated by the doctor.

    Those named run, after what they come after. A category whose services or secrets are not there
    is blocked: nothing of it runs, and the cause is said with what to type. What follows after
    `--` goes to pytest, in every category.

    Exit codes: 0 passed (or empty beside passed), 1 failed or blocked, 3 could not be run or
    checked, 5 no test was selected at all.
    """
    from envkit.categories.child import Stops
    from envkit.categories.order import in_order
    from envkit.categories.result import exit_code
    from envkit.categories.running import How, run_categories

    begun = time.monotonic()
    if keep_going and fail_fast:
        raise _usage("--keep-going and --fail-fast mean the contrary", "use one of them")
    loaded = configured()
    chosen = in_order(loaded.categories, categories)
    report = _writable(junit) if junit else None
    with (
        _Holding(loaded) as holding,
        _scratch() as scratch,
        Stops() as stops,
    ):
        how = How(
            pytest_args=handed_on(ctx),
            scratch=Path(scratch),
            require_tests=require_tests,
            keep_going=keep_going,
            fail_fast=fail_fast,
            junit=report is not None,
            output=2 if output == "json" else None,
        )

        def announce(category: Category) -> None:
            _announce(category, how, json=output == "json")

        results = run_categories(loaded, chosen, how, stops, announce, holding.has_ended)
        allowed = [one.name for one in chosen if one.allow_empty]
        code = exit_code(results, categories or [one.name for one in chosen], allowed)
        if stops.number:
            code = 128 + stops.number
        if report is not None:
            _write(report, results)
    _show(results, code, output, time.monotonic() - begun)
    return code


class _Holding:
    """Holds the servers for a ``with`` block, so that all categories use the same ones.

    Where that cannot be, whichever tests need a server say so, and others do not need to know.
    """

    def __init__(self, loaded: Config) -> None:
        self._loaded = loaded
        self._client = self._connected()

    def _connected(self) -> Client | None:
        from envkit.errors import EnvkitError
        from envkit.keeper.client import connect

        with suppress(EnvkitError):
            return connect(self._loaded.root, self._loaded.settings)
        return None

    def __enter__(self) -> Self:
        return self

    def has_ended(self) -> bool:
        """Whether the keeper has; then another one is held from now on."""
        if self._client is None or not self._client.is_gone:
            return False
        self._client.close()
        self._client = self._connected()
        return True

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
            say_left(self._client.left)


def _usage(observed: str, hint: str) -> Exception:
    from envkit.errors import UsageError

    return UsageError(observed, hint=hint)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="envkit-test-")
    except OSError as error:  # on a full disk no directory will do
        raise _usage(
            f"there is no place for temporary files: {error.strerror}",
            "free some room, or set TMPDIR to a directory that has it",
        ) from None


def _writable(name: str) -> Path:
    """The file, asked before anything is run for it."""
    path = Path(name).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise _usage(
            f"{name} cannot be written: {error.strerror}", "name another file with --junit"
        ) from None
    return path


def _write(path: Path, results: Sequence[Result]) -> None:
    from envkit.categories.render.junit import render

    try:
        _put(path, render(results))
    except OSError as error:
        say(f"{path} was not written: {error.strerror}", err=True)


def _put(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there."""
    if not path.is_file() or path.is_symlink() or not os.access(path.parent, os.W_OK):
        path.write_text(text, "utf-8")  # a pipe, or nothing can be put beside it
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _announce(category: Category, how: How, *, json: bool) -> None:
    from envkit.categories.running import shown_command

    stream = sys.stderr if json else sys.stdout
    name = styled(f"envkit: {category.name}", stream, bold=True)
    command = styled(shown_command(category, how.pytest_args), stream, dim=True)
    say(f"{name}  {command}", err=json)
    stream.flush()  # before pytest writes there


def _show(results: Sequence[Result], code: int, output: str, seconds: float) -> None:
    from envkit.categories.render import markdown

    add_to_summary(markdown.render(results, code))
    if output == "json":
        from envkit.categories.render.json import as_data

        print_json(as_data(results, code))
        return
    from envkit.categories.render.text import render

    stream = sys.stdout
    text = render(
        results,
        code=code,
        seconds=seconds,
        width=terminal_width(),
        styled=wants_colour(stream),
        ascii_only=not has_signs(stream),
    )
    say(f"\n{text}", nl=False)
