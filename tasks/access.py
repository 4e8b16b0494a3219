"""Opening and revoking temporary access to the vault, as task runs of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from prefect import get_run_logger

from pratique.access import grant, revoke
from pratique.azure.session import AzureSession
from pratique.azure.vault import Vault
from pratique.cluster.infrastructure import find_vault
from pratique.config import Access
from pratique.lease import Lease, lease_id
from tasks.configuration import RunTarget
from tasks.events import emit, emit_on_leak, emit_revoked
from tasks.policies import UNCACHED
from tasks.runtime import current, lease_owner
from tasks.step import ACCESS_REVOKED, NOTHING_TO_DO, step

T = TypeVar("T")


@step(name="open access", run_name="open access to {vault.name}", **UNCACHED)
async def open_vault_access(vault: Vault, access: Access) -> Lease:
    """Grant the role and open the firewall, each only if needed, and wait until the vault lets this worker in."""
    runtime, deadline = current(), _deadline(vault, access)
    lease = await grant.open_access(runtime.session, runtime.http, vault, access, owner=lease_owner())
    get_run_logger().info("Lease %s", lease)
    usable = await grant.wait_until_open(runtime.session, runtime.http, vault, access, lease, deadline)
    emit("access.opened", vault=vault.name, lease=usable.id, expires=usable.expires.isoformat(timespec="seconds"))
    return usable


async def with_access(vault: Vault, access: Access, lease: Lease, work: Callable[[], Awaitable[T]]) -> T:
    """Do a step's work, and open the vault again if another run has closed it in the meantime."""
    runtime, deadline = current(), _deadline(vault, access)
    return await grant.keep_open(runtime.session, runtime.http, vault, access, lease, work, deadline)


def _deadline(vault: Vault, access: Access) -> grant.Deadline:
    """The same for all steps of the run and all their retries."""
    return current().deadlines.setdefault(vault.id, grant.Deadline.start(access))


@step(
    name="revoke access",
    run_name="revoke access to {vault.name}",
    outcome=lambda leases: ACCESS_REVOKED if leases else NOTHING_TO_DO,
    **UNCACHED,
)
async def revoke_vault_access(vault: Vault) -> list[Lease]:
    """Revoke all access that this run holds, and read back that it is gone.

    :raises AccessNotRevoked: when access may still be open
    """
    owner = lease_owner()
    with emit_on_leak(vault.name, lease_id(owner, vault.id)):
        leases = await grant.close_access(current().session, vault, owner)
    get_run_logger().info(
        "Access revoked and read back as gone: %s", ", ".join(lease.id for lease in leases) or "there was none"
    )
    emit_revoked(vault.name, leases)
    return leases


@step(name="sweep vault", run_name="sweep the vault of {target.cluster.deployment}", **UNCACHED)
async def sweep_vault(target: RunTarget, *, everything: bool = False) -> list[str]:
    """End the expired leases, or all. The leases are recorded in Azure, so this needs no other state and no secret.

    :returns: ids of the leases that were ended
    :raises AccessNotRevoked: when access may still be open, or only a person can judge what is
    """
    log, group = get_run_logger(), target.cluster.resource_group
    identity = target.registries.identity
    async with AzureSession.open(target.subscription_id, target.cloud, identity=identity) as session:
        vault = await find_vault(session, target.cluster)
        if vault is None:
            log.info("Nothing is deployed yet, so there is no vault to sweep")
            return []
        with emit_on_leak(vault.name, cluster=group):
            swept = await revoke.sweep(session, vault.id, everything=everything)
    at = datetime.now(UTC)
    if expired := [lease.id for lease in swept.ended if lease.expired(at)]:
        emit("access.leaked", cluster=group, vault=vault.name, leases=expired)
    emit_revoked(vault.name, swept.ended, cluster=group)
    for lease in swept.ended:
        log.warning("Ended lease %s", lease)
    for lease in swept.left:
        log.info("Left lease %s", lease)
    for record in swept.unusable:
        log.warning("Ignored a record that is no lease: %s", record)
    log.info("Vault %s: %d leases ended, %d left", vault.name, len(swept.ended), len(swept.left))
    with emit_on_leak(vault.name, cluster=group):
        swept.require_proof()
    return [lease.id for lease in swept.ended]
