"""``pratique rescan``, ``pratique seal`` and ``pratique drill``."""

from __future__ import annotations

from typing import Annotated

import typer

from pratique.cli.flow_runner import FlowRunner
from pratique.cli.frame import ConfigArgument, OutputOption
from pratique.cli.output import print_line, write_json
from pratique.errors import ConfigurationError

_SEAL = {
    "locked": "locked",
    "undone": "was on record as locked, and was not",
    "unlocked": "unlocked",
    "unrecorded": "not on record",
}


def rescan(config: ConfigArgument, output: OutputOption = None) -> None:
    """Judge the images in live/ again, under today's policy and findings, and react as configured."""
    runner = FlowRunner(config)

    from flows.rescan_live import rescan_live

    record = runner.run(rescan_live(runner.config))
    write_json(record, output)
    states = ", ".join(f"{count} {state}" for state, count in record["states"].items()) or "none"
    print_line(f"{record['outcome']}: {record['images']} images in live/: {states}")
    for change in record["changes"]:
        print_line(f"{change['kind']}: {change['image']}: {change['why']}")
    for note in record["notes"]:
        print_line(f"note: {note}")


def seal(config: ConfigArgument, output: OutputOption = None) -> None:
    """Lock what was promoted into live/, and unlock what nothing has needed for long enough."""
    runner = FlowRunner(config)

    from flows.seal_live import seal_live

    record = runner.run(seal_live(runner.config))
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
    from pratique.config.drill import CONFIRMATION

    if confirm != CONFIRMATION:
        raise ConfigurationError(
            "start the drill", confirm, "This is not the confirmation.", f"Add --confirm {CONFIRMATION!r}."
        )
    runner = FlowRunner(config)

    from flows.drill_quarantine_bypass import drill_quarantine_bypass

    print_line(runner.run(drill_quarantine_bypass(runner.config, confirm)).markdown())
