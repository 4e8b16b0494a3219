"""Brings a changed catalogue into a cluster that was prepared before: new versions, new images."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefect import flow

from flows.releasing import advance, after_asking, recording
from flows.settling import settled
from pratique.config import Bootstrap
from pratique.release.summary import Delivery
from tasks.infrastructure import find_infrastructure
from tasks.manifests import publish_manifests
from tasks.report import show_summary
from tasks.runtime import azure_runtime
from tasks.states import NOTHING_TO_DO, ended
from tasks.turns import turn


@flow(name="release_images", flow_run_name="release to {config.cluster.resource_group}")
async def release_images(config: Bootstrap, only: Sequence[str] = ()) -> Delivery:
    """Quarantine, judge and promote the catalogue's images, and publish the manifests that use them.

    Deploys nothing, needs no certificate and opens no access: prepare_cluster has done all of that.

    Args:
        config: The same configuration that prepare_cluster runs with.
        only: Sources of images as the catalogue writes them; empty for all. Images of one release pass together or
            not at all, so each comes with its release, the rest of which is mostly found done.
    """
    return await ended(_release(config, only), lambda done: None if done.changed else NOTHING_TO_DO)


async def _release(config: Bootstrap, only: Sequence[str]) -> Delivery:
    chosen = config.catalogue.releases_with(only)
    async with azure_runtime(config), turn():
        deployed = asyncio.ensure_future(find_infrastructure(config.cluster))
        try:
            async with recording(config.manifests):
                begun = await settled(*[advance(one, config.gate, deployed) for one in chosen])
                releases = await after_asking(begun, config.gate, deployed)
        finally:
            deployed.cancel()
        infrastructure = deployed.result()
        promoted = [moved for release in releases for moved in release.images]
        partial = len(chosen) < len(config.catalogue.releases)
        published = await publish_manifests(config.manifests, infrastructure, promoted, partial=partial)
        told = [(release.report, release.images) for release in releases]
        return await show_summary(Delivery.of(infrastructure, told, published), infrastructure, published.publication)
