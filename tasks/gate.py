"""The scan gate of a release: the wait for its verdict, and the verdict itself."""

from __future__ import annotations

from prefect import get_run_logger

from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Gate, Release
from pratique.evidence.candidates import candidates
from pratique.gate.approval import Approval
from pratique.gate.clearance import PromotionClearance, clear
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.images import ImportedImage
from tasks.events import emit, emit_on_block
from tasks.gate_board import GateBoard, leave_record
from tasks.policies import UNCACHED
from tasks.runtime import current
from tasks.step import step


@step(name="scan gate", run_name="gate {release.name}", **UNCACHED)
async def scan_gate(
    release: Release, images: list[ImportedImage], infrastructure: Infrastructure, gate: Gate
) -> GateReport:
    """Wait until the sources have said enough about every image of the release."""
    runtime = current()
    with emit_on_block(release.name):
        setup = await runtime.gate()
        for warning in setup.warnings:
            get_run_logger().warning(warning)
        registry = infrastructure.quarantine.login_server
        waiting = await candidates(runtime.oci, registry, images, gate.platforms)
        patience = WaitPolicy(
            gate.interval, gate.patience, release.deadline or gate.deadline, gate.report == "fail-fast"
        )
        board = GateBoard(release.name)
        return await assess(release.name, waiting, setup.rules, patience, poller=setup.poller, progress=board.show)


@step(name="verdict", run_name="verdict on {report.release}", **UNCACHED)
async def give_verdict(report: GateReport, approval: Approval | None = None) -> list[PromotionClearance]:
    """Record the gate's verdict, and clear each image of a release that passes.

    :param approval: what a person said, where one was asked
    :raises GateBlocked: unless the release may pass
    """
    final = report.with_approval(approval) if approval else report
    await leave_record(final)
    with emit_on_block(final.release):
        clearances = clear(final)
    images = [f"{verdict.image.reference.short}: {verdict.state}" for verdict in final.verdicts]
    emit("gate.passed", f"release.{final.release}", release=final.release, images=images)
    return clearances
