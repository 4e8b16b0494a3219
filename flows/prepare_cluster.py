"""Prepares a cluster, from an existing spoke network to the point at which it can be bootstrapped."""

from __future__ import annotations

from prefect import flow

from flows.hooks import end_leases_of_run
from flows.release import approve_pending, register, run_release
from pratique.branches import Branch, results, run_branches
from pratique.certificate.stored import CertificateImport
from pratique.cluster.infrastructure import Infrastructure
from pratique.cluster.stamp_parameters import StampEdit, stamp_parameters
from pratique.config import Bootstrap, ConfigParameter
from pratique.preflight.plan import Plan
from pratique.release.summary import Delivery, Preparation
from tasks.certificate import check_certificate, store_certificate
from tasks.cluster_lock import cluster_lock
from tasks.configuration import configuration
from tasks.infrastructure import deploy_infrastructure, read_spoke_network
from tasks.manifests import publish_manifests
from tasks.plan import plan_preparation
from tasks.runtime import azure_runtime
from tasks.step import BREAK_GLASS_USED, NOTHING_TO_DO, PLANNED, named_states
from tasks.summary import show_stamp_parameters, show_summary


def _outcome(result: Preparation | Plan) -> str | None:
    if isinstance(result, Plan):
        return PLANNED
    if result.break_glass:
        return BREAK_GLASS_USED
    return None if result.changed else NOTHING_TO_DO


@flow(
    name="prepare_cluster",
    flow_run_name="prepare {config.title}",
    on_failure=[end_leases_of_run],
    on_cancellation=[end_leases_of_run],
    on_crashed=[end_leases_of_run],
)
@named_states(_outcome)
async def prepare_cluster(config: ConfigParameter, plan_only: bool = False) -> Preparation | Plan:
    """Deploy the infrastructure, release the images, import the certificate, publish the manifests.

    Args:
        config: What to deploy, release, import and publish. See examples/bootstrap.yaml. Or its place in Git.
        plan_only: Change nothing. Show what a run would change, in the artifact "plan".
    """
    async with configuration(config) as read:
        return await _plan(read) if plan_only else await _prepare(read)


async def _prepare(config: Bootstrap) -> Preparation:
    async with azure_runtime(config), cluster_lock():
        async with run_branches() as start:
            public_certificate = start(check_certificate(config.certificate))
            network_id = start(read_spoke_network(config.network))
            deployed = start(_deploy(config, network_id, public_certificate))
            imported = start(_import_certificate(config, deployed, public_certificate))
            replicas = start(register(config, deployed))
            releases = [
                start(run_release(release, config, deployed, replicas)) for release in config.catalogue.releases
            ]
        infrastructure, certificate = deployed.result(), imported.result()
        # A person may take hours to answer, so the run asks only when no other step is in progress.
        released = await approve_pending(results(releases), config, infrastructure, replicas.result())
        stamp = stamp_parameters(config, infrastructure, network_id.result())
        published = await publish_manifests(
            config.manifests,
            config.catalogue,
            infrastructure,
            [image for release in released for image in release.images or ()],
            replicas.result(),
            certificate=config.certificate.name,
            stamp=StampEdit.from_config(config, stamp),
        )
        await show_stamp_parameters(stamp, published.usage)
        gates = [(release.report, release.images or []) for release in released]
        uses = [use for release in released for use in release.break_glass]
        delivery = Delivery.of(infrastructure, gates, published, uses)
        prepared = Preparation.after(delivery, infrastructure, config.certificate.name, certificate, stamp)
        return await show_summary(prepared, infrastructure, published.publication)


async def _plan(config: Bootstrap) -> Plan:
    async with azure_runtime(config):
        async with run_branches() as start:
            public_certificate = start(check_certificate(config.certificate))
            network_id = start(read_spoke_network(config.network))
        return await plan_preparation(config, public_certificate.result(), network_id.result())


async def _deploy(config: Bootstrap, network_id: Branch[str], public_certificate: Branch[str]) -> Infrastructure:
    return await deploy_infrastructure(
        config.cluster, config.network, await network_id, await public_certificate, config.registries
    )


async def _import_certificate(
    config: Bootstrap, infrastructure: Branch[Infrastructure], public_certificate: Branch[str]
) -> CertificateImport:
    vault = (await infrastructure).vault
    return await store_certificate(vault, config.certificate, config.access, await public_certificate)
