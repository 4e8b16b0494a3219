"""State hooks: Prefect calls them when a run has failed, crashed or was cancelled, possibly in another process."""

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
from pratique.lease import lease_id
from tasks.configuration import target_of_run
from tasks.events import emit_on_leak, emit_revoked
from tasks.runtime import lease_owner

_log = logging.getLogger("prefect.pratique.hooks")


async def remove_drill_of_run(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Remove a drill's images from ``live/``. After a crash, also remove an image whose import ends later."""
    target = await target_of_run(flow_run)
    # A drill that was refused because images in use have its repositories must not remove them.
    if target is None or not target.drill_safe:
        return
    async with (
        AzureSession.open(target.subscription_id, target.cloud, identity=target.drill_identity) as session,
        httpx.AsyncClient() as http,
    ):
        registry = await find_registry(session, target.cluster, target.registries)
        if registry is None:
            return
        client = oci_client(session, http, {})
        clean_up = staging.clean_up if state.is_failed() else staging.clean_up_after_crash
        for repository in await clean_up(client, registry):
            _log.warning("Removed %s from %s, which a drill had left", repository, registry.login_server)


async def end_leases_of_run(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Revoke all access that the run still holds. Usually the run's ``finally`` has done so, and this only reads.

    It needs only Azure and Prefect, so that neither a missing secret nor Git keeps the vault open.
    """
    target = await target_of_run(flow_run)
    if target is None:
        return
    identity = target.registries.identity
    async with AzureSession.open(target.subscription_id, target.cloud, identity=identity) as session:
        vault = await find_vault(session, target.cluster)
        if vault is None:
            return
        owner, cluster = lease_owner(flow_run.id), target.cluster.resource_group
        with emit_on_leak(vault.name, lease_id(owner, vault.id), cluster=cluster):
            leases = await close_access(session, vault, owner)
        emit_revoked(vault.name, leases, cluster=cluster)
        for lease in leases:
            _log.warning("Ended lease %s on vault %s, which its run had left", lease, vault.name)
