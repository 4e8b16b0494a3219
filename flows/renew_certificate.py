"""Renews the vault's ingress certificate before it expires."""

from __future__ import annotations

from prefect import flow

from flows.hooks import end_leases_of_run
from pratique.cancellation import run_to_completion
from pratique.certificate.renewal import Renewal
from pratique.config import Bootstrap, ConfigParameter
from tasks.access import open_vault_access, revoke_vault_access
from tasks.certificate import check_certificate, renew_stored_certificate
from tasks.configuration import configuration
from tasks.infrastructure import find_cluster_vault
from tasks.runtime import azure_runtime
from tasks.step import NOTHING_TO_DO, named_states


@flow(
    name="renew_certificate",
    flow_run_name="renew certificate of {config.title}",
    on_failure=[end_leases_of_run],
    on_cancellation=[end_leases_of_run],
    on_crashed=[end_leases_of_run],
)
@named_states(lambda renewed: None if renewed.imported else NOTHING_TO_DO)
async def renew_certificate(config: ConfigParameter) -> Renewal:
    """Import the certificate when the vault's is missing, about to expire, or older than the configured one.

    Fails when the vault's certificate is about to expire and the configured one is no better. You then need a new one.

    Args:
        config: The configuration of prepare_cluster, or its place in Git.
    """
    async with configuration(config) as read:
        return await _renew(read)


async def _renew(config: Bootstrap) -> Renewal:
    async with azure_runtime(config):
        await check_certificate(config.certificate, dates=False)
        vault = await find_cluster_vault(config.cluster)
        try:
            lease = await open_vault_access(vault, config.access)
            return await renew_stored_certificate(vault, config.certificate, config.access, lease)
        finally:
            await run_to_completion(lambda: revoke_vault_access(vault))
