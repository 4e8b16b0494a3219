"""The parts of Azure that the sandbox simulates, one package each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.core.routing import Service

if TYPE_CHECKING:
    from sandbox.azure import Azure


def all_services() -> list[Service]:
    """Every service, in the order in which requests are matched."""
    from sandbox.services.acr.routes import acr_services
    from sandbox.services.alerts.routes import alerts_management
    from sandbox.services.arm.routes import arm, arm_generic, clouds
    from sandbox.services.authorization.definitions import role_definitions
    from sandbox.services.authorization.locks import locks
    from sandbox.services.authorization.routes import authorization
    from sandbox.services.authorization.schedules import schedules
    from sandbox.services.azuredevops.routes import azure_devops
    from sandbox.services.blobs.routes import blobs
    from sandbox.services.deployments.routes import deployments
    from sandbox.services.echo.routes import echo
    from sandbox.services.entra.routes import entra
    from sandbox.services.github.routes import github_services
    from sandbox.services.graph.routes import graph
    from sandbox.services.imds.routes import imds
    from sandbox.services.insights.routes import insights
    from sandbox.services.keyvault.routes import vault_services
    from sandbox.services.loganalytics.routes import log_analytics
    from sandbox.services.public_registries.routes import public_registries
    from sandbox.services.resourcegraph.routes import resource_graph
    from sandbox.services.security.routes import security

    return [
        entra,
        graph,
        clouds,
        arm,
        deployments,
        authorization,
        role_definitions,
        schedules,
        locks,
        *public_registries(),  # before the subscription's own: one of them is an Azure registry, too
        *acr_services(),
        *vault_services(),
        resource_graph,
        security,
        alerts_management,
        insights,
        log_analytics,
        blobs,
        *github_services(),
        azure_devops,
        echo,
        imds,
        arm_generic,
    ]


def open_states(azure: Azure) -> None:
    """Create the state objects that listen to events, or hold data, from the start."""
    from sandbox.services.acr.state import Registries
    from sandbox.services.alerts.state import Alerts
    from sandbox.services.blobs.store import Accounts
    from sandbox.services.defender.state import Defender
    from sandbox.services.deployments.state import Deployments
    from sandbox.services.git.state import Repositories
    from sandbox.services.keyvault.state import Vaults
    from sandbox.services.loganalytics.state import Logs
    from sandbox.services.resourcegraph.lag import LateResources

    for kind in (Registries, Deployments, Vaults, Accounts, Defender, Logs, Alerts, LateResources, Repositories):
        azure.state(kind)
