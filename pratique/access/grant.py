"""Temporary access to a vault: a role and a firewall rule, granted, checked, and revoked with proof.

::

    async with temporary_vault_access(session, http, vault, access, owner="flow-run/…") as lease:
        await keep_open(session, http, vault, access, lease, import_certificate)

The role and the rule are each created together with a record of their owner (:mod:`.lease`), so a sweep finds
everything that a dead run leaves. A role or rule that existed before is used and kept. What several runs share is
removed with the last of them. A run that ends may remove what a starting run was about to share, and of two writers of
the vault one undoes the other. So a run checks its access again once the vault lets it in, and opens it again if the
vault shuts it out.
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
from typing import Literal, TypeVar

import httpx

from pratique.access.requirements import (
    ATTEMPTED,
    find_role,
    has_role,
    require_possible,
    require_revocable,
    required_address,
)
from pratique.access.revoke import end_leases
from pratique.azure import pim, roles
from pratique.azure.firewall import is_recorded, read_firewall, record_lease
from pratique.azure.session import AzureSession, Caller
from pratique.azure.vault import BY_ROLE, ProbeResult, Vault, probe
from pratique.cancellation import run_to_completion
from pratique.config import Access
from pratique.errors import Conflict, NetworkDenied, NotYetEffective, PermanentError, PermissionDenied
from pratique.lease import TAG_PREFIX, Lease, lease_id

T = TypeVar("T")

PROBE_SECONDS = 2.0
#: After so many refused probes, check whether another run has removed the access.
_PROBES_PER_CHECK = 5
#: Time for a cancelled opening to finish its pending requests, so that nothing opens while the access is closed.
FINISH_SECONDS = 10.0


@dataclass(frozen=True)
class Deadline:
    """When a run gives up waiting for a vault: one for all its attempts, and never after its first lease has expired.

    :ivar at: by the monotonic clock
    :ivar minutes: that it waits
    """

    at: float
    minutes: float

    @classmethod
    def start(cls, access: Access) -> Deadline:
        minutes = min(access.opening_minutes, access.lease_minutes)
        return cls(time.monotonic() + minutes * 60, minutes)

    @property
    def passed(self) -> bool:
        return time.monotonic() > self.at


@asynccontextmanager
async def temporary_vault_access(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, *, owner: str
) -> AsyncIterator[Lease]:
    """Open access for the block, and revoke it however the block ends.

    :param owner: holder of the lease; the same owner has the same lease
    :raises AccessNotRevoked: when the access may still be open; a person has to act at once
    """
    try:
        lease = await open_access(session, http, vault, access, owner=owner)
        yield await wait_until_open(session, http, vault, access, lease)
    finally:
        await run_to_completion(lambda: close_access(session, vault, owner))


async def open_access(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, *, owner: str
) -> Lease:
    """Grant the role and open the firewall concurrently, each only if needed.

    :raises PratiqueError: when either fails. The other may have succeeded: :func:`close_access` revokes it
    """
    lease = Lease(id=lease_id(owner, vault.id), owner=owner, expires=datetime.now(UTC))
    return await _open(session, http, vault, access, lease)


async def wait_until_open(
    session: AzureSession,
    http: httpx.AsyncClient,
    vault: Vault,
    access: Access,
    lease: Lease,
    deadline: Deadline | None = None,
) -> Lease:
    """Probe the data plane until it lets this worker in and the lease's role, record and rule exist.

    The second check is needed because revoked access still works for some minutes.

    :param deadline: default: it starts now
    :returns: the current lease: access that others have removed in the meantime was opened again
    :raises PermissionDenied: when the vault keeps refusing until the deadline, or the role is missing and
        ``access.role`` is ``none``
    :raises NetworkDenied: when the vault keeps refusing until the deadline, or sees another address than the one that
        is let in
    :raises Conflict: when other runs keep removing the access
    """
    deadline = deadline or Deadline.start(access)
    for attempt in itertools.count(1):
        result = await probe(session, vault.name)
        require_possible(vault, access, result, lease.address)
        if result.state == "open" or attempt % _PROBES_PER_CHECK == 0:
            in_place = await _is_in_place(session, vault, access, lease, result)
            if in_place and result.state == "open":
                break
            if not in_place:
                lease = await _open(session, http, vault, access, lease)
        if deadline.passed:
            raise _still_closed(vault, deadline, result)
        await asyncio.sleep(PROBE_SECONDS)
    return lease


async def keep_open(
    session: AzureSession,
    http: httpx.AsyncClient,
    vault: Vault,
    access: Access,
    lease: Lease,
    work: Callable[[], Awaitable[T]],
    deadline: Deadline | None = None,
) -> T:
    """Do work that needs the access. If the vault refuses it, open the access again and repeat the work.

    :param work: may be repeated after :class:`~pratique.errors.NotYetEffective`
    :param deadline: default: it starts now
    :raises PratiqueError: PermissionDenied or NetworkDenied, when the vault keeps refusing until the deadline
    """
    deadline = deadline or Deadline.start(access)
    while True:
        try:
            return await work()
        except NotYetEffective as refused:
            if deadline.passed:
                state: Literal["permission", "network"] = "permission" if BY_ROLE in refused.observed else "network"
                raise _still_closed(vault, deadline, ProbeResult(state, None, refused.observed)) from None
        lease = await _open(session, http, vault, access, lease)
        await asyncio.sleep(PROBE_SECONDS)
        lease = await wait_until_open(session, http, vault, access, lease, deadline)


async def close_access(session: AzureSession, vault: Vault, owner: str) -> list[Lease]:
    """Revoke everything that the owner holds at the vault, and read back that it is gone.

    :raises AccessNotRevoked: with the commands that revoke it by hand
    """
    owned = lease_id(owner, vault.id)
    return await end_leases(session, vault.id, which=lambda lease: lease.id == owned, tag_names={TAG_PREFIX + owned})


async def _open(session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access, lease: Lease) -> Lease:
    """Grant the role and open the firewall, unless done already, and renew the lease.

    A cancellation waits for pending requests: nothing would revoke a role or a rule that is created afterwards.
    """
    lease = replace(lease, expires=datetime.now(UTC) + timedelta(minutes=access.lease_minutes))
    address = lease.address or await required_address(session, http, vault, access)

    async def grant_and_record() -> Lease:
        return await _grant_and_record(session, vault, access, lease, address)

    try:
        return await run_to_completion(grant_and_record, patience=FINISH_SECONDS)
    except Conflict:
        # Another run has activated the role in the meantime; the second attempt finds its activation.
        if access.method != "pim":
            raise
        return await run_to_completion(grant_and_record, patience=FINISH_SECONDS)


async def _grant_and_record(
    session: AzureSession, vault: Vault, access: Access, lease: Lease, address: IPv4Address | None
) -> Lease:
    caller = await session.caller()
    standing = await find_role(session, vault, access, caller)
    held = access.role == "none" or standing is not None
    lease = replace(lease, assignment=await _assignment(session, vault, access, lease, caller, held))
    await require_revocable(session, vault.id, temporary_role=_is_temporary(access, lease, standing))
    # Wait for both even if one fails, so that nothing opens while the access is closed.
    granted, recorded = await asyncio.gather(
        _grant(session, vault, access, lease, caller, held),
        record_lease(session, vault.id, lease, address),
        return_exceptions=True,
    )
    if isinstance(granted, BaseException):
        raise granted
    if isinstance(recorded, BaseException):
        raise recorded
    return recorded


def _is_temporary(access: Access, lease: Lease, standing: str | None) -> bool:
    """Whether the lease's end has to take the role away.

    :param standing: id of the assignment that gives the role already
    """
    if access.role == "none" or access.method == "pim":
        return bool(lease.assignment)
    return standing is None or standing.rpartition("/")[2].lower() == lease.assignment


async def _assignment(
    session: AzureSession, vault: Vault, access: Access, lease: Lease, caller: Caller, held: bool
) -> str:
    """What gives the role to this lease. If other leases have created it already, this lease shares it."""
    if access.role == "none":
        return ""
    if access.method == "assignment":
        return roles.assignment_name(vault.id, access.role_definition, caller.object_id)
    if not held:
        return pim.activation_name(lease)
    others = (await read_firewall(session, vault.id)).records.leases
    # First try the lease's earlier activation: another writer may have undone its record.
    for name in dict.fromkeys((lease.assignment, *(other.assignment for other in others))):
        is_activation = name.startswith(pim.ACTIVATION_PREFIX)
        if is_activation and await pim.grants_role(session, vault.id, name, access.role_definition, caller):
            return name
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


async def _is_in_place(session: AzureSession, vault: Vault, access: Access, lease: Lease, result: ProbeResult) -> bool:
    """Whether the role, the record and the rule exist: removed access still works for some minutes."""
    if result.state == "network" and lease.address is None:
        return False
    held, firewall = await asyncio.gather(
        has_role(session, vault, access, await session.caller()), read_firewall(session, vault.id)
    )
    return held and is_recorded(firewall, lease)


def _still_closed(vault: Vault, deadline: Deadline, result: ProbeResult) -> PermanentError:
    """The error after the deadline. It is permanent, so that no retry waits as long once more."""
    after = f"after {deadline.minutes:g} minutes"
    if result.state == "open":
        remedy = "Run again when no other run ends or sweeps its access."
        return Conflict(ATTEMPTED, vault.name, f"Other writers still remove the access {after}.", remedy)
    return (NetworkDenied if result.state == "network" else PermissionDenied)(
        ATTEMPTED,
        vault.name,
        f"The vault still refuses {after}: {result.observed}",
        "Run again; if it persists, look for a deny assignment, or a policy that keeps the vault closed.",
    )
