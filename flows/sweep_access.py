"""Revokes temporary access whose lease has expired, regardless of which run opened it, and how that run ended."""

from __future__ import annotations

from prefect import flow

from pratique.config import Bootstrap
from tasks.access import sweep_vault
from tasks.step import ACCESS_REVOKED, NOTHING_TO_DO, named_states


@flow(name="sweep_access", flow_run_name="sweep {config.cluster.resource_group}")
@named_states(lambda leases: ACCESS_REVOKED if leases else NOTHING_TO_DO)
async def sweep_access(config: Bootstrap, everything: bool = False) -> list[str]:
    """Revoke expired leases on the cluster's vault. Safe to run at the same time as any other run.

    Args:
        config: The configuration of prepare_cluster.
        everything: Also revoke leases that have not expired. Runs that hold one will open their access again.

    Returns:
        The ids of the revoked leases.
    """
    return await sweep_vault(config, everything=everything)
