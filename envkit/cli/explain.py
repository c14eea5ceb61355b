"""``envkit explain``: what a slug means, why that happens, and how to mend it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from envkit.cli.arguments import Argument, Command
from envkit.cli.shared import (
    format_option,
    guarded,
    has_signs,
    print_json,
    say,
    terminal_width,
    wants_colour,
)

if TYPE_CHECKING:
    from envkit.doctor.explanations import Explanation
    from envkit.doctor.render.page import Page

__all__ = ["explain"]


def _complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    from envkit.doctor.explanations import explanations

    return [slug for slug in explanations() if slug.startswith(begun)]


@click.command(
    cls=Command, short_help="Say what a finding of the doctor means, and how to mend it."
)
@click.argument(
    "slug",
    cls=Argument,
    meaning="The name in brackets, such as net.refused, or the beginning of several, such as net; "
    "all are listed if none is named.",
    required=False,
    metavar="[SLUG]",
    shell_complete=_complete,
)
@format_option
@guarded()
def explain(slug: str | None, output: str) -> None:
    """Say what a finding of the doctor means, and how to mend it."""
    import msgspec

    from envkit.doctor.explanations import explanations

    found = _chosen(explanations(), slug)
    if output == "json":
        print_json({"version": 1, "slugs": msgspec.to_builtins(found)})
        return
    page = _page()
    if slug and len(found) == 1:
        _tell(page, found[0])
    else:
        _list(page, found)
    say(page.whole(), nl=False)


def _chosen(known: Mapping[str, Explanation], slug: str | None) -> Sequence[Explanation]:
    """The one that is meant, all that begin so, or all.

    Raises:
        UsageError: There is none of that name.
    """
    from difflib import get_close_matches

    from envkit.errors import UsageError

    if slug is None:
        return list(known.values())
    name = slug.strip("[]").lower()
    if name in known:
        return [known[name]]
    begun = [one for one in known.values() if one.slug.startswith(f"{name.rstrip('.')}.")]
    if begun:
        return begun
    near = get_close_matches(name, known, n=1) or [
        one for one in known if one.rpartition(".")[2] == name
    ]
    raise UsageError(
        f'the doctor knows no "{slug}"',
        hint=f"envkit explain {near[0]}" if near else "envkit explain lists all that it knows",
    )


def _page() -> Page:
    from envkit.doctor.render.page import Page

    return Page(
        width=terminal_width(),
        styled=wants_colour(sys.stdout),
        ascii_only=not has_signs(sys.stdout),
    )


def _tell(page: Page, one: Explanation) -> None:
    page.put(one.slug, tail=_rating(one), bold=True)
    page.put(one.what)
    for title, text in (("Why", one.why), ("Fix", one.fix), ("Said by", one.says)):
        if text:
            page.gap()
            page.put(text, lead=f"{title}: ")


def _rating(one: Explanation) -> str:
    sure = {"certain": "", "likely": ", likely", "guess": ", a guess"}[one.confidence]
    return f"({one.severity}{sure})"


def _list(page: Page, found: Sequence[Explanation]) -> None:
    longest = max(len(one.slug) for one in found)
    area = ""
    for one in found:
        if one.area != area:
            page.gap()
            page.put(one.area, bold=True)
            area = one.area
        page.row("  ", one.slug, one.what, longest)
