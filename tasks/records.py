"""Records promotions on the records branch of the GitOps repository."""

from __future__ import annotations

from prefect import get_run_logger

from pratique.git.publish import Publication
from pratique.images import ImportedImage
from pratique.records.promotions import PromotionRecord
from tasks.policies import UNCACHED
from tasks.runtime import current, run_id
from tasks.step import NOTHING_TO_DO, step


@step(
    name="record promotions",
    run_name="record promotions of {release}",
    outcome=lambda publication: NOTHING_TO_DO if publication is None or publication.unchanged else None,
    unlinked=("release", "promoted"),
    **UNCACHED,
)
async def record_promotions(release: str, promoted: list[ImportedImage]) -> Publication | None:
    """Record the images that this run promoted, or found in live/ and let pass, and what it saw in replicas."""
    if not promoted:
        return None
    runtime, run = current(), run_id()
    at = runtime.clock.now()
    records = [PromotionRecord.of(image, policy=runtime.policy, run=run, at=at) for image in promoted]
    branch = await runtime.records()
    published = await branch.record(records, run=run)
    for commit in published.commits:
        get_run_logger().info("Recorded on %s as %s", branch.repository.branch, commit.sha[:12])
    return published
