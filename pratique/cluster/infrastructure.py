"""The infrastructure that a cluster needs: deployed once, then found by its deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pratique.azure.deployments import ensure_deployment, find_deployment, is_deployed, read_outputs
from pratique.azure.firewall import read_firewall
from pratique.azure.registries import Registry, get_registry
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.templates import load_template
from pratique.azure.vault import Vault
from pratique.azure.what_if import ResourceChange, what_if
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


async def deploy(
    session: AzureSession,
    cluster: Cluster,
    network: Network,
    network_id: str,
    public_certificate: str,
    *,
    registries: Registries,
) -> Infrastructure:
    """Deploy the template, unless the same deployment has succeeded, or join the deployment if it is already running.

    :param public_certificate: base64 of the ingress certificate's PEM, without its key
    """
    template, parameters, volatile = await _request(session, cluster, network, network_id, public_certificate)
    deployed = await ensure_deployment(
        session,
        cluster.resource_group,
        cluster.deployment,
        template,
        parameters,
        volatile=volatile,
        force=cluster.redeploy,
    )
    return await _infrastructure(session, cluster, registries, deployed.outputs, deployed.outcome, deployed.seconds)


async def forecast(
    session: AzureSession, cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> tuple[ResourceChange, ...] | None:
    """Predict what :func:`deploy` would change; ``None`` when it would have nothing to deploy.

    :param public_certificate: as in :func:`deploy`
    """
    template, parameters, volatile = await _request(session, cluster, network, network_id, public_certificate)
    group, name = cluster.resource_group, cluster.deployment
    if not cluster.redeploy and await is_deployed(session, group, name, template, parameters, volatile=volatile):
        return None
    return await what_if(session, group, name, template, parameters)


async def _request(
    session: AzureSession, cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
    """The template, its parameters, and the names of parameters whose change alone does not cause a deployment."""
    kept = await _kept_vault_settings(session, cluster)
    parameters = {**cluster.parameters, network.parameter: network_id, **kept}
    if cluster.certificate_parameter:
        parameters[cluster.certificate_parameter] = public_certificate
    return await load_template(cluster.template), parameters, frozenset(kept)


async def find_infrastructure(session: AzureSession, cluster: Cluster, registries: Registries) -> Infrastructure:
    """Find the infrastructure of an earlier deployment.

    :raises NotFound: when nothing is deployed yet
    """
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    if before is None or not before.outputs:
        raise _not_deployed("find the infrastructure", cluster, "There is no completed deployment of that name.")
    return await _infrastructure(session, cluster, registries, dict(before.outputs), "unchanged", before.seconds)


async def _infrastructure(
    session: AzureSession,
    cluster: Cluster,
    registries: Registries,
    outputs: dict[str, Any],
    outcome: str,
    seconds: float,
) -> Infrastructure:
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


async def _kept_vault_settings(session: AzureSession, cluster: Cluster) -> dict[str, Any]:
    """The vault's current rules and tags as parameters: without them, the template's PUT would erase them."""
    rules: list[dict[str, str]] = []
    tags: dict[str, str] = {}
    vault = await find_vault(session, cluster)
    if vault is not None:
        try:
            firewall = await read_firewall(session, vault.id)
            rules, tags = [{"value": rule} for rule in firewall.ip_rules], dict(firewall.tags)
        except NotFound:
            pass  # deleted since then: there is nothing to keep
    kept: dict[str, Any] = {}
    if cluster.ip_rules_parameter:
        kept[cluster.ip_rules_parameter] = rules
    if cluster.tags_parameter:
        kept[cluster.tags_parameter] = tags
    return kept


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


async def find_registry(session: AzureSession, cluster: Cluster, registries: Registries) -> Registry | None:
    """Find the registry with ``live/``; ``None`` when it is the template's, and nothing is deployed yet."""
    if registries.live is not None:
        return await get_registry(session, registries.live)
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    name = before.outputs.get("containerRegistryName") if before else None
    return await get_registry(session, name) if name else None


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
