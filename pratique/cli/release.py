"""``pratique release``."""

from __future__ import annotations

from typing import Annotated

import typer

from pratique.cli.flow_runner import FlowRunner
from pratique.cli.frame import ConfigArgument
from pratique.cli.output import print_commits, print_images


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
    runner = FlowRunner(config)

    from flows.release_images import release_images

    delivery = runner.run(release_images(runner.config, only or []))
    print_images(delivery)
    print_commits(delivery)
