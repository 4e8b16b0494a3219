"""Temporary access to the vault, its two halves visible as runs of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from prefect import get_run_logger, task

from pratique.access import grant, revoke
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.cluster.infrastructure import find_vault
from pratique.config import Access, Bootstrap
from pratique.lease import Lease, lease_id
from tasks.events import tell, tell_revoked, telling_of_a_leak
from tasks.policies import ALWAYS
from tasks.runtime import current, lease_owner
from tasks.states import ACCESS_REVOKED, NOTHING_TO_DO, ended, opened

T = TypeVar("T")


@task(name="open access", task_run_name="open access to {vault.name}", **ALWAYS)
async def open_vault_access(vault: Vault, access: Access) -> Lease:
    """Grant the role and open the firewall, as far as needed, and wait until the vault lets us in."""
    now = current()
    lease = await grant.open_access(now.session, now.http, vault, access, owner=lease_owner())
    get_run_logger().info("Lease %s", lease)
    usable = await grant.wait_until_open(now.session, now.http, vault, access, lease)
    tell("access.opened", vault=vault.name, lease=usable.id, expires=usable.expires.isoformat(timespec="seconds"))
    return usable


async def with_access(vault: Vault, access: Access, lease: Lease, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work of a task, and open the vault again when others have closed it meanwhile."""
    now = current()
    return await grant.keep_open(now.session, now.http, vault, access, lease, work)


async def revoke_vault_access(vault: Vault) -> None:
    """Take everything back that this run holds, and read back that it is gone.

    :raises AccessNotRevoked: when it is not
    """
    await opened(_revoke(vault))


@task(name="revoke access", task_run_name="revoke access to {vault.name}", **ALWAYS)
async def _revoke(vault: Vault) -> list[Lease]:
    """Take everything back that this run holds."""
    return await ended(_revoked(vault), lambda leases: ACCESS_REVOKED if leases else NOTHING_TO_DO)


async def _revoked(vault: Vault) -> list[Lease]:
    owner = lease_owner()
    with telling_of_a_leak(vault.name, lease_id(owner, vault.id)):
        leases = await grant.close_access(current().session, vault, owner)
    get_run_logger().info(
        "Access revoked and read back as gone: %s", ", ".join(lease.id for lease in leases) or "none was held"
    )
    tell_revoked(vault.name, leases)
    return leases


@task(name="sweep vault", task_run_name="sweep the vault of {config.cluster.deployment}", **ALWAYS)
async def sweep_vault(config: Bootstrap, *, everything: bool = False) -> list[str]:
    """End what Azure itself records as expired, or everything; needs no state of ours, and no secret."""
    log, group = get_run_logger(), config.cluster.resource_group
    async with AzureSession.open(config.subscription_id, config.cloud) as session:
        vault = await find_vault(session, config.cluster)
        if vault is None:
            log.info("Nothing is deployed yet: there is no vault to sweep")
            return []
        with telling_of_a_leak(vault.name, cluster=group):
            swept = await revoke.sweep(session, vault.id, everything=everything)
    now = datetime.now(UTC)
    if expired := [lease.id for lease in swept.ended if lease.expired(now)]:
        tell("access.leaked", cluster=group, vault=vault.name, leases=expired)
    tell_revoked(vault.name, swept.ended, cluster=group)
    for lease in swept.ended:
        log.warning("Ended lease %s", lease)
    for lease in swept.left:
        log.info("Left lease %s", lease)
    log.info("Vault %s: %d leases ended, %d left", vault.name, len(swept.ended), len(swept.left))
    return [lease.id for lease in swept.ended]
