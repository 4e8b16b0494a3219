"""The whole preparation: from "the spoke network exists" to "the cluster can be bootstrapped"."""

from __future__ import annotations

import asyncio

from prefect import flow

from flows.hooks import end_leases_of_run
from flows.settling import settled
from pratique.azure.vault import StoredCertificate
from pratique.config import Bootstrap, Image, Release
from pratique.gate import GateReport
from pratique.infrastructure import Infrastructure
from pratique.promotion import Moved
from pratique.report import Preparation
from tasks.access import open_vault_access, revoke_vault_access
from tasks.certificate import check_certificate, import_certificate
from tasks.images import promote_image, quarantine_image, resolve_image, scan_gate
from tasks.infrastructure import deploy_infrastructure, read_spoke_network
from tasks.manifests import publish_manifests
from tasks.report import show_summary
from tasks.runtime import azure_runtime

Deployed = asyncio.Future[Infrastructure]


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
    async with azure_runtime(config):
        deployed = asyncio.ensure_future(_infrastructure(config))
        try:
            return await _prepare(config, deployed)
        finally:
            deployed.cancel()


async def _prepare(config: Bootstrap, deployed: Deployed) -> Preparation:
    released = asyncio.ensure_future(settled(*[_release(config, one, deployed) for one in config.catalogue.releases]))
    imported = asyncio.ensure_future(_certificate(config, deployed))
    await settled(released, imported)
    infrastructure, releases, certificate = deployed.result(), released.result(), imported.result()
    promoted = [moved for _, images in releases for moved in images]
    published = await publish_manifests(config.manifests, infrastructure, promoted, config.certificate.name)
    stored = (config.certificate.name, certificate.thumbprint, certificate.expires_on)
    return await show_summary(Preparation.of(infrastructure, releases, stored, published))


async def _infrastructure(config: Bootstrap) -> Infrastructure:
    public_certificate, network_id = await settled(
        check_certificate(config.certificate), read_spoke_network(config.network)
    )
    return await deploy_infrastructure(config.cluster, config.network, network_id, public_certificate)


async def _release(config: Bootstrap, release: Release, deployed: Deployed) -> tuple[GateReport, list[Moved]]:
    """Images of one release pass together or not at all; releases do not wait for one another."""
    quarantined = await settled(*[_quarantine(image, deployed) for image in release.images])
    infrastructure = await deployed
    report = await scan_gate(release, quarantined, infrastructure, config.gate)
    promoted = await settled(
        *[
            promote_image(image, moved, infrastructure, report)
            for image, moved in zip(release.images, quarantined, strict=True)
        ]
    )
    return report, promoted


async def _quarantine(image: Image, deployed: Deployed) -> Moved:
    resolved = await resolve_image(image)
    return await quarantine_image(image, resolved, await deployed)


async def _certificate(config: Bootstrap, deployed: Deployed) -> StoredCertificate:
    """The import, inside access that ends in every case."""
    vault = (await deployed).vault
    try:
        await open_vault_access(vault, config.certificate)
        return await import_certificate(vault, config.certificate)
    finally:
        await revoke_vault_access(vault)
