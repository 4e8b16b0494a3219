"""The part of the graph that brings one release into ``live/``, with the question to a person where the policy asks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flows.approval import ask
from flows.branches import Branch, results, run_branches, succeeded
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap, Image, Release
from pratique.errors import PratiqueError
from pratique.gate.approval import Approval
from pratique.gate.approval_request import Question
from pratique.gate.wait import GateReport
from pratique.images import ImportedImage
from tasks.events import emit_on_block
from tasks.gate import give_verdict, scan_gate
from tasks.images import promote_image, quarantine_image, resolve_image
from tasks.progress import Progress
from tasks.records import record_promotions


@dataclass(frozen=True)
class Released:
    """A release, as far as it came.

    :ivar report: of its gate
    :ivar images: in ``live/``; ``None`` while a person has to decide
    """

    release: Release
    report: GateReport
    images: list[ImportedImage] | None = None


async def release(release: Release, config: Bootstrap, infrastructure: Branch[Infrastructure]) -> Released:
    """Quarantine, gate and promote a release, unless the policy asks a person first.

    Images of one release pass together or not at all; releases do not wait for one another.

    :raises GateBlocked: when the gate refuses it
    """
    bar = await Progress.begin(f"imports-{release.name}", f"Imports of release {release.name}", len(release.images))
    async with run_branches() as start:
        quarantined = [start(bar.of(_quarantine(image, infrastructure))) for image in release.images]
    report = await scan_gate(release, results(quarantined), await infrastructure, config.gate)
    if report.asking and not report.blocked:
        return Released(release, report)
    return await _promote(release, report, None, config, await infrastructure)


async def approve_pending(
    releases: Sequence[Released], config: Bootstrap, infrastructure: Infrastructure
) -> list[Released]:
    """Ask a person about the releases that need one, and promote what is approved.

    Called when no other step of the run is under way: the process of a deployed run ends with the question, and the run
    begins again with the answer.

    :raises GateBlocked: when the answer is no, or does not come in time
    """
    approvals = {
        pending.release.name: await _approval(pending, config) for pending in releases if pending.images is None
    }
    async with run_branches() as start:
        approved = {
            pending.release.name: start(
                _promote(pending.release, pending.report, approvals[pending.release.name], config, infrastructure)
            )
            for pending in releases
            if pending.images is None
        }
    return [approved[done.release.name].result() if done.release.name in approved else done for done in releases]


async def _quarantine(image: Image, infrastructure: Branch[Infrastructure]) -> ImportedImage:
    resolved = await resolve_image(image)
    return await quarantine_image(image, resolved, await infrastructure)


async def _approval(pending: Released, config: Bootstrap) -> Approval:
    with emit_on_block(pending.release.name):
        question, cluster = Question.about(pending.report), config.cluster.resource_group
        return await ask(question, hours=config.gate.answer_hours, cluster=cluster)


async def _promote(
    release: Release, report: GateReport, approval: Approval | None, config: Bootstrap, infrastructure: Infrastructure
) -> Released:
    """Promote a release that the gate lets pass, and record every promotion, also when another one fails."""
    clearances = await give_verdict(report, approval)
    bar = await Progress.begin(f"promotions-{release.name}", f"Promotions of release {release.name}", len(clearances))
    promotions: list[Branch[ImportedImage]] = []
    try:
        async with run_branches() as start:
            promotions += [
                start(bar.of(promote_image(verdict.image, clearance, infrastructure)))
                for verdict, clearance in zip(report.verdicts, clearances, strict=True)
            ]
    except Exception:
        with suppress(PratiqueError):  # it has a task run of its own; the failed promotion is what the run reports
            await record_promotions(config.manifests, release.name, succeeded(promotions))
        raise
    images = results(promotions)
    await record_promotions(config.manifests, release.name, images)
    return Released(release, report.answered(approval) if approval else report, images)
