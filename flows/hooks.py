"""What Prefect calls when a run has ended badly, possibly in another process than the run's own."""

from __future__ import annotations

import logging
from typing import Any

import httpx
from prefect.client.schemas.objects import FlowRun, State

from pratique.access.grant import close_access
from pratique.audit.drill import staging
from pratique.azure.registries import oci_client
from pratique.azure.session import AzureSession
from pratique.cluster.infrastructure import find_registry, find_vault
from pratique.config import Bootstrap
from pratique.lease import lease_id
from tasks.events import emit_on_leak, emit_revoked
from tasks.runtime import lease_owner

_log = logging.getLogger("prefect.pratique.hooks")


async def remove_drill_of_run(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Remove what a drill has put into ``live/``; of one that died, also what Azure finishes importing afterwards."""
    config = Bootstrap.model_validate(flow_run.parameters["config"])
    # A drill that was refused because images in use have its place must not remove them.
    staging.check_names([image.reference.repository for image in config.catalogue.images])
    async with AzureSession.open(config.subscription_id, config.cloud) as session, httpx.AsyncClient() as http:
        registry = await find_registry(session, config.cluster)
        if registry is None:
            return
        client = oci_client(session, http, {})
        remove = staging.take_back if state.is_failed() else staging.take_back_late
        for repository in await remove(client, registry):
            _log.warning("Removed from %s what a drill had left: %s", registry.login_server, repository)


async def end_leases_of_run(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Revoke whatever the run still holds. The run's own ``finally`` has mostly done so: then this only reads.

    It needs Azure and nothing else: a secret that is missing must not keep the vault open.
    """
    config = Bootstrap.model_validate(flow_run.parameters["config"])
    async with AzureSession.open(config.subscription_id, config.cloud) as session:
        vault = await find_vault(session, config.cluster)
        if vault is None:
            return
        owner, cluster = lease_owner(flow_run.id), config.cluster.resource_group
        with emit_on_leak(vault.name, lease_id(owner, vault.id), cluster=cluster):
            leases = await close_access(session, vault, owner)
        emit_revoked(vault.name, leases, cluster=cluster)
        for lease in leases:
            _log.warning("Ended on vault %s what its run had left: lease %s", vault.name, lease)
