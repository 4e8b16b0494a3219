"""What the cluster needs around it: deployed once, found again ever after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pratique.azure.deployments import (
    ensure_deployment,
    find_deployment,
    is_deployed,
    load_template,
    read_outputs,
)
from pratique.azure.firewall import firewall
from pratique.azure.registries import Registry, get_registry
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.azure.what_if import ResourceChange, what_if
from pratique.config import Cluster, Network
from pratique.errors import NotFound, UnreadableAnswer


@dataclass(frozen=True)
class Infrastructure:
    """The resources that the later steps work on.

    :ivar outcome: ``deployed``, ``unchanged`` (the same had succeeded before) or ``joined`` (it was under way)
    :ivar seconds: that the deployment took, or had taken
    """

    quarantine: Registry
    registry: Registry
    vault: Vault
    ingress_client_id: str
    tenant_id: str
    outcome: str
    seconds: float


async def read_network(session: AzureSession, network: Network) -> str:
    """The resource id of the spoke network, from the outputs of the network team's deployment.

    :raises NotFound: when there is no such deployment or output
    """
    outputs = await read_outputs(session, network.resource_group, network.deployment)
    value = outputs.get(network.output)
    if not isinstance(value, str) or "/virtualNetworks/" not in value:
        raise UnreadableAnswer(
            "read the spoke network's id",
            f"{network.resource_group}/{network.deployment}",
            f"Its output {network.output!r} is {value!r}; it has {', '.join(sorted(outputs)) or 'no outputs'}.",
            "Set network.output to the output that holds the network's resource id.",
        )
    return value


async def deploy(
    session: AzureSession, cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> Infrastructure:
    """Deploy the template, unless the same deployment has succeeded, or join it when it is under way.

    :param public_certificate: base64 of the ingress certificate's PEM, without its key
    """
    template, parameters, volatile = await _asked(session, cluster, network, network_id, public_certificate)
    deployed = await ensure_deployment(
        session,
        cluster.resource_group,
        cluster.deployment,
        template,
        parameters,
        volatile=volatile,
        again=cluster.redeploy,
    )
    return await _infrastructure(session, cluster, deployed.outputs, deployed.outcome, deployed.seconds)


async def forecast(
    session: AzureSession, cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> tuple[ResourceChange, ...] | None:
    """What :func:`deploy` would change, as Azure foretells it; ``None`` when it would find the same deployed already.

    :param public_certificate: as there
    """
    template, parameters, volatile = await _asked(session, cluster, network, network_id, public_certificate)
    group, name = cluster.resource_group, cluster.deployment
    if not cluster.redeploy and await is_deployed(session, group, name, template, parameters, volatile=volatile):
        return None
    return await what_if(session, group, name, template, parameters)


async def _asked(
    session: AzureSession, cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> tuple[dict[str, Any], dict[str, Any], frozenset[str]]:
    """Template, parameters, and the names of those whose change is no reason to deploy."""
    kept = await _what_stays(session, cluster)
    parameters = {**cluster.parameters, network.parameter: network_id, **kept}
    if cluster.certificate_parameter:
        parameters[cluster.certificate_parameter] = public_certificate
    return await load_template(cluster.template), parameters, frozenset(kept)


async def find_infrastructure(session: AzureSession, cluster: Cluster) -> Infrastructure:
    """What an earlier deployment has left, found and not deployed.

    :raises NotFound: when nothing was deployed yet
    """
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    if before is None or not before.outputs:
        raise _not_deployed("find the infrastructure", cluster, "There is no finished deployment of that name.")
    return await _infrastructure(session, cluster, dict(before.outputs), "unchanged", before.seconds)


async def _infrastructure(
    session: AzureSession, cluster: Cluster, outputs: dict[str, Any], outcome: str, seconds: float
) -> Infrastructure:
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


async def _what_stays(session: AzureSession, cluster: Cluster) -> dict[str, Any]:
    """The vault's present rules and tags, as parameters: the template states them, so a PUT would wipe them."""
    rules: list[dict[str, str]] = []
    tags: dict[str, str] = {}
    vault = await find_vault(session, cluster)
    if vault is not None:
        try:
            find_infrastructure = await firewall(session, vault.id)
            rules, tags = [{"value": rule} for rule in find_infrastructure.ip_rules], dict(find_infrastructure.tags)
        except NotFound:
            pass  # deleted since: there is nothing to keep
    stays: dict[str, Any] = {}
    if cluster.ip_rules_parameter:
        stays[cluster.ip_rules_parameter] = rules
    if cluster.tags_parameter:
        stays[cluster.tags_parameter] = tags
    return stays


async def find_vault(session: AzureSession, cluster: Cluster) -> Vault | None:
    """The vault of an earlier deployment, if there was one."""
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    name = before.outputs.get("keyVaultName") if before else None
    return _vault(session, cluster, name) if name else None


async def get_vault(session: AzureSession, cluster: Cluster) -> Vault:
    """The same where there has to be one.

    :raises NotFound: when nothing was deployed yet
    """
    vault = await find_vault(session, cluster)
    if vault is None:
        observed = "There is no finished deployment of that name that gives the output keyVaultName."
        raise _not_deployed("find the vault", cluster, observed)
    return vault


async def find_registry(session: AzureSession, cluster: Cluster) -> Registry | None:
    """The registry of an earlier deployment, if there was one."""
    before = await find_deployment(session, cluster.resource_group, cluster.deployment)
    name = before.outputs.get("containerRegistryName") if before else None
    return await get_registry(session, name) if name else None


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
            f"The template must give the output {name}; see infra/pre-cluster-stamp.json.",
        )
    return value
