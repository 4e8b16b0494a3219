"""Brings a changed catalogue into a cluster that was prepared before: new versions, new images."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from flows.branches import results, run_branches
from flows.release import approve_pending, release
from pratique.config import Bootstrap
from pratique.release.summary import Delivery
from tasks.cluster_lock import cluster_lock
from tasks.infrastructure import find_infrastructure
from tasks.manifests import publish_manifests
from tasks.runtime import azure_runtime
from tasks.step import NOTHING_TO_DO, named_states
from tasks.summary import show_summary


@flow(name="release_images", flow_run_name="release to {config.cluster.resource_group}")
@named_states(lambda delivery: None if delivery.changed else NOTHING_TO_DO)
async def release_images(config: Bootstrap, only: Sequence[str] = ()) -> Delivery:
    """Quarantine, gate and promote the catalogue's images, and publish the manifests that use them.

    Deploys nothing, needs no certificate and opens no access: prepare_cluster has done all of that.

    Args:
        config: The same configuration that prepare_cluster runs with.
        only: Sources of images as the catalogue writes them; empty for all. Images of one release pass together or
            not at all, so each image runs its whole release; most of the others are found done.
    """
    chosen = config.catalogue.releases_with(only)
    async with azure_runtime(config), cluster_lock():
        async with run_branches() as start:
            found = start(find_infrastructure(config.cluster))
            releases = [start(release(each, config, found)) for each in chosen]
        infrastructure = found.result()
        released = await approve_pending(results(releases), config, infrastructure)
        published = await publish_manifests(
            config.manifests,
            infrastructure,
            [image for each in released for image in each.images or ()],
            partial=len(chosen) < len(config.catalogue.releases),
        )
        delivery = Delivery.of(infrastructure, [(each.report, each.images or []) for each in released], published)
        return await show_summary(delivery, infrastructure, published.publication)
