"""Temporary access to a vault: opened in two halves at once, proven open, and in the end proven gone.

The role assignment and the firewall rule are each made together with the record of who made them (:mod:`.lease`), so a
run that dies in between leaves nothing that a sweep cannot find. What existed before is used and stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from pratique.azure import firewall as firewalls
from pratique.azure import roles
from pratique.azure.session import AzureSession
from pratique.azure.vault import probe
from pratique.errors import AccessNotRevoked, NotYetEffective, PratiqueError
from pratique.lease import Lease, from_description, from_tags, lease_id

_PROBE_SECONDS = 2.0
_OPENING_SECONDS = 900.0
_ATTEMPTS_TO_REVOKE = 5


@dataclass(frozen=True)
class Vault:
    """A vault by its name (the data plane's) and its ARM id."""

    name: str
    id: str


async def open_access(
    session: AzureSession, vault: Vault, *, role: str, owner: str, address: IPv4Address | None, minutes: int
) -> Lease:
    """Grant the role and, with an address, open the firewall; both halves run side by side.

    :param role: GUID of the role definition
    :param owner: of the lease: the run that will close it, and that :func:`close_access` names
    :param address: public address of this worker; ``None`` where the network is open already
    :param minutes: until a sweep may end the access
    :raises PratiqueError: when a half fails. The other one may stand: :func:`close_access` ends whatever does
    """
    caller = await session.caller()
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    lease = Lease(lease_id(owner, vault.id), owner, address, expires)
    name = roles.assignment_name(vault.id, role, caller.object_id, lease.id)

    async def grant() -> None:
        standing = await roles.find_assignment(session, vault.id, role, caller.object_id)
        if standing is None or standing.endswith(name):
            await roles.grant_role(session, vault.id, role, caller, name=name, description=lease.description)

    async def let_in() -> None:
        if address is not None:
            await firewalls.open_firewall(session, vault.id, address, (lease.tag_name, lease.tag_value))

    # Both are awaited to their end even if one fails, so that nothing is still being opened while it is closed again.
    for outcome in await asyncio.gather(grant(), let_in(), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    return lease


async def wait_until_open(session: AzureSession, vault: Vault) -> None:
    """Probe the data plane until it lets this worker in.

    :raises NotYetEffective: when it does not within 15 minutes; role assignments take up to 10 (azure-facts §5.5)
    """
    give_up = time.monotonic() + _OPENING_SECONDS
    while (reach := await probe(session, vault.name)).state != "open":
        if time.monotonic() > give_up:
            raise NotYetEffective(
                "enter the vault with the temporary access",
                vault.name,
                f"It still refuses: {reach.observed}",
                "If the refusal names another address than this worker's, set certificate.address; then run again.",
            )
        await asyncio.sleep(_PROBE_SECONDS)


async def needs_rule(session: AzureSession, vault: Vault) -> bool:
    """Whether the vault's firewall keeps this worker out at present."""
    return (await probe(session, vault.name)).state == "network"


async def close_access(session: AzureSession, vault: Vault, owner: str) -> list[Lease]:
    """Take back whatever the owner holds at the vault, and prove by reading that it is gone.

    :raises AccessNotRevoked: with the commands that finish the job by hand
    """
    mine = lease_id(owner, vault.id)
    return await end_leases(session, vault, which=lambda lease: lease.id == mine)


async def end_leases(session: AzureSession, vault: Vault, *, which: Callable[[Lease], bool]) -> list[Lease]:
    """End every lease on the vault that ``which`` picks; whatever carries no lease of ours is never touched.

    :returns: the leases that were ended
    :raises AccessNotRevoked: when something still stands after several attempts
    """
    ended: dict[str, Lease] = {}
    failure: PratiqueError | None = None
    for attempt in range(_ATTEMPTS_TO_REVOKE):
        try:
            if attempt:
                await asyncio.sleep(min(2**attempt, 8) / 4)
            standing = await _standing(session, vault, which)
            if not standing:
                return list(ended.values())
            for assignment_id, lease in standing:
                ended[lease.id] = lease
                await _revoke(session, vault, assignment_id, lease)
        except PratiqueError as error:
            failure = error
    raise _not_revoked(vault, ended, failure)


async def _standing(
    session: AzureSession, vault: Vault, which: Callable[[Lease], bool]
) -> list[tuple[str | None, Lease]]:
    """What is to go: role assignments (with their id) and firewall tags (without one)."""
    assignments, firewall = await asyncio.gather(
        roles.list_assignments(session, vault.id), firewalls.firewall(session, vault.id)
    )
    granted = [(found.id, from_description(found.description)) for found in assignments]
    opened = [(None, lease) for lease in from_tags(firewall.lease_tags)]
    return [(found, lease) for found, lease in (*granted, *opened) if lease is not None and which(lease)]


async def _revoke(session: AzureSession, vault: Vault, assignment_id: str | None, lease: Lease) -> None:
    if assignment_id is not None:
        await roles.revoke_role(session, assignment_id)
    else:
        await firewalls.close_firewall(session, vault.id, lease.address, lease.tag_name)


def _not_revoked(vault: Vault, leases: dict[str, Lease], failure: PratiqueError | None) -> AccessNotRevoked:
    """The loudest error that there is, with what finishes the job by hand."""
    observed = failure.observed if failure else "read back as present."
    addresses = sorted({str(lease.address) for lease in leases.values() if lease.address})
    commands = [
        f"az role assignment list --scope {vault.id} --query \"[?contains(description, '{lease}')].id\" -o tsv"
        " | xargs -r az role assignment delete --ids"
        for lease in sorted(leases)
    ]
    commands += [f"az keyvault network-rule remove -n {vault.name} --ip-address {address}" for address in addresses]
    return AccessNotRevoked(
        "take the temporary access back",
        vault.name,
        f"It still stands after {_ATTEMPTS_TO_REVOKE} attempts: {observed}",
        "ACT NOW: " + (" && ".join(commands) or f"look at the role assignments and network rules of {vault.id}"),
    )
