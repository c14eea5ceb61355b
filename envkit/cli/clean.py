"""``envkit down`` and ``envkit prune``: the end of what is there, and of what was left."""

from __future__ import annotations

import click

from envkit.cli.shared import (
    configured_or_not,
    format_option,
    guarded,
    print_json,
    project_root,
    say,
    say_left,
)

__all__ = ["down", "prune"]


@click.command()
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Stop what runs for all your projects, deleted ones included.",
)
@guarded()
def down(every: bool) -> None:
    """Stop everything that runs for this project, whoever uses it."""
    from envkit.keeper.stop import stop_all

    stopped = stop_all(None if every else project_root())
    if not stopped:
        say("nothing was running", err=True)
    for one in stopped:
        used = f"; {one.clients} {'was' if one.clients == 1 else 'were'} using it" * bool(
            one.clients
        )
        if one.services or not one.attached:
            say(f"stopped {', '.join(one.services) or 'an idle keeper'}{used}", err=True)
            used = ""
        for words in one.attached:
            say(f"let go of {words}, which stays as it is{used}", err=True)
        say_left(one.left)


@click.command()
@click.option(
    "--older-than",
    metavar="AGE",
    help="Also remove what cannot be proven dead, if it is older than this: 30s, 30m, 12h or 7d.",
)
@format_option
@guarded()
def prune(older_than: str | None, output: str) -> None:
    """Remove what dead runs left behind; never what a living one uses."""
    from envkit.keeper.prune import prune as prune_all
    from envkit.redact import printable

    age = None if older_than is None else _age(older_than)
    loaded = configured_or_not()
    pruned = prune_all(
        older_than=age,
        data_dir=loaded.settings.data_dir if loaded else "",
        settings=loaded.settings if loaded else None,
        root=str(loaded.root) if loaded else "",
    )
    if output == "json":
        print_json({"version": 1, "removed": pruned.removed, "left": pruned.left})
        return
    for path in pruned.removed:
        say(f"removed {path}")
    for words in pruned.left:
        say(printable(f"left alone {words}"))
    if not pruned.removed and not pruned.left:
        say("nothing to remove")


def _age(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if unit not in units or not number.isdigit():
        from envkit.errors import UsageError

        raise UsageError(f"--older-than {text!r} is not an age", hint="such as 30m, 12h or 7d")
    return int(number) * units[unit]
