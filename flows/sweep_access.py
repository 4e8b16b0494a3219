"""Revokes temporary access whose lease has expired, regardless of which run opened it, and how that run ended."""

from __future__ import annotations

from uuid import UUID

from prefect import flow

from pratique.config import ConfigParameter
from tasks.access import sweep_vault
from tasks.configuration import target_to_sweep
from tasks.step import ACCESS_REVOKED, NOTHING_TO_DO, named_states


@flow(name="sweep_access", flow_run_name="sweep {config.title}")
@named_states(lambda leases: ACCESS_REVOKED if leases else NOTHING_TO_DO)
async def sweep_access(config: ConfigParameter, everything: bool = False, run: UUID | None = None) -> list[str]:
    """Revoke expired leases on the cluster's vault. Safe to run at the same time as any other run.

    Args:
        config: The configuration of prepare_cluster, or its place in Git.
        everything: Also revoke leases that have not expired. Runs that hold one will open their access again.
        run: Id of a run. If it read its configuration from Git, sweep the cluster on which it worked.

    Returns:
        The ids of the revoked leases.
    """
    return await sweep_vault(await target_to_sweep(config, run), everything=everything)
