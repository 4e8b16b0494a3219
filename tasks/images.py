"""The way of an image: resolved upstream, quarantined, judged, promoted."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Image
from pratique.gate.wait import GateReport
from pratique.images import ResolvedImage
from pratique.release import promotion
from pratique.release.promotion import ImportedImage, UnresolvedReference
from tasks.events import tell_moved
from tasks.policies import REMEMBERED, remembered_without
from tasks.runtime import current
from tasks.states import NOTHING_TO_DO, ended, opened


@task(name="resolve image", task_run_name="resolve {image.reference.short}", **REMEMBERED)
async def resolve_image(image: Image) -> ResolvedImage | UnresolvedReference:
    """The digest that upstream names now: the one digest of this run."""
    resolved = await promotion.resolve(current().oci, image.reference)
    if isinstance(resolved, UnresolvedReference):
        get_run_logger().warning(
            "No way to %s from here (%s): importing by tag", image.reference.registry, resolved.reason
        )
    else:
        get_run_logger().info("%s is %s", image.reference, resolved.digest)
    return resolved


async def quarantine_image(
    image: Image, resolved: ResolvedImage | UnresolvedReference, infrastructure: Infrastructure
) -> ImportedImage:
    """Import the digest into quarantine/, unless it is there."""
    return await opened(_quarantine(image, resolved, infrastructure))


@task(name="quarantine image", task_run_name="quarantine {image.reference.short}", **REMEMBERED)
async def _quarantine(
    image: Image, resolved: ResolvedImage | UnresolvedReference, infrastructure: Infrastructure
) -> ImportedImage:
    """Import the digest into quarantine/."""
    return await ended(_quarantined(resolved, infrastructure), _name)


async def promote_image(
    image: Image, quarantined: ImportedImage, infrastructure: Infrastructure, verdicts: GateReport
) -> ImportedImage:
    """Import the judged digest into live/, unless it is there."""
    return await opened(_promote(image, quarantined, infrastructure, verdicts))


# How the gate came to its verdict has no part in whether the image was promoted already.
@task(name="promote image", task_run_name="promote {image.reference.short}", **remembered_without("verdicts"))
async def _promote(
    image: Image, quarantined: ImportedImage, infrastructure: Infrastructure, verdicts: GateReport
) -> ImportedImage:
    """Import the judged digest into live/."""
    return await ended(_promoted(quarantined, infrastructure, verdicts), _name)


async def _quarantined(resolved: ResolvedImage | UnresolvedReference, infrastructure: Infrastructure) -> ImportedImage:
    now = current()
    async with now.imports:
        moved = await promotion.quarantine(now.session, now.oci, infrastructure.quarantine, resolved, now.credentials)
    get_run_logger().info("%s: %s", moved.reference, moved.outcome)
    tell_moved("image.quarantined", moved)
    return moved


async def _promoted(quarantined: ImportedImage, infrastructure: Infrastructure, verdicts: GateReport) -> ImportedImage:
    now = current()
    verdicts.require(quarantined.image)
    async with now.imports:
        moved = await promotion.promote(
            now.session, now.oci, quarantined, infrastructure.quarantine, infrastructure.registry
        )
    get_run_logger().info("%s: %s", moved.reference, moved.outcome)
    tell_moved("image.promoted", moved)
    return moved


def _name(moved: ImportedImage) -> str | None:
    return NOTHING_TO_DO if moved.outcome == "already there" else None
