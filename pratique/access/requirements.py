"""What temporary access to a vault needs: a role, a firewall rule, or neither.

::

    required = await required_access(session, http, vault, access)
    required.role, required.address
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address

import httpx

from pratique.azure import roles
from pratique.azure.directory import egress_address
from pratique.azure.firewall import read_firewall, require_effective_rules
from pratique.azure.locks import ManagementLock, read_locks
from pratique.azure.network_rules import Firewall
from pratique.azure.session import AzureSession, Caller
from pratique.azure.vault import BY_ACCESS_POLICY, BY_ROLE, ProbeResult, Vault, probe
from pratique.config import Access
from pratique.errors import NetworkDenied, PermissionDenied, PratiqueError, ScopeLocked

ATTEMPTED = "open the vault with temporary access"
_POLICY = "Give the worker's identity get, list, import and recover for certificates in an access policy."


@dataclass(frozen=True)
class RequiredAccess:
    """What :func:`.grant.open_access` would open.

    :ivar principal: object id of this worker's identity
    :ivar role: GUID of the role that it lacks
    :ivar address: address that the firewall would let in
    """

    principal: str
    role: str | None
    address: IPv4Address | None


async def required_access(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access
) -> RequiredAccess:
    """Find out what :func:`.grant.open_access` would do. Opens nothing.

    :raises NetworkDenied: when a firewall rule is needed and ``access.network`` is ``none``
    """
    caller = await session.caller()
    role = None if await has_role(session, vault, access, caller) else access.role_definition
    return RequiredAccess(caller.object_id, role, await required_address(session, http, vault, access))


async def required_address(
    session: AzureSession, http: httpx.AsyncClient, vault: Vault, access: Access
) -> IPv4Address | None:
    """The address that needs a firewall rule; ``None`` when no rule is needed.

    :raises NetworkDenied: when a rule is needed and ``access.network`` is ``none``, or no rule would have an effect
    :raises PermissionDenied: when the vault uses access policies, and ``access.role`` is ``auto``
    """
    result, firewall = await asyncio.gather(probe(session, vault.name), read_firewall(session, vault.id))
    _require_roles(vault, access, firewall)
    is_about_rights = any(code in result.observed for code in (BY_ROLE, *BY_ACCESS_POLICY))
    if access.network == "rule" or (result.state != "open" and not is_about_rights):
        require_effective_rules(firewall, ATTEMPTED)
    if access.network == "none":
        require_possible(vault, access, result, None)
        return None
    if access.network == "rule" or result.state == "network":
        address = access.address or await egress_address(http, access.address_services)
        require_possible(vault, access, result, address)
        return address
    # The vault already lets the worker in. If other leases added that rule, this lease must share it.
    if not firewall.leased:
        return None
    try:
        address = access.address or await egress_address(http, access.address_services)
    except PratiqueError:
        return None  # inside the network the services may be unreachable, and no rule is needed
    return address if address in firewall.leased else None


def _require_roles(vault: Vault, access: Access, firewall: Firewall) -> None:
    """:raises PermissionDenied: when the role would have no effect"""
    if access.role == "auto" and not firewall.roles_count:
        raise PermissionDenied(
            ATTEMPTED,
            vault.name,
            "The vault uses access policies (enableRbacAuthorization is false), so a role has no effect.",
            f"Use roles: az keyvault update -n {vault.name} --enable-rbac-authorization true. Or keep the policies, "
            f"with 'none' for access.role. {_POLICY}",
        )


async def has_role(session: AzureSession, vault: Vault, access: Access, caller: Caller) -> bool:
    """Whether the role is assigned, permanently or by a lease, or none is needed."""
    return access.role == "none" or await find_role(session, vault, access, caller) is not None


async def find_role(session: AzureSession, vault: Vault, access: Access, caller: Caller) -> str | None:
    """Id of the assignment, permanent or by a lease, that gives the role; ``None`` without one or if none is needed."""
    if access.role == "none":
        return None
    return await roles.find_assignment(session, vault.id, access.role_definition, caller.object_id)


async def require_revocable(session: AzureSession, scope: str, *, temporary_role: bool) -> None:
    """Refuse access that could not be revoked, because a management lock forbids it.

    :param scope: ARM id of the vault, or of its resource group before there is a vault
    :param temporary_role: whether a role assignment has to be deleted in the end
    :raises ScopeLocked: with the locks and the commands that remove them
    :raises PermissionDenied: when the identity may not read locks
    """
    if locks := [lock for lock in await read_locks(session, scope) if temporary_role or not lock.only_keeps]:
        permanent = "give the worker's identity the role permanently and set access.role to 'none'"
        raise ScopeLocked(
            ATTEMPTED,
            scope.rpartition("/")[2],
            f"What is opened could not be revoked: {'; '.join(map(str, locks))}.",
            f"Remove the lock for the run, or ask its owner: {'; '.join(map(unlock_command, locks))}"
            f"{f'. Or {permanent}.' if all(lock.only_keeps for lock in locks) else ''}",
        )


async def check_locks(session: AzureSession, scope: str, access: Access) -> None:
    """Refuse in advance what :func:`require_revocable` would refuse to a run.

    :param scope: ARM id of the vault, or of its resource group before there is a vault
    """
    role, caller = access.role_definition, await session.caller()
    needed = access.role == "auto" and await roles.find_assignment(session, scope, role, caller.object_id) is None
    await require_revocable(session, scope, temporary_role=needed)


def unlock_command(lock: ManagementLock) -> str:
    return f"az lock delete --ids {lock.id}"


def require_possible(vault: Vault, access: Access, result: ProbeResult, address: IPv4Address | None) -> None:
    """Fail early when waiting cannot help.

    :raises PratiqueError: NetworkDenied or PermissionDenied
    """
    if result.state == "network" and access.network == "none":
        remedy = "access.network is 'none': run the worker where it has a private link to the vault, or set 'auto'."
        raise NetworkDenied(ATTEMPTED, vault.name, result.observed, remedy)
    if "ForbiddenByNsp" in result.observed:
        remedy = "Run the worker inside the perimeter, or with a private link, or add an access rule for its address."
        raise NetworkDenied(ATTEMPTED, vault.name, result.observed, remedy)
    if result.state == "permission" and access.role == "none":
        remedy = "access.role is 'none': give the worker's identity the role permanently, or set 'auto'."
        if any(code in result.observed for code in BY_ACCESS_POLICY):
            remedy = _POLICY
        raise PermissionDenied(ATTEMPTED, vault.name, result.observed, remedy)
    if result.address is not None and address is not None and result.address != str(address):
        raise NetworkDenied(
            ATTEMPTED,
            vault.name,
            f"The vault sees {result.address}, but the address to be let in is {address}: this worker leaves its "
            "network by another address on the way to the vault (NAT with several addresses, or a proxy).",
            f"Set access.address to {result.address} if it is yours and fixed, or use a private link to the vault.",
        )
