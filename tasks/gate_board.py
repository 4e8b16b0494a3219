"""Shows the gate in Prefect: while it waits, a table that is updated and a log line per change; then a record."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.client.schemas.actions import ArtifactUpdate

from pratique.gate.break_glass import companions
from pratique.gate.record import record
from pratique.gate.report import markdown, rows
from pratique.gate.verdict import VerdictState
from pratique.gate.wait import GateReport
from pratique.text import first_few
from tasks.runtime import current

#: Log lines of one look about images of which the same is new.
_MOST_LINES = 10


class GateBoard:
    """Shows the gate's reports on one release."""

    def __init__(self, release: str) -> None:
        self._release = release
        self._artifact: UUID | None = None
        self._states: dict[tuple[str, str], str] = {}
        self._since: dict[tuple[str, str], datetime] = {}
        self._waits = ""

    async def show(self, report: GateReport) -> None:
        """Log what has changed, and update the table."""
        changes: dict[tuple[VerdictState, str], list[str]] = {}
        for verdict in report.verdicts:
            name = verdict.image.location.short
            for platform_verdict in verdict.platforms:
                place, state = (name, platform_verdict.platform), platform_verdict.state
                if self._states.get(place) != state:
                    self._states[place], self._since[place] = state, current().clock.now()
                    changes.setdefault((state, platform_verdict.reason), []).append(" ".join(place))
        for (state, reason), places in changes.items():
            for names in places if len(places) <= _MOST_LINES else [f"{len(places)} images, {first_few(places)}"]:
                get_run_logger().info("%s: %s (%s)", names, state, reason)
        if (waits := companions(report)) != self._waits:
            self._waits = waits
            get_run_logger().warning(waits or "The image with a break-glass entry no longer waits for others")
        table = rows(report, self._since)
        if self._artifact is None:
            about = f"Scan gate of release {self._release}"
            self._artifact = await acreate_table_artifact(table, key=f"gate-{self._release}", description=about)
        else:
            async with get_client() as client:
                await client.update_artifact(self._artifact, ArtifactUpdate(data=json.dumps(table)))


async def publish_record(report: GateReport) -> None:
    """Create the artifacts of a finished gate: the summary as Markdown, and the record as JSON."""
    about = f"The gate's verdict on release {report.release}, with reasons"
    await acreate_markdown_artifact(markdown(report), key=f"gate-{report.release}-summary", description=about)
    recorded = f"```json\n{json.dumps(record(report) | _configuration(), indent=1)}\n```"
    about = f"The gate's full record of release {report.release}, as JSON"
    await acreate_markdown_artifact(recorded, key=f"gate-{report.release}-record", description=about)
    if report.approval is not None:
        await GateBoard(report.release).show(report)


def _configuration() -> dict[str, Any]:
    """Which configuration the gate worked under, if the run read it from Git."""
    origin = current().origin
    return {"configuration": dataclasses.asdict(origin)} if origin else {}
