"""``pratique trust``."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from pratique.cli.frame import OutputOption, exit_on_error, load
from pratique.cli.output import print_line, write_json

trust = typer.Typer(no_args_is_help=True, help="Show who signs findings artifacts, and how to trust them.")


def show(
    image: Annotated[str, typer.Argument(help="Image in your registry, with a tag or a digest.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file to verify under. Default: nobody is trusted.")
    ] = None,
    output: OutputOption = None,
) -> None:
    """Show who signed what is attached to an image, and the settings that trust them. Changes nothing."""
    from pratique.preflight.trust import trust_report

    report = asyncio.run(trust_report(image, None if config is None else load(config)))
    write_json(dataclasses.asdict(report), output)
    print_line(report.text())


trust.command()(exit_on_error(show))
