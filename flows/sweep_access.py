"""Ends temporary access that outlived its lease, whoever took it and wherever that run died."""

from __future__ import annotations

from prefect import flow

from pratique.config import Bootstrap
from tasks.access import sweep_vault
from tasks.runtime import azure_runtime


@flow(name="sweep_access", flow_run_name="sweep {config.cluster.resource_group}")
async def sweep_access(config: Bootstrap) -> list[str]:
    """End expired leases on the cluster's vault. Safe to run beside any other run.

    Args:
        config: The same configuration that prepare_cluster runs with.

    Returns:
        The ids of the leases that were ended.
    """
    async with azure_runtime(config):
        return await sweep_vault(config.cluster)
