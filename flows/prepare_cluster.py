"""The whole preparation: from "the spoke network exists" to "the cluster can be bootstrapped"."""

from __future__ import annotations

import asyncio

from prefect import flow

from flows.hooks import end_leases_of_run
from flows.releasing import Deployed, advance, after_asking, recording
from flows.settling import settled
from pratique.config import Bootstrap
from pratique.infrastructure import Infrastructure
from pratique.report import Delivery, Preparation
from tasks.certificate import Imported, bring_certificate, check_certificate
from tasks.infrastructure import deploy_infrastructure, read_spoke_network
from tasks.manifests import publish_manifests
from tasks.report import show_summary
from tasks.runtime import azure_runtime
from tasks.states import NOTHING_TO_DO, ended
from tasks.turns import turn


@flow(
    name="prepare_cluster",
    flow_run_name="prepare {config.cluster.resource_group}",
    on_failure=[end_leases_of_run],
    on_cancellation=[end_leases_of_run],
    on_crashed=[end_leases_of_run],
)
async def prepare_cluster(config: Bootstrap) -> Preparation:
    """Deploy the infrastructure, release the images, import the certificate, publish the manifests.

    Args:
        config: Everything that the cluster needs; see examples/bootstrap.yaml.
    """
    return await ended(_prepare(config), lambda done: None if done.changed else NOTHING_TO_DO)


async def _prepare(config: Bootstrap) -> Preparation:
    async with azure_runtime(config), turn():
        checked = asyncio.ensure_future(check_certificate(config.certificate))
        deployed = asyncio.ensure_future(_infrastructure(config, checked))
        try:
            return await _all_of_it(config, checked, deployed)
        finally:
            deployed.cancel()


async def _all_of_it(config: Bootstrap, checked: asyncio.Future[str], deployed: Deployed) -> Preparation:
    released = asyncio.ensure_future(
        settled(*[advance(one, config.gate, deployed) for one in config.catalogue.releases])
    )
    imported = asyncio.ensure_future(_certificate(config, checked, deployed))
    async with recording(config.manifests):
        await settled(released, imported)
        # A person may take hours: only now does nothing of this run stand open, and no release wait for the answer.
        releases = await after_asking(released.result(), config.gate, deployed)
    infrastructure, (certificate, new) = deployed.result(), imported.result()
    promoted = [moved for release in releases for moved in release.images]
    published = await publish_manifests(config.manifests, infrastructure, promoted, certificate=config.certificate.name)
    told = [(release.report, release.images) for release in releases]
    delivered = Delivery.of(infrastructure, told, published)
    stored = (config.certificate.name, certificate.thumbprint, certificate.expires_on)
    changed = new or infrastructure.outcome != "unchanged"
    prepared = Preparation.after(delivered, infrastructure, stored, changed=changed)
    return await show_summary(prepared, infrastructure, published)


async def _infrastructure(config: Bootstrap, checked: asyncio.Future[str]) -> Infrastructure:
    public_certificate, network_id = await settled(checked, read_spoke_network(config.network))
    return await deploy_infrastructure(config.cluster, config.network, network_id, public_certificate)


async def _certificate(config: Bootstrap, checked: asyncio.Future[str], deployed: Deployed) -> Imported:
    vault = (await deployed).vault
    return await bring_certificate(vault, config.certificate, config.access, await checked)
