"""Temporary access to a vault: opened in two halves at once, proven open, and in the end proven gone.

::

    async with temporary_vault_access(session, http, vault, access, owner="flow-run/…") as lease:
        await keep_open(session, http, vault, access, lease, import_certificate)

Each half is made together with the record of who made it (:mod:`.lease`), so a run that dies in between leaves nothing
that a sweep cannot find. What existed before is used and stays; what several runs share goes with the last of them. A
run that ends takes away what one that just begins was about to share, and of two writers of the vault one undoes the
other: so a run looks again once it is let in, and opens again when it is shut out.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TypeVar

import httpx

from pratique.access.revoke import end_leases
from pratique.azure import firewall as firewalls
from pratique.azure import pim, roles
from pratique.azure.directory import egress_address
from pratique.azure.session import AzureSession, Caller
from pratique.azure.vault import Reach, Vault, probe
from pratique.cancellation import run_to_completion
from pratique.config import Access
from pratique.errors import Conflict, NetworkDenied, NotYetEffective, PermissionDenied, PratiqueError
from pratique.lease import Lease, from_tags, lease_id

T = TypeVar("T")

PROBE_SECONDS = 2.0
#: Probes between two looks at whether somebody has taken the access away meanwhile.
_PROBES_A_LOOK = 5
#: What a cancelled opening has to finish the requests under way, so that nothing is still being opened while it closes.
FINISH_SECONDS = 10.0


@asynccontextmanager
async def temporary_vault_access(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, *, owner: str
) -> AsyncIterator[Lease]:
    """Access that ends with the block, whatever ends the block.

    :param owner: who holds the lease; the same owner has the same lease
    :raises AccessNotRevoked: the loudest error that there is
    """
    try:
        lease = await open_access(session, http, vault, access, owner=owner)
        yield await wait_until_open(session, http, vault, access, lease)
    finally:
        await run_to_completion(lambda: close_access(session, vault, owner))


async def open_access(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, *, owner: str
) -> Lease:
    """Grant the role and open the firewall, as far as needed; both halves run side by side.

    :raises PratiqueError: when a half fails. The other one may stand: :func:`close_access` ends whatever does
    """
    lease = Lease(lease_id(owner, vault.id), owner, datetime.now(UTC))
    return await _make(session, http, vault, access, lease)


async def wait_until_open(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, lease: Lease
) -> Lease:
    """Probe the data plane until it lets this worker in, and what lets it in stands: a door that closes is open, too.

    :returns: the lease as it stands: what others have taken away meanwhile was made again
    :raises NotYetEffective: when the vault keeps refusing for ``access.opening_minutes``
    :raises PermissionDenied: when the role is missing and ``access.role`` is ``none``
    :raises NetworkDenied: when the vault sees another address than the one that is let in
    """
    give_up = time.monotonic() + access.opening_minutes * 60
    for attempt in itertools.count(1):
        reach = await probe(session, vault.name)
        _require_sense(vault, access, reach, lease.address)
        if reach.state == "open" or attempt % _PROBES_A_LOOK == 0:
            stands = await _stands(session, vault, access, lease, reach)
            if stands and reach.state == "open":
                break
            if not stands:
                lease = await _make(session, http, vault, access, lease)
        if time.monotonic() > give_up:
            raise _still_closed(vault, access, reach)
        await asyncio.sleep(PROBE_SECONDS)
    return lease


async def keep_open(
    session: AzureSession,
    http: httpx.AsyncClient,
    vault: Vault,
    access: Access,
    lease: Lease,
    work: Callable[[], Awaitable[T]],
) -> T:
    """Do what needs the access; when it is refused although it was open, open it again, until it is done.

    :param work: may be done again after :class:`~pratique.errors.NotYetEffective`
    :raises NotYetEffective: when it is refused for ``access.opening_minutes``
    """
    give_up = time.monotonic() + access.opening_minutes * 60
    while True:
        try:
            return await work()
        except NotYetEffective:
            if time.monotonic() > give_up:
                raise
        lease = await _make(session, http, vault, access, lease)
        await asyncio.sleep(PROBE_SECONDS)
        lease = await wait_until_open(session, http, vault, access, lease)


async def close_access(session: AzureSession, vault: Vault, owner: str) -> list[Lease]:
    """Take back whatever the owner holds at the vault, and prove by reading that it is gone.

    :raises AccessNotRevoked: with the commands that finish the job by hand
    """
    mine = lease_id(owner, vault.id)
    return await end_leases(session, vault.id, which=lambda lease: lease.id == mine)


async def address_to_let_in(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access
) -> IPv4Address | None:
    """The address that the firewall is to let in; ``None`` when it need not be opened.

    :raises NetworkDenied: when it has to be, and must not
    """
    reach = await probe(session, vault.name)
    if access.network == "none":
        _require_sense(vault, access, reach, None)
        return None
    if access.network == "rule" or reach.state == "network":
        address = access.address or await egress_address(http, access.address_services)
        _require_sense(vault, access, reach, address)
        return address
    # Let in already; by a rule that other leases have made, it must be this one's as well.
    wall = await firewalls.firewall(session, vault.id)
    if not any(lease.address for lease in from_tags(wall.lease_tags)):
        return None
    try:
        address = access.address or await egress_address(http, access.address_services)
    except PratiqueError:
        return None  # inside the network nobody may be there to ask, and no rule is needed
    return address if wall.owned(address) else None


@dataclass(frozen=True)
class Needed:
    """What would have to be opened.

    :ivar principal: object id of this worker's identity
    :ivar role: GUID of the role that it lacks
    :ivar address: that the firewall would have to let in
    """

    principal: str
    role: str | None
    address: IPv4Address | None


async def required_access(session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access) -> Needed:
    """Look what :func:`open_access` would do; opens nothing.

    :raises NetworkDenied: when the firewall would have to be opened, and must not
    """
    caller = await session.caller()
    role = None if await _held(session, vault, access, caller) else access.role_definition
    return Needed(caller.object_id, role, await address_to_let_in(session, http, vault, access))


async def _make(session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, lease: Lease) -> Lease:
    """Make both halves, or find that they stand, and renew the lease.

    A cancellation lets the requests under way come to their end: nobody would revoke what is granted after we looked.
    """
    lease = replace(lease, expires=datetime.now(UTC) + timedelta(minutes=access.lease_minutes))
    address = lease.address or await address_to_let_in(session, http, vault, access)

    async def halves() -> Lease:
        return await _halves(session, vault, access, lease, address)

    try:
        return await run_to_completion(halves, patience=FINISH_SECONDS)
    except Conflict:
        # Another run has activated the role in the meantime: what it made is found now.
        if access.method != "pim":
            raise
        return await run_to_completion(halves, patience=FINISH_SECONDS)


async def _halves(
    session: AzureSession, vault: Vault, access: Access, lease: Lease, address: IPv4Address | None
) -> Lease:
    caller = await session.caller()
    held = await _held(session, vault, access, caller)
    lease = replace(lease, assignment=await _assignment(session, vault, access, lease, caller, held))
    # Both are awaited to their end even if one fails, so that nothing is still being opened while it is closed again.
    granted, recorded = await asyncio.gather(
        _grant(session, vault, access, lease, caller, held),
        firewalls.record_lease(session, vault.id, lease, address),
        return_exceptions=True,
    )
    if isinstance(granted, BaseException):
        raise granted
    if isinstance(recorded, BaseException):
        raise recorded
    return recorded


async def _held(session: AzureSession, vault: Vault, access: Access, caller: Caller) -> bool:
    """Whether the role is assigned: for ever, or by a lease."""
    role = access.role_definition
    return access.role == "none" or await roles.find_assignment(session, vault.id, role, caller.object_id) is not None


async def _assignment(
    session: AzureSession, vault: Vault, access: Access, lease: Lease, caller: Caller, held: bool
) -> str:
    """What gives the role to this lease; the same that gives it to others, if leases made it."""
    if access.role == "none":
        return ""
    if access.method == "assignment":
        return roles.assignment_name(vault.id, access.role_definition, caller.object_id)
    if not held:
        return pim.activation(lease)
    others = from_tags((await firewalls.firewall(session, vault.id)).lease_tags)
    # First what this lease was given before: another writer may just have undone its record.
    for named in dict.fromkeys((lease.assignment, *(other.assignment for other in others))):
        by_itself = named.startswith(pim.BY_ITSELF)
        if by_itself and await pim.serves(session, vault.id, named, access.role_definition, caller):
            return named
    return ""


async def _grant(session: AzureSession, vault: Vault, access: Access, lease: Lease, caller: Caller, held: bool) -> None:
    if held:
        return
    role = access.role_definition
    if access.method == "pim":
        await pim.activate(session, vault.id, role, caller, lease, minutes=access.lease_minutes)
    else:
        description = lease.description
        await roles.grant_role(session, vault.id, role, caller, name=lease.assignment, description=description)


async def _stands(session: AzureSession, vault: Vault, access: Access, lease: Lease, reach: Reach) -> bool:
    """Whether role, record and rule stand: what was taken away still lets us in for some minutes."""
    if reach.state == "network" and lease.address is None:
        return False
    held, wall = await asyncio.gather(
        _held(session, vault, access, await session.caller()), firewalls.firewall(session, vault.id)
    )
    return held and firewalls.recorded(wall, lease)


def _require_sense(vault: Vault, access: Access, reach: Reach, address: IPv4Address | None) -> None:
    """Refuse to wait for what cannot come.

    :raises PratiqueError: NetworkDenied or PermissionDenied
    """
    attempted = "enter the vault with the temporary access"
    if reach.state == "network" and access.network == "none":
        remedy = "access.network is 'none': run the worker where it has a private link to the vault, or say 'auto'."
        raise NetworkDenied(attempted, vault.name, reach.observed, remedy)
    if reach.state == "permission" and access.role == "none":
        remedy = "access.role is 'none': give the worker's identity the role permanently, or say 'auto'."
        raise PermissionDenied(attempted, vault.name, reach.observed, remedy)
    if reach.address is not None and address is not None and reach.address != str(address):
        raise NetworkDenied(
            attempted,
            vault.name,
            f"The vault sees {reach.address}, but the address to be let in is {address}: on the way to the vault this "
            "worker leaves its network by another address (NAT with several, or a proxy).",
            f"Set access.address to {reach.address} if it is yours and stays, or use a private link to the vault.",
        )


def _still_closed(vault: Vault, access: Access, reach: Reach) -> NotYetEffective:
    return NotYetEffective(
        "enter the vault with the temporary access",
        vault.name,
        f"After {access.opening_minutes:g} minutes it still refuses: {reach.observed}",
        "Run again; if it persists, look for a deny assignment, or a policy that keeps the vault closed.",
    )
