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
from tasks.gate_board import GateBoard, publish_record
from tasks.policies import UNCACHED
from tasks.runtime import current
from tasks.step import step


@step(name="scan gate", run_name="gate {release.name}", **UNCACHED)
async def scan_gate(
    release: Release, images: list[ImportedImage], infrastructure: Infrastructure, gate: Gate
) -> GateReport:
    """Wait until every image of the release has a final verdict."""
    runtime = current()
    with emit_on_block(release.name):
        setup = await runtime.gate()
        for warning in setup.warnings:
            get_run_logger().warning(warning)
        registry = infrastructure.quarantine.login_server
        waiting_images = await candidates(runtime.oci, registry, images, gate.platforms)
        wait_policy = WaitPolicy(
            gate.interval, gate.patience, release.deadline or gate.deadline, gate.report == "fail-fast"
        )
        board = GateBoard(release.name)
        return await assess(
            release.name, waiting_images, setup.rules, wait_policy, poller=setup.poller, progress=board.show
        )


@step(name="verdict", run_name="verdict on {report.release}", **UNCACHED)
async def give_verdict(report: GateReport, approval: Approval | None = None) -> list[PromotionClearance]:
    """Record the gate's verdict, and clear each image of a release that passes.

    :param approval: a person's answer, where one was asked
    :raises GateBlocked: unless the release passes
    """
    final = report.with_approval(approval) if approval else report
    await publish_record(final)
    with emit_on_block(final.release):
        clearances = clear(final)
    images = [f"{verdict.image.reference.short}: {verdict.state}" for verdict in final.verdicts]
    emit("gate.passed", f"release.{final.release}", release=final.release, images=images)
    return clearances
