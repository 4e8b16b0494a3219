"""The gate as Prefect shows it while it waits: one table, kept up to date, and a log line a change."""

from __future__ import annotations

import json
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.actions import ArtifactUpdate

from pratique.gate import GateReport
from pratique.policy import Decision
from pratique.report import gate_rows


class GateBoard:
    """Shows the reports of one release."""

    def __init__(self, release: str) -> None:
        self._release = release
        self._artifact: UUID | None = None
        self._shown: tuple[Decision, ...] = ()

    async def show(self, report: GateReport) -> None:
        """Log what changed, and bring the table up to date."""
        for decision in report.decisions:
            if decision not in self._shown:
                get_run_logger().info("%s: %s (%s)", decision.image.reference.short, decision.state, decision.reason)
        self._shown = report.decisions
        rows = gate_rows(report)
        if self._artifact is None:
            about = f"Scan gate of release {self._release}"
            self._artifact = await acreate_table_artifact(rows, key=f"gate-{self._release}", description=about)
        else:
            async with get_client() as client:
                await client.update_artifact(self._artifact, ArtifactUpdate(data=json.dumps(rows)))
