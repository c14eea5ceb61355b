"""Arguments with a help text, which older versions of click have only for options."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["Argument", "Command"]


class Argument(click.Argument):
    """An argument that ``--help`` and the reference explain.

    Args:
        args: As of `click.Argument`.
        meaning: What it is, as a sentence.
        shown: How it is written, where the usage line has no place of its own for it.
        kwargs: As of `click.Argument`.
    """

    def __init__(self, *args: Any, meaning: str, shown: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.meaning = meaning
        self.shown = shown or self.metavar or str(self.name).upper()


class Command(click.Command):
    """A command whose help has a section about its arguments."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(one.shown, one.meaning) for one in self.params if isinstance(one, Argument)]
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)
