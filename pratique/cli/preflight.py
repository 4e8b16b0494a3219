"""``pratique check``."""

from __future__ import annotations

import asyncio

import typer

from pratique.cli.frame import ConfigArgument
from pratique.cli.output import console, print_line
from pratique.config import load
from pratique.errors import PratiqueError


def check(config: ConfigArgument) -> None:
    """Check that a run can work: credentials, permissions, Defender, names, network. Changes nothing."""
    from pratique.preflight.check import run_checks

    failed = False
    for line in asyncio.run(run_checks(load(config))):
        failed |= not line.passed
        console.print("pass " if line.passed else "FAIL ", style="green" if line.passed else "red", end="")
        print_line(f"{line.name}: {line.detail}")
        if not line.passed:
            print_line(f"     next: {line.remedy}")
    if failed:
        raise typer.Exit(PratiqueError.exit_code)
