"""``commands.md``: every command, from what click knows of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from docs.generator.markdown import block, bullet, code, document, prose, table
from envkit.cli import cli
from envkit.cli.arguments import Argument
from envkit.cli.exit_codes import EXIT_CODES, OWN_EXIT_CODES

__all__ = ["page"]

_WIDTH: Final = 100  # whatever the terminal has


def page() -> str:
    found = list(_commands(cli, click.Context(cli, info_name="envkit", terminal_width=_WIDTH)))
    return document(
        "Commands",
        [
            prose(
                "`env-doctor` is another name for `envkit doctor`, and `python -m envkit` for"
                " `envkit`. `-h` and `--help` show any command's usage."
            ),
            "\n".join(f"- [{name}](#{_anchor(name)})" for name, _, _ in found),
            "## Exit codes",
            _exit_codes("every command that is not named below", EXIT_CODES),
            *(_exit_codes(code(f"envkit {name}"), own) for name, own in OWN_EXIT_CODES.items()),
            *(part for entry in found for part in _command(*entry)),
        ],
    )


def _commands(
    command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """This one and all below it, with the words that are typed."""
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _commands(below, click.Context(below, parent=context, info_name=name))


def _exit_codes(whose: str, codes: Mapping[str, str]) -> str:
    lead = prose(f"Of {whose}:")
    return f"{lead}\n\n{table(['code', 'means'], list(codes.items()))}"


def _command(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {name}"
    yield block(command.get_usage(context).removeprefix("Usage: "))
    for paragraph in _paragraphs(command.help or ""):
        yield prose(paragraph)
    if arguments := [f"{code(one.shown)}: {one.meaning}" for one in _arguments(command)]:
        yield "Arguments:"
        yield "\n".join(map(bullet, arguments))
    # Without --help, which all have.
    options = [one for one in command.params if isinstance(one, click.Option)]
    if options:
        yield "Options:"
        yield "\n".join(bullet(_option(one)) for one in options)


def _paragraphs(text: str) -> Sequence[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(text))


def _arguments(command: click.Command) -> list[Argument]:
    """Those of a command.

    Raises:
        TypeError: There is one without a meaning.
    """
    found = [one for one in command.params if isinstance(one, click.Argument)]
    for one in found:
        if not isinstance(one, Argument):
            raise TypeError(f"{command.name}: {one.name} is no {Argument.__qualname__} of ours")
    return [one for one in found if isinstance(one, Argument)]


def _option(option: click.Option) -> str:
    names = ", ".join(option.opts)
    text, _, said = (option.help or "").partition("  [default: ")
    variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    if variables:
        text += f" Variable: {', '.join(map(code, variables))}."
    if default := said.rstrip("]") or (code(str(option.default)) if option.show_default else ""):
        text += f" Default: {default}."
    return f"{code(f'{names} {_takes(option)}'.strip())}: {text}"


def _takes(option: click.Option) -> str:
    """As in the usage line; click's own way to ask differs from version to version."""
    if option.is_flag or option.metavar:
        return option.metavar or ""
    assert isinstance(option.type, click.Choice), option.name
    return f"[{'|'.join(option.type.choices)}]"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
