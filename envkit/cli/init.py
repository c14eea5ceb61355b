"""``envkit init``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from envkit.cli.shared import guarded, say

if TYPE_CHECKING:
    from envkit.init import Proposal

__all__ = ["init"]


@click.command(short_help="Propose [tool.envkit] for this project, and write it.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@guarded()
def init(yes: bool) -> int:
    """Propose [tool.envkit] from this project's dependencies, files and code, and write it.

    Each line is shown with what speaks for it; what is not certain is a note, and left out. The
    project's code is read and never run, and nothing but the table is written.
    """
    from envkit.config import find_root
    from envkit.init import propose, write

    proposal = propose(find_root())
    _print_proposal(proposal)
    if not yes:
        if not sys.stdin.isatty():
            say("nothing was written; `envkit init --yes` writes it", err=True)
            return 0
        if not click.confirm(f"Write this to {proposal.file}?", default=True):
            return 1
    say(f"written to {write(proposal)}")
    return 0


def _print_proposal(proposal: Proposal) -> None:
    import shutil
    from textwrap import TextWrapper

    width = shutil.get_terminal_size().columns
    comment = TextWrapper(width, "# ", "#   ", break_long_words=False, break_on_hyphens=False)
    for text in (*proposal.reasons, *(f"note: {note}" for note in proposal.notes)):
        say(comment.fill(text))
    say(proposal.table)
