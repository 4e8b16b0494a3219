"""Publishes the released images and the vault's values to the GitOps repository."""

from __future__ import annotations

from dataclasses import dataclass, field

from prefect import get_run_logger

from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit
from pratique.config import Manifests
from pratique.config.catalogue import Catalogue
from pratique.gate.wait import GateReport
from pratique.git.publish import Publication
from pratique.images import ImageReference, ImportedImage
from pratique.release import delivery
from pratique.release.live import disappearing, require_known_digests, require_live
from pratique.release.manifest_edits import edits, images_edit
from pratique.release.summary import PublishedManifests
from pratique.replicas import Replication
from tasks.events import emit
from tasks.gate import renew_verdicts
from tasks.policies import UNCACHED
from tasks.replication import replicate
from tasks.runtime import current, run_id
from tasks.secrets import read_text_secret
from tasks.step import NOTHING_TO_DO, step

_LOOKS = 3  # at verdicts, live/ and its replicas, as long as something has to be waited for
_NOT_PUSHED = "No manifests were pushed. What had been promoted before is in live/."


@step(
    name="publish manifests",
    run_name="publish manifests to {target.branch}",
    outcome=lambda done: NOTHING_TO_DO if done.publication.unchanged else None,
    **UNCACHED,
)
async def publish_manifests(
    target: Manifests,
    catalogue: Catalogue,
    infrastructure: Infrastructure,
    promoted: list[ImportedImage],
    replicas: Replication,
    *,
    certificate: str | None = None,
    stamp: StampEdit | None = None,
) -> PublishedManifests:
    """Commit the released digests and the vault's values, and push the commits together.

    Right before the push, every image still has a passing verdict, and is in live/ and in the replicas from which
    clusters pull, with everything below its digest.

    :param catalogue: all images; those that are not promoted stay as they are in the manifests
    :param certificate: its name in the vault; without it the vault's values stay unchanged
    :param stamp: commits the next step's parameters as well
    """
    runtime = current()
    images = images_edit(target, catalogue, infrastructure, promoted)
    last_look = _LastLook(target, infrastructure, promoted, replicas)
    publication = await delivery.deliver(
        target,
        await runtime.repository(),
        edits(target, infrastructure, images, certificate, stamp),
        cluster=runtime.cluster,
        run=run_id(),
        policy=runtime.policy,
        configuration=runtime.origin.commit if runtime.origin else None,
        token=await read_text_secret(target.token),
        http=runtime.http,
        before_push=last_look,
    )
    _report(publication)
    for warning in images.usage.warnings():
        get_run_logger().warning("%s", warning)
    return PublishedManifests(publication, images.usage, tuple(last_look.reports), last_look.unseen)


@dataclass
class _LastLook:
    """The check right before a push: every image still passes the gate, and is in live/ and its replicas.

    :ivar reports: the gate's reports, as of the push
    :ivar images: as they were in live/
    """

    target: Manifests
    infrastructure: Infrastructure
    promoted: list[ImportedImage]
    replicas: Replication
    reports: list[GateReport] = field(default_factory=list)
    images: list[ImportedImage] = field(default_factory=list)

    async def __call__(self) -> None:
        runtime, at, self.images = current(), self.infrastructure, self.promoted
        for _ in range(_LOOKS):
            self.reports = await renew_verdicts({image.image.digest for image in self.promoted}, _NOT_PUSHED)
            # What this restores has to reach the replicas again.
            self.images = await require_live(runtime.session, runtime.oci, self.images, at.quarantine, at.registry)
            waits: list[str] = []
            self.images = await replicate(self.images, self.replicas, waits.append)
            if not waits:
                break
        else:  # each of the looks was followed by a wait, and is too old by now
            raise disappearing(self.images)
        require_known_digests(self.target.pin, self.images)

    @property
    def unseen(self) -> tuple[ImageReference, ...]:
        """The images that this worker could not see in live/."""
        return tuple(image.reference for image in self.images if not image.verified)


def _report(publication: Publication) -> None:
    log = get_run_logger()
    for commit in publication.commits:
        log.info("Pushed %s to %s: %s", commit.sha[:12], publication.branch, commit.message)
    if publication.commits:
        commits = [commit.sha for commit in publication.commits]
        request = {"pullRequest": publication.url} if publication.url else {}
        emit("manifests.published", remote=publication.remote, branch=publication.branch, commits=commits, **request)
    elif publication.awaits_merge:
        log.info(
            "Manifests are already up to date on %s, which is not merged yet: nothing to commit", publication.branch
        )
    else:
        log.info("Manifests are already up to date: nothing to commit")
    if publication.url:
        log.info("Merge %s to apply the commits to the cluster", publication.url)
