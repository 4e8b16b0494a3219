"""Deploys the cluster's infrastructure, unless it would remove what others have added to it.

::

    infrastructure = await deploy(session, cluster, network, network_id, public_certificate, registries=registries)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pratique.access.restore import restore_leases
from pratique.azure.deployments import ensure_deployment
from pratique.azure.network_rules import Firewall
from pratique.azure.session import AzureSession
from pratique.cluster.forecast import DeploymentRequest, Forecast, predict, read_request, read_vault_firewall
from pratique.cluster.infrastructure import Infrastructure, read_infrastructure
from pratique.config import Cluster, Network, Registries
from pratique.errors import PratiqueError

_LOGGER = logging.getLogger(__name__)

Warn = Callable[[str], object]


async def deploy(
    session: AzureSession,
    cluster: Cluster,
    network: Network,
    network_id: str,
    public_certificate: str,
    *,
    registries: Registries,
    warn: Warn = _LOGGER.warning,
) -> Infrastructure:
    """Deploy the template, unless the same deployment has succeeded, or join the deployment if it is already running.

    :param public_certificate: base64 of the ingress certificate's PEM, without its key
    :param warn: called with what a person should know although the deployment goes on
    :raises RemovalsRefused: when the deployment would remove rules or tags that are not the template's, and
        ``cluster.removals`` is ``refuse``
    """
    request = await read_request(cluster, network, network_id, public_certificate)
    parameters = request.parameters(await read_vault_firewall(session, cluster))
    for warning in parameters.warnings:
        warn(warning)
    review = _Review(session, request, warn)
    try:
        deployed = await ensure_deployment(
            session,
            cluster.resource_group,
            cluster.deployment,
            dict(request.template),
            dict(parameters.values),
            volatile=parameters.volatile,
            force=cluster.redeploy,
            review=review,
        )
    except PratiqueError:
        await review.restore()  # some resources of a failed deployment are deployed
        raise
    await review.restore()
    return await read_infrastructure(session, cluster, registries, deployed.outputs, deployed.outcome, deployed.seconds)


class _Review:
    """What happens around a deployment: right before it, removals are refused; after it, leases are put back."""

    def __init__(self, session: AzureSession, request: DeploymentRequest, warn: Warn) -> None:
        self._session, self._request, self._warn = session, request, warn
        self._before: Firewall | None = None

    async def __call__(self) -> Mapping[str, Any]:
        """The parameters to deploy with: the vault may have changed since the first look."""
        cluster = self._request.cluster
        firewall = await read_vault_firewall(self._session, cluster)
        try:
            forecast = await predict(self._session, self._request, firewall)
        except PratiqueError as error:
            if cluster.removals == "refuse":
                raise
            self._warn(f"It is not known what the deployment removes: {error}")
            forecast = Forecast(parameters=self._request.parameters(firewall), firewall=firewall)
        if forecast.refused:
            forecast.removals.require_none(f"{cluster.resource_group}/{cluster.deployment}")
        for line in forecast.removals.lines():
            self._warn(f"{line}. cluster.removals allows it")
        self._before = forecast.firewall
        return forecast.parameters.values

    async def restore(self) -> None:
        """Put back the leases that the deployment has removed, if it was started."""
        if self._before is None:
            return
        try:
            restored = await restore_leases(self._session, self._before)
        except PratiqueError as error:
            self._warn(str(error))
            return
        for lease in restored.leases:
            self._warn(f"The deployment removed the lease {lease}. It was put back")
        for left in restored.left:
            self._warn(f"The deployment may have removed a lease, which was not put back: {left}")
