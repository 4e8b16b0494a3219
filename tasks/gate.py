"""The scan gate of a release: the wait for its verdict, and the verdict itself."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Gate, Release
from pratique.evidence.candidates import candidates
from pratique.gate.report import require_passed
from pratique.gate.wait import GateReport, WaitPolicy, assess
from pratique.release.promotion import ImportedImage
from tasks.events import tell, telling_of_a_block
from tasks.gate_board import GateBoard, leave_record
from tasks.policies import ALWAYS
from tasks.runtime import current
from tasks.states import ended, opened


@task(name="scan gate", task_run_name="gate {release.name}", **ALWAYS)
async def scan_gate(
    release: Release, images: list[ImportedImage], infrastructure: Infrastructure, gate: Gate
) -> GateReport:
    """Wait for the sources' word on every image of the release."""
    with telling_of_a_block(release.name):
        return await _assessed(release, images, infrastructure.quarantine.login_server, gate)


async def _assessed(release: Release, images: list[ImportedImage], registry: str, gate: Gate) -> GateReport:
    now = current()
    ready = await now.gate()
    for warning in ready.warnings:
        get_run_logger().warning(warning)
    waiting = await candidates(now.oci, registry, images, gate.platforms)
    wait_policy = WaitPolicy(
        gate.interval, gate.patience, release.deadline or gate.deadline, gate.report == "fail-fast"
    )
    board = GateBoard(release.name)
    return await assess(release.name, waiting, ready.rules, wait_policy, poller=ready.poller, progress=board.show)


async def give_verdict(report: GateReport) -> GateReport:
    """Leave the record of how the gate decided.

    :raises GateBlocked: unless the release may pass
    """
    return await opened(_verdict(report))


@task(name="verdict", task_run_name="verdict on {report.release}", **ALWAYS)
async def _verdict(report: GateReport) -> GateReport:
    """Leave the record of how the gate decided."""
    return await ended(_given(report))


async def _given(report: GateReport) -> GateReport:
    await leave_record(report)
    with telling_of_a_block(report.release):
        require_passed(report)
    images = [f"{one.image.reference.short}: {one.state}" for one in report.verdicts]
    tell("gate.passed", f"release.{report.release}", release=report.release, images=images)
    return report
