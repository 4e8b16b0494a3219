"""Reads the spoke network, and deploys or finds the cluster's infrastructure."""

from __future__ import annotations

from prefect import get_run_logger

from pratique.azure.registries import Registry
from pratique.azure.vault import Vault
from pratique.cluster import infrastructure
from pratique.cluster.deploy import deploy
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Cluster, Network, Registries
from tasks.policies import CACHED, UNCACHED
from tasks.runtime import current
from tasks.step import NOTHING_TO_DO, step


@step(name="read spoke network", run_name="read spoke network {network.deployment}", **CACHED)
async def read_spoke_network(network: Network) -> str:
    """Read the resource id of the spoke network."""
    network_id = await infrastructure.read_network(current().session, network)
    get_run_logger().info("The spoke network is %s", network_id)
    return network_id


@step(
    name="deploy infrastructure",
    run_name="deploy infrastructure {cluster.deployment}",
    outcome=lambda deployed: NOTHING_TO_DO if deployed.outcome == "unchanged" else None,
    **CACHED,
)
async def deploy_infrastructure(
    cluster: Cluster, network: Network, network_id: str, public_certificate: str, registries: Registries
) -> Infrastructure:
    """Deploy the template, unless the same template and parameters were deployed before.

    A deployment that would remove firewall rules or tags that are not the template's is refused or reported, as the
    configuration says.
    """
    deployed = await deploy(
        current().session,
        cluster,
        network,
        network_id,
        public_certificate,
        registries=registries,
        warn=get_run_logger().warning,
    )
    get_run_logger().info(
        "Infrastructure %s: registry %s, vault %s",
        deployed.outcome,
        deployed.registry.login_server,
        deployed.vault.name,
    )
    return deployed


@step(name="find infrastructure", run_name="find infrastructure {cluster.deployment}", **UNCACHED)
async def find_infrastructure(cluster: Cluster, registries: Registries) -> Infrastructure:
    """Find the infrastructure of an earlier deployment, and the registries."""
    found = await infrastructure.find_infrastructure(current().session, cluster, registries)
    get_run_logger().info("Infrastructure: registry %s, vault %s", found.registry.login_server, found.vault.name)
    return found


@step(name="find registry", run_name="find the registry of {cluster.deployment}", **UNCACHED)
async def find_live_registry(cluster: Cluster, registries: Registries) -> Registry:
    """Find the registry with live/."""
    return await infrastructure.get_live_registry(current().session, cluster, registries)


@step(name="find vault", run_name="find the vault of {cluster.deployment}", **UNCACHED)
async def find_cluster_vault(cluster: Cluster) -> Vault:
    """Find the vault of an earlier deployment."""
    return await infrastructure.get_vault(current().session, cluster)
