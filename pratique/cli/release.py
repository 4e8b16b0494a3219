"""``pratique release``."""

from __future__ import annotations

from typing import Annotated

import typer

from pratique.cli.frame import ConfigArgument, run_flow
from pratique.cli.output import print_commits, print_images
from pratique.config import load


def release(
    config: ConfigArgument,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Image to release, written as in the catalogue; its whole release goes with it. Can be repeated."
        ),
    ] = None,
) -> None:
    """Release the images of a changed catalogue to a cluster that is already prepared."""
    from flows.release_images import release_images

    delivery = run_flow(release_images(load(config), only or []))
    print_images(delivery)
    print_commits(delivery)
