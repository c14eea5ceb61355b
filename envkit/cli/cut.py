"""Commands that hand on what follows ``--``."""

from __future__ import annotations

import sys
from typing import Any

import click

from envkit.cli.arguments import Command
from envkit.cli.shared import say, show_usage_error

__all__ = ["CutCommand", "handed_on"]

_HANDED_ON = "envkit.handed_on"


class CutCommand(Command):
    """A command whose line ends at the first ``--``: what follows is another program's.

    Args:
        misplaced: What to say where something that is not ours stands before it, or without it.
        usage_code: Exit code of a wrong command line.
    """

    def __init__(self, *args: Any, misplaced: str, usage_code: int = 2, **more: Any) -> None:
        super().__init__(*args, **more)
        self._misplaced = misplaced
        self._usage_code = usage_code

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            ctx.meta[_HANDED_ON] = tuple(args[cut + 1 :])
            args = args[:cut]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if ctx.resilient_parsing:
                raise
            show_usage_error(error)
            if _HANDED_ON not in ctx.meta:
                say(self._misplaced, err=True)
            sys.exit(self._usage_code)


def handed_on(ctx: click.Context) -> tuple[str, ...]:
    """What followed ``--``, as it was typed."""
    found: tuple[str, ...] = ctx.meta.get(_HANDED_ON, ())
    return found
