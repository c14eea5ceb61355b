"""``envkit secrets``: what is wrong with the declared secrets, and values for missing ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from envkit.cli.shared import (
    configured,
    drawn,
    format_option,
    guarded,
    print_json,
    say,
    styled,
)

if TYPE_CHECKING:
    from envkit.config import Config
    from envkit.secrets import Generated, Verdict

__all__ = ["secrets"]

#: Sign, what stands for it in ASCII, and colour.
_SIGNS: Final = {
    "ok": ("✓", "+", "green"),
    "unset": ("-", "-", "bright_black"),
    "warning": ("!", "!", "yellow"),
    "error": ("✗", "x", "red"),
}


@click.group(short_help="Look at the declared secrets, and make missing ones.")
def secrets() -> None:
    """The secrets of [tool.envkit.secrets].

    No value is ever shown.
    """


@secrets.command(short_help="Say what is wrong with the declared secrets.")
@format_option
@guarded()
def check(output: str) -> int:
    """Say what is wrong with the declared secrets, and what to do about it.

    They are looked for in the environment, in the file that NAME_FILE names, in env_files and in
    secret_dirs. Exit code 1: something is wrong. Warnings alone are 0.
    """
    from envkit.secrets import examine

    loaded = configured()
    verdicts = examine(loaded, os.environ)
    rows = _rows(loaded, verdicts)
    failed = _has_errors(verdicts)
    if output == "json":
        from envkit.model import as_builtins

        status = "problems" if failed else "ok"
        print_json(
            {"version": 1, "status": status, "secrets": rows, "verdicts": as_builtins(verdicts)}
        )
    elif not rows:
        say("no secrets are declared in [tool.envkit.secrets]")
    else:
        _print_rows(rows)
        _print_verdicts(verdicts)
    return 1 if failed else 0


@secrets.command(short_help="Make values for missing secrets, in the first of env_files.")
@format_option
@guarded()
def generate(output: str) -> int:
    """Make values for missing secrets, and append them to the first of env_files.

    What stands there already is never changed. The file gets mode 0600, and git is told to ignore
    it. Exit code 1: something is still wrong.
    """
    from envkit.secrets import examine
    from envkit.secrets import generate as make

    loaded = configured()
    made = make(loaded, os.environ)
    verdicts = examine(loaded, os.environ)
    failed = _has_errors(verdicts) or made.exposed
    if output == "json":
        from envkit.model import as_builtins

        print_json({"version": 1, **as_builtins(made), "verdicts": as_builtins(verdicts)})
    else:
        _print_made(made)
        _print_verdicts(verdicts)
        if not made.names and not verdicts:
            say("nothing is missing")
    return 1 if failed else 0


def _has_errors(verdicts: Iterable[Verdict]) -> bool:
    return any(one.severity == "error" for one in verdicts)


def _rows(loaded: Config, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    from envkit.secrets import read

    found = read(loaded, os.environ).found
    severities = {one.name: one.severity for one in verdicts}
    return [
        {
            "name": name,
            "kind": secret.kind,
            "source": found[name].source if name in found else None,
            "status": severities.get(name) or ("ok" if name in found else "unset"),
        }
        for name, secret in loaded.secrets.items()
    ]


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Those that nothing is to be said of."""
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        if row["status"] in ("ok", "unset"):
            where = row["source"] or "not set, and not required here"
            say(f"{_sign(row['status'])} {row['name']:<{width}}  {_part(where)}")


def _print_made(made: Generated) -> None:
    done = _sign("ok")
    if made.names:
        say(f"{done} made {', '.join(made.names)} in {_part(made.file)}")
    if made.tightened:
        say(f"{done} {_part(made.file)} had mode {made.tightened} and has 0600 now")
    if made.ignored:
        say(f"{done} {_part(made.file)} is ignored by git now ({made.ignored})")
    if made.exposed:
        say(f"{_sign('error')} {_part(made.file)} is not ignored by git")
        say(f"  {drawn('→', '->', sys.stdout)} {_part('add it to a .gitignore', bold=True)}")


def _print_verdicts(verdicts: Iterable[Verdict]) -> None:
    for one in verdicts:
        slug = _part(f"[{one.slug}]", dim=True)
        say(f"{_sign(one.severity)} {_part(one.observed)} {slug}")
        say(f"    {_part(one.source)}")
        arrow = drawn("→", "->", sys.stdout)
        say(f"  {arrow} {_part(one.command or one.advice, bold=True)}")
        if one.command and one.advice:
            say(f"  {' ' * len(arrow)} {_part(one.advice)}")


def _sign(status: str) -> str:
    sign, instead, colour = _SIGNS[status]
    return styled(drawn(sign, instead, sys.stdout), sys.stdout, fg=colour)


def _part(text: str, **style: Any) -> str:
    return styled(text, sys.stdout, **style)
