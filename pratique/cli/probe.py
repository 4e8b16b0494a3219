"""``pratique probe``."""

from __future__ import annotations

import asyncio

import typer

from pratique.cli.frame import ConfigArgument, OutputOption, load
from pratique.cli.output import print_line, write_json
from pratique.errors import PratiqueError


def probe(config: ConfigArgument, output: OutputOption = None) -> None:
    """Show what your tenant does where Azure's behaviour is not documented, redacted. Changes nothing."""
    from pratique.preflight.probe.run import run_probe

    report = asyncio.run(run_probe(load(config)))
    write_json(report.document(), output)
    print_line(report.text())
    if all(answer.state == "not read" for answer in report.answers):
        raise typer.Exit(PratiqueError.exit_code)
