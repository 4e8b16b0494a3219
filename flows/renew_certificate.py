"""Brings the vault's ingress certificate up to date before it expires."""

from __future__ import annotations

from prefect import flow

from flows.hooks import end_leases_of_run
from pratique.cancellation import run_to_completion
from pratique.certificate.renewal import Renewal
from pratique.config import Bootstrap
from tasks.access import open_vault_access, revoke_vault_access
from tasks.certificate import check_certificate, renew_stored_certificate
from tasks.infrastructure import find_cluster_vault
from tasks.runtime import azure_runtime
from tasks.states import NOTHING_TO_DO, ended


@flow(
    name="renew_certificate",
    flow_run_name="renew {config.certificate.name}",
    on_failure=[end_leases_of_run],
    on_cancellation=[end_leases_of_run],
    on_crashed=[end_leases_of_run],
)
async def renew_certificate(config: Bootstrap) -> Renewal:
    """Import the certificate when the vault's is missing, about to expire, or older than the one at hand.

    Fails when the vault's is about to expire and there is nothing better at hand: somebody has to have one issued.

    Args:
        config: The same configuration that prepare_cluster runs with.
    """
    return await ended(_renew(config), lambda done: None if done.imported else NOTHING_TO_DO)


async def _renew(config: Bootstrap) -> Renewal:
    async with azure_runtime(config):
        await check_certificate(config.certificate, dates=False)
        vault = await find_cluster_vault(config.cluster)
        try:
            lease = await open_vault_access(vault, config.access)
            return await renew_stored_certificate(vault, config.certificate, config.access, lease)
        finally:
            await run_to_completion(lambda: revoke_vault_access(vault))
