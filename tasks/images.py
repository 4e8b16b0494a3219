"""Resolves, quarantines and promotes an image."""

from __future__ import annotations

from prefect import get_run_logger

from pratique.azure.import_pacing import paced_import
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Image
from pratique.errors import Throttled
from pratique.gate.clearance import PromotionClearance
from pratique.images import ImportedImage, ResolvedImage, UnresolvedReference
from pratique.release import promotion
from tasks.events import emit_imported
from tasks.gate import renew_verdict
from tasks.policies import CACHED, cached_without
from tasks.runtime import current
from tasks.step import NOTHING_TO_DO, step

_NOT_PROMOTED = "This image was not promoted; what had been promoted before is in live/, and no manifests were pushed."


def _outcome(image: ImportedImage) -> str | None:
    return NOTHING_TO_DO if image.outcome == "already there" else None


@step(name="resolve image", run_name="resolve {image.location.short}", **CACHED)
async def resolve_image(image: Image) -> ResolvedImage | UnresolvedReference:
    """Resolve the current digest upstream. The whole run uses this digest."""
    runtime = current()
    resolved = await promotion.resolve(runtime.oci, image.reference, runtime.platforms, image.target or "")
    if isinstance(resolved, UnresolvedReference):
        registry = image.reference.registry
        get_run_logger().warning("This worker cannot reach %s (%s): importing by tag", registry, resolved.reason)
    else:
        get_run_logger().info("%s is %s", image.reference, resolved.digest)
    return resolved


@step(
    name="quarantine image",
    run_name="quarantine {image.location.short}",
    outcome=_outcome,
    unlinked=("infrastructure",),
    **CACHED,
)
async def quarantine_image(
    image: Image, resolved: ResolvedImage | UnresolvedReference, infrastructure: Infrastructure
) -> ImportedImage:
    """Import the digest into quarantine/, unless it is already there."""
    runtime = current()

    async def work() -> ImportedImage:
        return await promotion.quarantine(
            runtime.session, runtime.oci, infrastructure.quarantine, resolved, runtime.credentials
        )

    quarantined = await paced_import(runtime.session, infrastructure.quarantine, work, on_busy=_log_busy)
    _log(quarantined)
    emit_imported("image.quarantined", quarantined)
    return quarantined


# The cache key leaves the clearance out: that a digest is in live/ does not depend on how the gate reached its verdict.
@step(
    name="promote image",
    run_name="promote {image.location.short}",
    outcome=_outcome,
    unlinked=("image", "infrastructure"),
    **cached_without("clearance"),
)
async def promote_image(
    image: ResolvedImage, clearance: PromotionClearance, infrastructure: Infrastructure
) -> ImportedImage:
    """Import the cleared digest into live/, unless it is already there with everything below it."""
    runtime = current()

    async def work() -> ImportedImage:
        # The wait for its turn, or for another attempt, may have been long.
        await renew_verdict(clearance.release, _NOT_PROMOTED)
        return await promotion.promote(
            runtime.session, runtime.oci, image, clearance, infrastructure.quarantine, infrastructure.registry
        )

    promoted = await paced_import(runtime.session, infrastructure.registry, work, on_busy=_log_busy)
    _log(promoted)
    emit_imported("image.promoted", promoted)
    return promoted


def _log_busy(error: Throttled, seconds: float) -> None:
    get_run_logger().warning("Azure is too busy, trying again in %.0f s: %s", seconds, error.observed)


def _log(imported: ImportedImage) -> None:
    get_run_logger().info("%s: %s", imported.reference, imported.outcome)
    if imported.restored:
        get_run_logger().warning(
            "%s: below it %s had been deleted and is imported again; check purges and retention",
            imported.reference,
            ", ".join(imported.restored),
        )
    if not imported.verified:
        get_run_logger().warning("%s: this worker cannot read the registry, and did not see it", imported.reference)
