"""The spoke network that exists, and the cluster's infrastructure that is deployed into it."""

from __future__ import annotations

from prefect import get_run_logger, task

from pratique.azure.vault import Vault
from pratique.cluster import infrastructure
from pratique.cluster.infrastructure import Infrastructure
from pratique.config import Cluster, Network
from tasks.policies import ALWAYS, REMEMBERED
from tasks.runtime import current
from tasks.states import NOTHING_TO_DO, ended, opened


@task(name="read spoke network", task_run_name="read spoke network {network.deployment}", **REMEMBERED)
async def read_spoke_network(network: Network) -> str:
    """The resource id of the spoke network."""
    network_id = await infrastructure.read_network(current().session, network)
    get_run_logger().info("The spoke network is %s", network_id)
    return network_id


async def deploy_infrastructure(
    cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> Infrastructure:
    """Deploy the template, or find that it stands already."""
    return await opened(_deploy(cluster, network, network_id, public_certificate))


@task(name="deploy infrastructure", task_run_name="deploy infrastructure {cluster.deployment}", **REMEMBERED)
async def _deploy(cluster: Cluster, network: Network, network_id: str, public_certificate: str) -> Infrastructure:
    """Deploy the template, or find that it stands already."""
    deployed = _deployed(cluster, network, network_id, public_certificate)
    return await ended(deployed, lambda made: NOTHING_TO_DO if made.outcome == "unchanged" else None)


async def _deployed(cluster: Cluster, network: Network, network_id: str, public_certificate: str) -> Infrastructure:
    made = await infrastructure.deploy(current().session, cluster, network, network_id, public_certificate)
    get_run_logger().info(
        "Infrastructure %s: registry %s, vault %s", made.outcome, made.registry.login_server, made.vault.name
    )
    return made


@task(name="find infrastructure", task_run_name="find infrastructure {cluster.deployment}", **ALWAYS)
async def find_infrastructure(cluster: Cluster) -> Infrastructure:
    """What an earlier deployment has left."""
    found = await infrastructure.find_infrastructure(current().session, cluster)
    get_run_logger().info("Infrastructure: registry %s, vault %s", found.registry.login_server, found.vault.name)
    return found


@task(name="find vault", task_run_name="find the vault of {cluster.deployment}", **ALWAYS)
async def find_cluster_vault(cluster: Cluster) -> Vault:
    """The vault of an earlier deployment."""
    return await infrastructure.get_vault(current().session, cluster)
