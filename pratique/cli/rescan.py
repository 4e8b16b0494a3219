"""``pratique rescan``, ``pratique seal`` and ``pratique drill``."""

from __future__ import annotations

from typing import Annotated

import typer

from pratique.cli.frame import ConfigArgument, OutputOption, run_flow
from pratique.cli.output import print_line, write_json
from pratique.config import load
from pratique.errors import ConfigurationError

_SEAL = {
    "locked": "locked",
    "undone": "was on record as locked, and was not",
    "unlocked": "unlocked",
    "unrecorded": "not on record",
}


def rescan(config: ConfigArgument, output: OutputOption = None) -> None:
    """Judge the images in live/ again, under today's policy and findings, and react as configured."""
    from flows.rescan_live import rescan_live

    record = run_flow(rescan_live(load(config)))
    write_json(record, output)
    states = ", ".join(f"{count} {state}" for state, count in record["states"].items()) or "none"
    print_line(f"{record['outcome']}: {record['images']} images in live/: {states}")
    for change in record["changes"]:
        print_line(f"{change['kind']}: {change['image']}: {change['why']}")
    for note in record["notes"]:
        print_line(f"note: {note}")


def seal(config: ConfigArgument, output: OutputOption = None) -> None:
    """Lock what was promoted into live/, and unlock what nothing has needed for long enough."""
    from flows.seal_live import seal_live

    record = run_flow(seal_live(load(config)))
    write_json(record, output)
    print_line(f"{record['outcome']}: {record['images']} images on record in live/")
    for kind in ("locked", "undone", "unlocked", "unrecorded"):
        for part in record[kind]:
            print_line(f"{_SEAL[kind]}: {part}")
    for note in record["notes"]:
        print_line(f"note: {note}")


def drill(
    config: ConfigArgument,
    confirm: Annotated[
        str,
        typer.Option(
            help='Type "bypass the quarantine". For some minutes, live/ holds an image that the gate has not judged.'
        ),
    ],
) -> None:
    """Bypass the quarantine on purpose, wait for the alert, then clean up."""
    from flows.drill_quarantine_bypass import CONFIRMATION, drill_quarantine_bypass

    loaded = load(config)
    if confirm != CONFIRMATION:
        raise ConfigurationError(
            "start the drill", confirm, "This is not the confirmation.", f"Add --confirm {CONFIRMATION!r}."
        )
    print_line(run_flow(drill_quarantine_bypass(loaded, confirm)).markdown())
