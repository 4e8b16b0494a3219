"""What a deployment of the cluster's template would change and remove at present. Changes nothing.

::

    forecast = await make_forecast(session, cluster, network, network_id, public_certificate)
    forecast.changes, forecast.removals
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pratique.azure.deployments import is_deployed
from pratique.azure.firewall import read_firewall
from pratique.azure.network_rules import Firewall
from pratique.azure.session import AzureSession
from pratique.azure.templates import load_template
from pratique.azure.what_if import Prediction, ResourceChange, what_if
from pratique.cluster.infrastructure import find_vault
from pratique.cluster.removals import REMEDY, Removals, find_removals
from pratique.cluster.template_parameters import TemplateParameters, template_parameters
from pratique.config import Cluster, Network
from pratique.errors import NotFound

_VAULT = "microsoft.keyvault/vaults"


@dataclass(frozen=True, kw_only=True)
class DeploymentRequest:
    """A deployment that can be made.

    :ivar public_certificate: base64 of the ingress certificate's PEM, without its key
    """

    cluster: Cluster
    network: Network
    network_id: str
    public_certificate: str
    template: Mapping[str, Any] = field(repr=False)

    def parameters(self, firewall: Firewall | None) -> TemplateParameters:
        """The parameters with the vault's present rules and tags: without them, the template's PUT would erase them.

        :raises ConfigurationError: when the configuration's parameters do not fit the template
        """
        return template_parameters(
            self.template, self.cluster, self.network, self.network_id, self.public_certificate, firewall
        )


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a deployment would do.

    :ivar changes: of every resource; ``None`` when there is nothing to deploy
    :ivar firewall: the vault's rules and tags before the deployment; ``None`` when there is no vault
    :ivar refused: whether :func:`.deploy.deploy` would refuse it
    """

    parameters: TemplateParameters
    changes: tuple[ResourceChange, ...] | None = None
    removals: Removals = field(default_factory=Removals)
    firewall: Firewall | None = None
    refused: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: parameters that the template does not declare, and whether it is refused."""
        refusal = f"The run would not deploy the template, because of what it would remove. Next: {REMEDY}"
        return (*self.parameters.warnings, *((refusal,) if self.refused else ()))


async def read_request(
    cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> DeploymentRequest:
    """Read the template.

    :raises ConfigurationError: when it cannot be read or compiled
    """
    return DeploymentRequest(
        cluster=cluster,
        network=network,
        network_id=network_id,
        public_certificate=public_certificate,
        template=await load_template(cluster.template),
    )


async def make_forecast(
    session: AzureSession, cluster: Cluster, network: Network, network_id: str, public_certificate: str
) -> Forecast:
    """What :func:`.deploy.deploy` would do.

    :param public_certificate: base64 of the ingress certificate's PEM, without its key
    :raises ConfigurationError: when Azure would refuse the template, or the parameters do not fit it
    """
    request = await read_request(cluster, network, network_id, public_certificate)
    firewall = await read_vault_firewall(session, cluster)
    parameters = request.parameters(firewall)
    template, values, volatile = dict(request.template), dict(parameters.values), parameters.volatile
    group, name = cluster.resource_group, cluster.deployment
    if not cluster.redeploy and await is_deployed(session, group, name, template, values, volatile=volatile):
        return Forecast(parameters=parameters, firewall=firewall)
    return await predict(session, request, firewall)


async def predict(session: AzureSession, request: DeploymentRequest, firewall: Firewall | None) -> Forecast:
    """Ask Azure what the deployment would change, with the vault's rules and tags among the parameters.

    If no earlier deployment names the vault (it failed, or its entry was deleted), the vault is the one that the
    prediction shows.

    :param firewall: as :func:`read_vault_firewall` returns it
    """
    prediction, parameters = await _what_if(session, request, firewall)
    if firewall is None and (vault_id := _existing_vault(prediction)):
        firewall = await read_firewall(session, vault_id)
        prediction, parameters = await _what_if(session, request, firewall)
    group_id = session.group_id(request.cluster.resource_group)
    vault = firewall.vault_id if firewall else None
    removals = find_removals(prediction, request.template, group_id, vault)
    return Forecast(
        parameters=parameters,
        changes=prediction.changes,
        removals=removals,
        firewall=firewall,
        refused=bool(removals) and request.cluster.removals == "refuse",
    )


async def read_vault_firewall(session: AzureSession, cluster: Cluster) -> Firewall | None:
    """The rules and tags of the vault of an earlier deployment; ``None`` when there is no such vault."""
    vault = await find_vault(session, cluster)
    try:
        return await read_firewall(session, vault.id) if vault else None
    except NotFound:
        return None  # deleted since then: there is nothing to keep


async def _what_if(
    session: AzureSession, request: DeploymentRequest, firewall: Firewall | None
) -> tuple[Prediction, TemplateParameters]:
    parameters, cluster = request.parameters(firewall), request.cluster
    group, name = cluster.resource_group, cluster.deployment
    return await what_if(session, group, name, dict(request.template), dict(parameters.values)), parameters


def _existing_vault(prediction: Prediction) -> str | None:
    """Id of the template's vault, if there is exactly one and it exists."""
    found = [change for change in prediction.changes if change.type == _VAULT and change.kind != "Ignore"]
    return found[0].id if len(found) == 1 and found[0].kind not in ("Create", "Unsupported") else None
