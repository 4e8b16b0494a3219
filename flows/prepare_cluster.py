"""The whole preparation: from "the spoke network exists" to "the cluster can be bootstrapped"."""

from __future__ import annotations

import asyncio

from prefect import flow

from flows.hooks import end_leases_of_run
from flows.releasing import Deployed, advance, after_asking, recording
from flows.settling import settled
from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit, cluster_stamp
from pratique.config import Bootstrap
from pratique.preflight.plan import Plan
from pratique.release.summary import Delivery, Preparation
from tasks.certificate import Imported, bring_certificate, check_certificate
from tasks.infrastructure import deploy_infrastructure, read_spoke_network
from tasks.manifests import publish_manifests
from tasks.plan import plan_preparation
from tasks.report import show_cluster_stamp, show_summary
from tasks.runtime import azure_runtime
from tasks.states import NOTHING_TO_DO, PLANNED, ended
from tasks.turns import turn


@flow(
    name="prepare_cluster",
    flow_run_name="prepare {config.cluster.resource_group}",
    on_failure=[end_leases_of_run],
    on_cancellation=[end_leases_of_run],
    on_crashed=[end_leases_of_run],
)
async def prepare_cluster(config: Bootstrap, plan_only: bool = False) -> Preparation | Plan:
    """Deploy the infrastructure, release the images, import the certificate, publish the manifests.

    Args:
        config: Everything that the cluster needs; see examples/bootstrap.yaml.
        plan_only: Only look what would be done, change nothing, and leave it as the artifact "plan".
    """
    if plan_only:
        return await ended(_plan(config), lambda _: PLANNED)
    return await ended(_prepare(config), lambda done: None if done.changed else NOTHING_TO_DO)


async def _plan(config: Bootstrap) -> Plan:
    async with azure_runtime(config):
        public_certificate, network_id = await settled(
            check_certificate(config.certificate), read_spoke_network(config.network)
        )
        return await plan_preparation(config, public_certificate, network_id)


async def _prepare(config: Bootstrap) -> Preparation:
    async with azure_runtime(config), turn():
        checked = asyncio.ensure_future(check_certificate(config.certificate))
        network = asyncio.ensure_future(read_spoke_network(config.network))
        deployed = asyncio.ensure_future(_infrastructure(config, checked, network))
        try:
            return await _all_of_it(config, checked, network, deployed)
        finally:
            deployed.cancel()


async def _all_of_it(
    config: Bootstrap, checked: asyncio.Future[str], network: asyncio.Future[str], deployed: Deployed
) -> Preparation:
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
    stamp = cluster_stamp(config, infrastructure, network.result())
    published = await publish_manifests(
        config.manifests,
        infrastructure,
        promoted,
        certificate=config.certificate.name,
        stamp=StampEdit.wanted(config, stamp),
    )
    await show_cluster_stamp(stamp, published.usage)
    told = [(release.report, release.images) for release in releases]
    delivered = Delivery.of(infrastructure, told, published)
    stored = (config.certificate.name, certificate.thumbprint, certificate.expires_on)
    changed = new or infrastructure.outcome != "unchanged"
    prepared = Preparation.after(delivered, infrastructure, stored, stamp, changed=changed)
    return await show_summary(prepared, infrastructure, published.publication)


async def _infrastructure(
    config: Bootstrap, checked: asyncio.Future[str], network: asyncio.Future[str]
) -> Infrastructure:
    public_certificate, network_id = await settled(checked, network)
    return await deploy_infrastructure(config.cluster, config.network, network_id, public_certificate)


async def _certificate(config: Bootstrap, checked: asyncio.Future[str], deployed: Deployed) -> Imported:
    vault = (await deployed).vault
    return await bring_certificate(vault, config.certificate, config.access, await checked)
