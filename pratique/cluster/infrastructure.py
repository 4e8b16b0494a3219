"""The infrastructure that a cluster needs, found by its deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pratique.azure.deployments import find_deployment, read_outputs
from pratique.azure.registries import Registry, get_registry
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.config import Cluster, Network, Registries
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


async def find_infrastructure(session: AzureSession, cluster: Cluster, registries: Registries) -> Infrastructure:
    """Find the infrastructure of an earlier deployment.

    :raises NotFound: when nothing is deployed yet
    """
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    if before is None or not before.outputs:
        raise _not_deployed("find the infrastructure", cluster, "There is no completed deployment of that name.")
    return await read_infrastructure(session, cluster, registries, dict(before.outputs), "unchanged", before.seconds)


async def read_infrastructure(
    session: AzureSession,
    cluster: Cluster,
    registries: Registries,
    outputs: dict[str, Any],
    outcome: str,
    seconds: float,
) -> Infrastructure:
    """Read the infrastructure that a deployment's outputs, or the configuration of its registries, name.

    :param outcome: as in :class:`Infrastructure`
    :raises UnreadableAnswer: when an output is missing
    """
    quarantine, registry = registries.ids
    quarantine = quarantine or _output(outputs, "quarantineContainerRegistryName", cluster)
    registry = registry or _output(outputs, "containerRegistryName", cluster)
    return Infrastructure(
        quarantine=await get_registry(session, quarantine),
        registry=await get_registry(session, registry),
        vault=_vault(session, cluster, _output(outputs, "keyVaultName", cluster)),
        ingress_client_id=_output(outputs, "ingressClientid", cluster),
        tenant_id=(await session.caller()).tenant_id,
        outcome=outcome,
        seconds=seconds,
    )


async def find_vault(session: AzureSession, cluster: Cluster) -> Vault | None:
    """Find the vault of an earlier deployment; ``None`` when nothing is deployed yet."""
    name = (await _found_outputs(session, cluster)).get("keyVaultName")
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


async def find_registry(session: AzureSession, cluster: Cluster, registries: Registries) -> Registry | None:
    """Find the registry with ``live/``; ``None`` when it is the template's, and nothing is deployed yet."""
    if registries.live is not None:
        return await get_registry(session, registries.live)
    name = (await _found_outputs(session, cluster)).get("containerRegistryName")
    return await get_registry(session, name) if name else None


async def find_registries(session: AzureSession, cluster: Cluster, registries: Registries) -> list[Registry]:
    """Find the registries for the quarantine and for ``live/``, or the one that is both; none before a deployment."""
    quarantine, live = registries.ids
    outputs = {} if quarantine and live else await _found_outputs(session, cluster)
    names = (quarantine or outputs.get("quarantineContainerRegistryName"), live or outputs.get("containerRegistryName"))
    return [await get_registry(session, str(name)) for name in dict.fromkeys(names) if name]


async def get_live_registry(session: AzureSession, cluster: Cluster, registries: Registries) -> Registry:
    """Find the registry with ``live/``.

    :raises NotFound: when it is the template's, and nothing is deployed yet
    """
    registry = await find_registry(session, cluster, registries)
    if registry is None:
        observed = "There is no completed deployment of that name with the output containerRegistryName."
        raise _not_deployed("find the registry", cluster, observed)
    return registry


@dataclass(frozen=True)
class RegistryGroups:
    """The resource groups of the registries, which are known before the template is deployed.

    :ivar quarantine: ARM id of the group of the registry with ``quarantine/``
    :ivar live: ARM id of the group of the registry with ``live/``
    """

    quarantine: str
    live: str

    @property
    def all(self) -> tuple[str, ...]:
        """Each group once, whatever the letter case of its id."""
        return tuple({group.lower(): group for group in (self.quarantine, self.live)}.values())


def registry_groups(session: AzureSession, cluster: Cluster, registries: Registries) -> RegistryGroups:
    """The resource groups of the registries: that of the cluster unless an id is configured."""
    own = session.group_id(cluster.resource_group)
    quarantine, live = (ResourceId.parse(name).group_id if name else own for name in registries.ids)
    return RegistryGroups(quarantine, live)


async def _found_outputs(session: AzureSession, cluster: Cluster) -> Mapping[str, Any]:
    """The outputs of an earlier deployment; none when nothing is deployed yet."""
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    return before.outputs if before else {}


def _not_deployed(attempted: str, cluster: Cluster, observed: str) -> NotFound:
    subject = f"{cluster.resource_group}/{cluster.deployment}"
    return NotFound(attempted, subject, observed, "Run 'pratique prepare', or the flow prepare_cluster, first.")


def _vault(session: AzureSession, cluster: Cluster, name: str) -> Vault:
    return Vault(name, f"{session.group_id(cluster.resource_group)}/providers/Microsoft.KeyVault/vaults/{name}")


def _output(outputs: dict[str, Any], name: str, cluster: Cluster) -> str:
    value = outputs.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableAnswer(
            "read the deployment's outputs",
            f"{cluster.resource_group}/{cluster.deployment}",
            f"Output {name!r} is missing.",
            f"The template must have the output {name}; see infra/pre-cluster-stamp.json. Registries of others are "
            "named in the section registries.",
        )
    return value
