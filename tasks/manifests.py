"""The last step: the GitOps repository learns of the released images and of the vault."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit
from pratique.config import Manifests
from pratique.git.publish import Edit, Publication
from pratique.manifests.update import ImagesEdit
from pratique.release import delivery
from pratique.release.manifest_edits import edits, images_edit
from pratique.release.promotion import ImportedImage
from pratique.release.summary import Published
from tasks.events import tell
from tasks.policies import ALWAYS
from tasks.runtime import current, run_id
from tasks.secrets import read_text_secret
from tasks.states import NOTHING_TO_DO, ended, opened


async def publish_manifests(
    target: Manifests,
    infrastructure: Infrastructure,
    promoted: list[ImportedImage],
    *,
    certificate: str | None = None,
    partial: bool = False,
    stamp: StampEdit | None = None,
) -> Published:
    """Commit the released digests and the vault's values, and push the commits together.

    :param certificate: its name in the vault; without it the vault's values stay as they are
    :param partial: whether the catalogue has more images than were promoted now
    :param stamp: the next step's parameters, to be committed as well
    """
    return await opened(_publish(target, infrastructure, promoted, certificate, partial, stamp))


@task(name="publish manifests", task_run_name="publish manifests to {target.branch}", **ALWAYS)
async def _publish(
    target: Manifests,
    infrastructure: Infrastructure,
    promoted: list[ImportedImage],
    certificate: str | None,
    partial: bool,
    stamp: StampEdit | None,
) -> Published:
    """Commit the released digests and the vault's values."""
    images = images_edit(target, infrastructure, promoted, partial=partial)
    wanted = edits(target, infrastructure, images, certificate, stamp)
    return await ended(
        _published(target, wanted, images), lambda done: NOTHING_TO_DO if done.publication.unchanged else None
    )


async def _published(target: Manifests, wanted: list[tuple[str, Edit]], images: ImagesEdit) -> Published:
    runtime = current()
    published = await delivery.deliver(
        target,
        await runtime.repository(),
        wanted,
        cluster=runtime.cluster,
        run=run_id(),
        policy=runtime.policy,
        token=await read_text_secret(target.token),
        http=runtime.http,
    )
    _tell(published)
    for warning in images.usage.warnings():
        get_run_logger().warning("%s", warning)
    return Published(published, images.usage)


def _tell(published: Publication) -> None:
    logger = get_run_logger()
    for commit in published.commits:
        logger.info("Pushed %s to %s: %s", commit.sha[:12], published.branch, commit.message)
    if published.commits:
        commits = [commit.sha for commit in published.commits]
        request = {"pullRequest": published.url} if published.url else {}
        tell("manifests.published", remote=published.remote, branch=published.branch, commits=commits, **request)
    elif published.waits:
        logger.info("All of this waits on %s already: nothing to commit", published.branch)
    else:
        logger.info("The manifests say all of this already: nothing to commit")
    if published.url:
        logger.info("Merge %s to bring it to the cluster", published.url)
