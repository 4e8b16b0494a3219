"""``pratique check``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import typer

from pratique.cli.frame import ConfigArgument, load
from pratique.cli.output import console, print_line
from pratique.errors import ConfigurationError, PratiqueError


def check(config: ConfigArgument) -> None:
    """Check that a run can work: credentials, permissions, Defender, names, network. Changes nothing."""
    from pratique.preflight.check import run_checks
    from pratique.preflight.waivers import listed_waivers, wrapped

    failed, loaded = False, load(config)
    for line in asyncio.run(run_checks(loaded)):
        failed |= not line.passed
        word, style = ("FAIL", "red") if not line.passed else ("warn", "yellow") if line.warning else ("pass", "green")
        console.print(f"{word} ", style=style, end="")
        print_line(f"{line.name}: {line.detail}")
        if line.remedy:
            print_line(f"     next: {line.remedy}")
    with suppress(ConfigurationError):  # the check of the gate has shown it
        if waivers := listed_waivers(loaded, datetime.now(UTC)):
            print_line("\nAcceptances and exceptions")
            for text in wrapped(waivers, "  "):
                print_line(text)
    if failed:
        raise typer.Exit(PratiqueError.exit_code)
