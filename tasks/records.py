"""Records promotions on the records branch of the GitOps repository; those by break glass before they are made."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger

from pratique.cluster.infrastructure import Infrastructure
from pratique.gate.exceptions.break_glass import BreakGlassUse
from pratique.git.publish import Publication
from pratique.images import ImportedImage, ResolvedImage
from pratique.records.promotions import PromotionRecord
from tasks.events import emit
from tasks.policies import UNCACHED
from tasks.runtime import current, run_id
from tasks.step import NOTHING_TO_DO, step


@step(
    name="record break glass",
    run_name="record break glass of {release}",
    unlinked=("release", "images", "uses", "infrastructure"),
    **UNCACHED,
)
async def record_break_glass(
    release: str, images: list[ResolvedImage], uses: tuple[BreakGlassUse, ...], infrastructure: Infrastructure
) -> None:
    """Record the images that two people let in unassessed, before they are promoted, and emit an event for each.

    What is in live/ by break glass is on record whatever happens to the run.
    """
    runtime, run = current(), run_id()
    at, server = runtime.clock.now(), infrastructure.registry.login_server
    records = []
    for image in images:
        if use := _use_of(image, uses):
            place = image.location.released(server).at(image.digest)
            promised = ImportedImage(image=image, reference=place, outcome="imported", verified=False)
            records.append(PromotionRecord.of(promised, policy=runtime.policy, run=run, at=at, break_glass=use))
    await (await runtime.records()).record(records, run=run, subject="Record break glass")
    for record in records:
        (use,) = record.break_glass
        get_run_logger().warning("%s comes into live/ unassessed: %s", record.reference, use.description)
        payload = {name: str(value) for name, value in use.entry().items() if name not in ("verdict", "verdictAt")}
        emit("gate.break-glass-used", f"release.{release}", release=release, digest=record.digest, **payload)


@step(
    name="record promotions",
    run_name="record promotions of {release}",
    outcome=lambda publication: NOTHING_TO_DO if publication is None or publication.unchanged else None,
    unlinked=("release", "promoted", "uses"),
    **UNCACHED,
)
async def record_promotions(
    release: str, promoted: list[ImportedImage], uses: tuple[BreakGlassUse, ...] = ()
) -> Publication | None:
    """Record the images that this run promoted, or found in live/ and let pass, and what it saw in replicas.

    The uses of break glass are those on which verdicts of the release rest.
    """
    if not promoted:
        return None
    runtime, run = current(), run_id()
    at = runtime.clock.now()
    records = [
        PromotionRecord.of(image, policy=runtime.policy, run=run, at=at, break_glass=_use_of(image.image, uses))
        for image in promoted
    ]
    branch = await runtime.records()
    published = await branch.record(records, run=run)
    for commit in published.commits:
        get_run_logger().info("Recorded on %s as %s", branch.repository.branch, commit.sha[:12])
    return published


def _use_of(image: ResolvedImage, uses: Sequence[BreakGlassUse]) -> BreakGlassUse | None:
    return next((use for use in uses if use.glass.covers(image)), None)
