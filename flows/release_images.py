"""Releases a changed catalogue, with new versions and new images, to a cluster that has been prepared."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow

from flows.release import approve_pending, register, run_release
from pratique.branches import results, run_branches
from pratique.config import Bootstrap, ConfigParameter, Release
from pratique.release.summary import Delivery
from tasks.cluster_lock import cluster_lock
from tasks.configuration import configuration
from tasks.infrastructure import find_infrastructure
from tasks.manifests import publish_manifests
from tasks.runtime import azure_runtime
from tasks.step import BREAK_GLASS_USED, NOTHING_TO_DO, named_states
from tasks.summary import show_summary


def _outcome(delivery: Delivery) -> str | None:
    if delivery.break_glass:
        return BREAK_GLASS_USED
    return None if delivery.changed else NOTHING_TO_DO


@flow(name="release_images", flow_run_name="release to {config.title}")
@named_states(_outcome)
async def release_images(config: ConfigParameter, only: Sequence[str] = ()) -> Delivery:
    """Quarantine, gate and promote the catalogue's images, and publish the manifests that use them.

    Deploys nothing, needs no certificate and opens no access, as prepare_cluster has done that.

    Args:
        config: The configuration of prepare_cluster, or its place in Git.
        only: Sources of the images to release, exactly as in the catalogue. Leave empty for all images. As images of
            one release pass together or not at all, the run includes all images of their releases.
    """
    async with configuration(config) as read:
        return await _release(read, read.catalogue.releases_with(only))


async def _release(config: Bootstrap, chosen: Sequence[Release]) -> Delivery:
    async with azure_runtime(config), cluster_lock():
        async with run_branches() as start:
            found = start(find_infrastructure(config.cluster, config.registries))
            replicas = start(register(config, found))
            releases = [start(run_release(release, config, found, replicas)) for release in chosen]
        infrastructure = found.result()
        released = await approve_pending(results(releases), config, infrastructure, replicas.result())
        published = await publish_manifests(
            config.manifests,
            config.catalogue,
            infrastructure,
            [image for release in released for image in release.images or ()],
            replicas.result(),
        )
        gates = [(release.report, release.images or []) for release in released]
        uses = [use for release in released for use in release.break_glass]
        delivery = Delivery.of(infrastructure, gates, published, uses)
        return await show_summary(delivery, infrastructure, published.publication)
