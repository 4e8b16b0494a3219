"""The infrastructure that a cluster needs, found by its deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pratique.azure.deployments import find_deployment, read_outputs
from pratique.azure.registries import Registry, get_registry
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.config import Cluster, Network
from pratique.errors import NotFound, UnreadableAnswer


@dataclass(frozen=True, kw_only=True)
class Infrastructure:
    """The resources that the later steps use.

    :ivar outcome: ``deployed``, ``unchanged`` (the same deployment had succeeded before) or ``joined`` (it was already
        running)
    :ivar seconds: duration of the deployment
    """

    quarantine: Registry
    registry: Registry
    vault: Vault
    ingress_client_id: str
    tenant_id: str
    outcome: str
    seconds: float


async def read_network(session: AzureSession, network: Network) -> str:
    """Read the spoke network's resource id from the outputs of the network team's deployment.

    :raises NotFound: when there is no such deployment
    :raises UnreadableAnswer: when the output is missing or is not a network's id
    """
    outputs = await read_outputs(session, network.resource_group, network.deployment)
    value = outputs.get(network.output)
    if not isinstance(value, str) or "/virtualNetworks/" not in value:
        raise UnreadableAnswer(
            "read the spoke network's id",
            f"{network.resource_group}/{network.deployment}",
            f"Its output {network.output!r} is {value!r}. Its outputs: {', '.join(sorted(outputs)) or 'none'}.",
            "Set network.output to the output that holds the network's resource id.",
        )
    return value


async def find_infrastructure(session: AzureSession, cluster: Cluster) -> Infrastructure:
    """Find the infrastructure of an earlier deployment.

    :raises NotFound: when nothing is deployed yet
    """
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    if before is None or not before.outputs:
        raise _not_deployed("find the infrastructure", cluster, "There is no completed deployment of that name.")
    return await read_infrastructure(session, cluster, dict(before.outputs), "unchanged", before.seconds)


async def read_infrastructure(
    session: AzureSession, cluster: Cluster, outputs: dict[str, Any], outcome: str, seconds: float
) -> Infrastructure:
    """Read the infrastructure that a deployment's outputs name.

    :param outcome: as in :class:`Infrastructure`
    :raises UnreadableAnswer: when an output is missing
    """
    quarantine, registry, vault = (
        _output(outputs, name, cluster)
        for name in ("quarantineContainerRegistryName", "containerRegistryName", "keyVaultName")
    )
    return Infrastructure(
        quarantine=await get_registry(session, quarantine),
        registry=await get_registry(session, registry),
        vault=_vault(session, cluster, vault),
        ingress_client_id=_output(outputs, "ingressClientid", cluster),
        tenant_id=(await session.caller()).tenant_id,
        outcome=outcome,
        seconds=seconds,
    )


async def find_vault(session: AzureSession, cluster: Cluster) -> Vault | None:
    """Find the vault of an earlier deployment; ``None`` when nothing is deployed yet."""
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    name = before.outputs.get("keyVaultName") if before else None
    return _vault(session, cluster, name) if name else None


async def get_vault(session: AzureSession, cluster: Cluster) -> Vault:
    """Find the vault of an earlier deployment.

    :raises NotFound: when nothing is deployed yet
    """
    vault = await find_vault(session, cluster)
    if vault is None:
        observed = "There is no completed deployment of that name with the output keyVaultName."
        raise _not_deployed("find the vault", cluster, observed)
    return vault


async def find_registry(session: AzureSession, cluster: Cluster) -> Registry | None:
    """Find the registry of an earlier deployment; ``None`` when nothing is deployed yet."""
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    name = before.outputs.get("containerRegistryName") if before else None
    return await get_registry(session, name) if name else None


async def find_registries(session: AzureSession, cluster: Cluster) -> list[Registry]:
    """Find the registries of an earlier deployment: for the quarantine and for ``live/``, or the one that is both."""
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    outputs = before.outputs if before else {}
    names = [outputs.get(name) for name in ("quarantineContainerRegistryName", "containerRegistryName")]
    return [await get_registry(session, str(name)) for name in dict.fromkeys(names) if name]


def _not_deployed(attempted: str, cluster: Cluster, observed: str) -> NotFound:
    subject = f"{cluster.resource_group}/{cluster.deployment}"
    return NotFound(attempted, subject, observed, "Run 'pratique prepare', or the flow prepare_cluster, first.")


def _vault(session: AzureSession, cluster: Cluster, name: str) -> Vault:
    group = f"/subscriptions/{session.subscription_id}/resourceGroups/{cluster.resource_group}"
    return Vault(name, f"{group}/providers/Microsoft.KeyVault/vaults/{name}")


def _output(outputs: dict[str, Any], name: str, cluster: Cluster) -> str:
    value = outputs.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableAnswer(
            "read the deployment's outputs",
            f"{cluster.resource_group}/{cluster.deployment}",
            f"Output {name!r} is missing.",
            f"The template must have the output {name}; see infra/pre-cluster-stamp.json.",
        )
    return value
