"""Brings one release into ``live/``, and asks a person if the policy requires it. Part of several flows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flows.approval import ask
from pratique.branches import Branch, results, run_branches, succeeded
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Bootstrap, Image, Release
from pratique.errors import PratiqueError
from pratique.gate.approval import Approval
from pratique.gate.approval_request import Question
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.gate.wait import GateReport
from pratique.images import ImportedImage
from pratique.replicas import Replication
from tasks.events import emit_on_block
from tasks.gate import give_verdict, scan_gate
from tasks.images import promote_image, quarantine_image, resolve_image
from tasks.progress import Progress
from tasks.records import record_break_glass, record_promotions
from tasks.registration import register_cluster
from tasks.replication import find_replicas, wait_for_replicas
from tasks.runtime import current


@dataclass(frozen=True)
class GatedRelease:
    """A release that has reached the end of the gate.

    :ivar report: of its gate
    :ivar images: those in ``live/`` and its replicas; ``None`` while it waits for a person's approval
    :ivar break_glass: who let which of them in unassessed
    """

    release: Release
    report: GateReport
    images: list[ImportedImage] | None = None
    break_glass: tuple[BreakGlassUse, ...] = ()


async def run_release(
    release: Release, config: Bootstrap, infrastructure: Branch[Infrastructure], replicas: Branch[Replication]
) -> GatedRelease:
    """Quarantine, gate and promote a release. If the policy asks a person, stop before the promotion.

    Images of one release pass together or not at all. Releases do not wait for one another.

    :param replicas: from :func:`register`, without which nothing is gated or promoted
    :raises GateBlocked: when the gate blocks it
    :raises NotReplicated: when a replica does not serve a promoted image in time
    """
    bar = await Progress.begin(f"imports-{release.name}", f"Imports of release {release.name}", len(release.images))
    async with run_branches() as start:
        quarantined = [start(bar.track(_quarantine(image, infrastructure))) for image in release.images]
    reached = await replicas
    report = await scan_gate(release, results(quarantined), await infrastructure, config.gate)
    if report.asking and not report.blocked:
        return GatedRelease(release, report)
    return await _promote(release, report, None, await infrastructure, reached)


async def register(config: Bootstrap, infrastructure: Branch[Infrastructure]) -> Replication:
    """Register the cluster for its registry, and find the replicas that registered clusters pull from."""
    await register_cluster(config, await infrastructure)
    return await find_replicas((await infrastructure).registry, config.registries)


async def approve_pending(
    releases: Sequence[GatedRelease], config: Bootstrap, infrastructure: Infrastructure, replicas: Replication
) -> list[GatedRelease]:
    """Ask a person about each release that needs approval, and promote the approved ones.

    Call it when no other step of the run is in progress: the process of a deployed run ends with the question, and the
    run starts again with the answer.

    :raises GateBlocked: when the person rejects a release, or does not answer in time
    :raises NotReplicated: when a replica does not serve a promoted image in time
    """
    approvals = {
        pending.release.name: await _approval(pending, config) for pending in releases if pending.images is None
    }
    async with run_branches() as start:
        approved = {
            pending.release.name: start(
                _promote(pending.release, pending.report, approvals[pending.release.name], infrastructure, replicas)
            )
            for pending in releases
            if pending.images is None
        }
    return [approved[gated.release.name].result() if gated.release.name in approved else gated for gated in releases]


async def _quarantine(image: Image, infrastructure: Branch[Infrastructure]) -> ImportedImage:
    resolved = await resolve_image(image)
    return await quarantine_image(image, resolved, await infrastructure)


async def _approval(pending: GatedRelease, config: Bootstrap) -> Approval:
    with emit_on_block(pending.release.name):
        question, cluster = Question.about(pending.report), config.cluster.resource_group
        hours = question.hours(config.gate.answer_hours, current().clock.now())
        return await ask(question, hours=hours, cluster=cluster)


async def _promote(
    release: Release,
    report: GateReport,
    approval: Approval | None,
    infrastructure: Infrastructure,
    replicas: Replication,
) -> GatedRelease:
    """Promote a release that has passed the gate, and record every promotion, even if another one fails.

    A promotion is complete when the replicas have it, too. It is on record before that wait, and after it.
    """
    clearances = await give_verdict(report, approval)
    uses = tuple(use for clearance in clearances if (use := clearance.break_glass))
    if uses:
        judged = [verdict.image for verdict in report.verdicts]
        await record_break_glass(release.name, judged, uses, infrastructure)
    bar = await Progress.begin(f"promotions-{release.name}", f"Promotions of release {release.name}", len(clearances))
    promotions: list[Branch[ImportedImage]] = []
    try:
        async with run_branches() as start:
            promotions += [
                start(bar.track(promote_image(verdict.image, clearance, infrastructure)))
                for verdict, clearance in zip(report.verdicts, clearances, strict=True)
            ]
    except Exception:
        with suppress(PratiqueError):  # its task run shows the error; the run reports the failed promotion
            await record_promotions(release.name, succeeded(promotions), uses)
        raise
    images = results(promotions)
    await record_promotions(release.name, images, uses)
    if replicas.needed:
        images = await wait_for_replicas(release.name, images, replicas)
        await record_promotions(release.name, images, uses)
    return GatedRelease(release, report.with_approval(approval) if approval else report, images, uses)
