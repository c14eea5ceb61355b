"""``envkit images``: images of the services for where no registry is reachable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from envkit.cli.arguments import Argument, Command
from envkit.cli.shared import format_option, guarded, print_json, say

if TYPE_CHECKING:
    from envkit.backends.images import Built

__all__ = ["images"]


@click.group(short_help="Build images of the services where no registry is reachable.")
def images() -> None:
    """Images of the services, made from this machine's wheels and programs.

    They have the interface of the official images of postgres, redis and clickhouse, and are built
    without a download.
    """


@images.command(cls=Command, short_help="Build the images of all services, or of some.")
@click.argument(
    "services",
    cls=Argument,
    meaning="postgres, redis, clickhouse; all if none is named.",
    nargs=-1,
    metavar="[SERVICE]...",
)
@click.option(
    "--variant",
    type=click.Choice(["plain", "ready", "all"]),
    default="all",
    show_default=True,
    help="plain: as the official image; ready (tag NAME-ready): as much of the first start as "
    "possible is done beforehand; all: both.",
)
@click.option("--force", is_flag=True, help="Build again what is there with the same content.")
@format_option
@guarded()
def build(services: tuple[str, ...], variant: str, force: bool, output: str) -> None:
    """Build the images of all services, or of those named, and put them into the engine.

    The engine is the one that DOCKER_HOST or the current docker context names. An image that is
    there with the same content stays as it is.
    """
    from typing import cast

    from envkit.backends.images import VARIANTS, Variant
    from envkit.backends.images import build as build_images
    from envkit.model import SERVICES, ServiceName, as_builtins

    built = build_images(
        cast("tuple[ServiceName, ...]", services) or SERVICES,
        VARIANTS if variant == "all" else (cast("Variant", variant),),
        force=force,
        on_built=_show if output == "text" else lambda _: None,
    )
    if output == "json":
        shown = [as_builtins(one) | {"seconds": round(one.seconds, 2)} for one in built]
        print_json({"version": 1, "images": shown})


def _show(built: Built) -> None:
    say(f"{built.status:<9}{built.reference:<30}{built.size / 1e6:6.1f} MB{built.seconds:7.1f} s")
