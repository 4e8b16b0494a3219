"""Ends temporary access that outlived its lease, whoever took it and wherever that run died."""

from __future__ import annotations

from prefect import flow

from pratique.config import Bootstrap
from tasks.access import sweep_vault
from tasks.step import ACCESS_REVOKED, NOTHING_TO_DO, named_states


@flow(name="sweep_access", flow_run_name="sweep {config.cluster.resource_group}")
@named_states(lambda leases: ACCESS_REVOKED if leases else NOTHING_TO_DO)
async def sweep_access(config: Bootstrap, everything: bool = False) -> list[str]:
    """End expired leases on the cluster's vault. Safe to run beside any other run.

    Args:
        config: The same configuration that prepare_cluster runs with.
        everything: End leases that have not expired as well. Runs that hold one open their access again.

    Returns:
        The ids of the leases that were ended.
    """
    return await sweep_vault(config, everything=everything)
