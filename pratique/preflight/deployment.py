"""Checks the deployment of the cluster's template: its parameters, and what it would remove."""

from __future__ import annotations

from pratique.azure.session import AzureSession
from pratique.cluster.forecast import Forecast, make_forecast
from pratique.cluster.infrastructure import read_network
from pratique.config import Bootstrap
from pratique.errors import PratiqueError
from pratique.preflight.line import Line, failed

_NAME = "deployment"


async def deployment_checks(config: Bootstrap, session: AzureSession, public_certificate: str | None) -> list[Line]:
    """Lines about the deployment; none when the spoke network cannot be read, which another check reports.

    :param public_certificate: base64 of the ingress certificate's PEM; ``None`` when it cannot be read here
    """
    cluster = config.cluster
    if cluster.certificate_parameter and public_certificate is None:
        return [Line(_NAME, True, "not compared with what exists, because the certificate is not known here")]
    try:
        network_id = await read_network(session, config.network)
    except PratiqueError:
        return []
    try:
        forecast = await make_forecast(session, cluster, config.network, network_id, public_certificate or "")
    except PratiqueError as error:
        return [failed(_NAME, error)]
    warnings = [Line(_NAME, True, warning, warning=True) for warning in forecast.parameters.warnings]
    try:
        if forecast.refused:
            forecast.removals.require_none(f"{cluster.resource_group}/{cluster.deployment}")
    except PratiqueError as error:
        return [*warnings, failed(_NAME, error)]
    allowed = "Nothing, if that is intended: cluster.removals is 'allow'."
    removals = [Line(_NAME, True, line, allowed, warning=True) for line in forecast.removals.lines()]
    return [*warnings, *removals, Line(_NAME, True, _summary(forecast))]


def _summary(forecast: Forecast) -> str:
    if forecast.changes is None:
        return "nothing to deploy: the same template was already deployed with the same parameters"
    changed = sum(not change.idle for change in forecast.changes)
    removes = "" if forecast.removals else ", no firewall rule or tag is removed"
    return f"{changed} resources are created or changed{removes}"
