"""The scan gate of a release: the wait for its verdict, the verdict itself, and its renewal when it is too old."""

from __future__ import annotations

from collections.abc import Collection

from prefect import get_run_logger

from pratique.branches import results, run_branches
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Gate, Release
from pratique.errors import GateBlocked
from pratique.evidence.candidates import candidates
from pratique.gate.approval import Approval
from pratique.gate.clearance import PromotionClearance, clear
from pratique.gate.standing import StandingVerdict
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

        async def ask() -> GateReport:
            return await assess(
                release.name, waiting_images, setup.rules, wait_policy, poller=setup.poller, progress=board.show
            )

        report = await ask()
        runtime.verdicts[release.name] = StandingVerdict(report, ask, runtime.clock)
        return report


@step(name="verdict", run_name="verdict on {report.release}", **UNCACHED)
async def give_verdict(report: GateReport, approval: Approval | None = None) -> list[PromotionClearance]:
    """Record the gate's verdict, and clear each image of a release that passes.

    :param approval: a person's answer, where one was asked; the sources are asked again after it
    :raises GateBlocked: unless the release passes
    """
    verdict = standing_verdict(report.release)
    final = await verdict.approve(approval) if approval else verdict.report
    await publish_record(final)
    with emit_on_block(final.release):
        clearances = clear(final)
    images = [f"{verdict.image.location.short}: {verdict.state}" for verdict in final.verdicts]
    emit("gate.passed", f"release.{final.release}", release=final.release, images=images)
    return clearances


def standing_verdict(release: str) -> StandingVerdict:
    """The verdict on a release that has passed through the gate in this process.

    :raises GateBlocked: when it has not
    """
    verdict = current().verdicts.get(release)
    if verdict is None:
        raise _without_verdict(f"release {release}")
    return verdict


async def renew_verdict(release: str, consequence: str) -> GateReport:
    """Ask the sources again about a release whose verdict is too old, and record the new verdict.

    :param consequence: what is not done if the release is blocked, as a sentence for the error
    :return: the latest report
    :raises GateBlocked: unless the release passes now
    """
    verdict = standing_verdict(release)
    before = verdict.report.at
    if await verdict.renew():
        get_run_logger().info(
            "Release %s: its verdict of %s was too old, and the sources were asked again",
            release,
            f"{before:%Y-%m-%d %H:%M} UTC",
        )
        await publish_record(verdict.report)
        with emit_on_block(release):
            verdict.require(consequence)
    verdict.require(consequence)
    return verdict.report


async def renew_verdicts(digests: Collection[str], consequence: str) -> list[GateReport]:
    """As :func:`renew_verdict`, for the releases of these images. The releases share the queries.

    :raises GateBlocked: unless every image is in a release that passes now
    """
    releases = {name: verdict.digests & {*digests} for name, verdict in current().verdicts.items()}
    if unknown := {*digests}.difference(*releases.values()):
        raise _without_verdict(", ".join(sorted(unknown)))
    async with run_branches() as start:
        renewed = [start(renew_verdict(name, consequence)) for name, found in releases.items() if found]
    return results(renewed)


def _without_verdict(subject: str) -> GateBlocked:
    return GateBlocked(
        "let the images through the scan gate",
        subject,
        "This run has no verdict on them.",
        "Run the flow again, so that the gate checks them.",
    )
