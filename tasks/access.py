"""Temporary access to the vault, its two halves visible as runs of their own."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import get_run_logger, task

from pratique import vault_access
from pratique.azure.directory import egress_address
from pratique.config import Certificate, Cluster
from pratique.infrastructure import find_vault
from pratique.vault_access import Vault
from tasks.policies import ALWAYS
from tasks.runtime import current, lease_owner


@task(name="open access", task_run_name="open access to {vault.name}", **ALWAYS)
async def open_vault_access(vault: Vault, certificate: Certificate) -> None:
    """Grant the role, open the firewall if it is closed, and wait until the vault lets us in."""
    now = current()
    address = None
    if await vault_access.needs_rule(now.session, vault):
        address = certificate.address or await egress_address(now.http, certificate.address_services)
    lease = await vault_access.open_access(
        now.session,
        vault,
        role=certificate.role,
        owner=lease_owner(),
        address=address,
        minutes=certificate.lease_minutes,
    )
    get_run_logger().info(
        "Lease %s until %s: role%s",
        lease.id,
        lease.expires,
        f" and firewall rule for {address}" if address else " only",
    )
    await vault_access.wait_until_open(now.session, vault)


@task(name="revoke access", task_run_name="revoke access to {vault.name}", **ALWAYS)
async def revoke_vault_access(vault: Vault) -> None:
    """Take everything back that this run holds, and read back that it is gone."""
    ended = await vault_access.close_access(current().session, vault, lease_owner())
    get_run_logger().info(
        "Access revoked and read back as gone: %s", ", ".join(lease.id for lease in ended) or "none was held"
    )


@task(name="sweep vault", task_run_name="sweep the vault of {cluster.deployment}", **ALWAYS)
async def sweep_vault(cluster: Cluster) -> list[str]:
    """End what Azure itself records as expired; needs no state of ours."""
    session = current().session
    vault = await find_vault(session, cluster)
    if vault is None:
        return []
    now = datetime.now(UTC)
    ended = await vault_access.end_leases(session, vault, which=lambda lease: lease.expired(now))
    for lease in ended:
        get_run_logger().warning("Ended lease %s of %s, expired at %s", lease.id, lease.owner, lease.expires)
    return [lease.id for lease in ended]
