"""What is kept between runs, on the records' branch of the GitOps repository."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique.config import Manifests
from pratique.git.publish import Publication
from pratique.records.promotions import PromotionRecord
from pratique.release.promotion import ImportedImage
from tasks.policies import ALWAYS
from tasks.runtime import current, run_id
from tasks.states import NOTHING_TO_DO, ended, opened


async def record_promotions(target: Manifests, promoted: list[tuple[str, ImportedImage]]) -> Publication:
    """Put on record what stands in ``live/`` with a passing verdict of this run.

    :param promoted: each with the digest of the policy that let it pass
    """
    return await opened(_record(target, promoted))


@task(name="record promotions", task_run_name="record promotions on {target.records_branch}", **ALWAYS)
async def _record(target: Manifests, promoted: list[tuple[str, ImportedImage]]) -> Publication:
    """Put on record what stands in live/ with a passing verdict of this run."""
    return await ended(_recorded(target, promoted), lambda done: NOTHING_TO_DO if done.unchanged else None)


async def _recorded(target: Manifests, promoted: list[tuple[str, ImportedImage]]) -> Publication:
    now, run = current().clock.now(), run_id()
    records = [PromotionRecord.of(moved, policy=policy, run=run, at=now) for policy, moved in promoted]
    published = await (await current().records()).record(records, run=run)
    for commit in published.commits:
        get_run_logger().info("Recorded on %s as %s", target.records_branch, commit.sha[:12])
    return published
