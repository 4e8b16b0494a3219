"""What temporary access to a vault needs: a role, a firewall rule, or neither.

::

    required = await required_access(session, http, vault, access)
    required.role, required.address
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

import httpx

from pratique.azure import roles
from pratique.azure.directory import egress_address
from pratique.azure.firewall import read_firewall
from pratique.azure.session import AzureSession, Caller
from pratique.azure.vault import ProbeResult, Vault, probe
from pratique.config import Access
from pratique.errors import NetworkDenied, PermissionDenied, PratiqueError
from pratique.lease import from_tags

ATTEMPTED = "open the vault with temporary access"


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

    :raises NetworkDenied: when a rule is needed and ``access.network`` is ``none``
    """
    result = await probe(session, vault.name)
    if access.network == "none":
        require_possible(vault, access, result, None)
        return None
    if access.network == "rule" or result.state == "network":
        address = access.address or await egress_address(http, access.address_services)
        require_possible(vault, access, result, address)
        return address
    # The vault already lets the worker in. If other leases added that rule, this lease must share it.
    firewall = await read_firewall(session, vault.id)
    if not any(lease.address for lease in from_tags(firewall.lease_tags)):
        return None
    try:
        address = access.address or await egress_address(http, access.address_services)
    except PratiqueError:
        return None  # inside the network the services may be unreachable, and no rule is needed
    return address if firewall.has_lease_rule(address) else None


async def has_role(session: AzureSession, vault: Vault, access: Access, caller: Caller) -> bool:
    """Whether the role is assigned, permanently or by a lease."""
    role = access.role_definition
    return access.role == "none" or await roles.find_assignment(session, vault.id, role, caller.object_id) is not None


def require_possible(vault: Vault, access: Access, result: ProbeResult, address: IPv4Address | None) -> None:
    """Fail early when waiting cannot help.

    :raises PratiqueError: NetworkDenied or PermissionDenied
    """
    if result.state == "network" and access.network == "none":
        remedy = "access.network is 'none': run the worker where it has a private link to the vault, or set 'auto'."
        raise NetworkDenied(ATTEMPTED, vault.name, result.observed, remedy)
    if result.state == "permission" and access.role == "none":
        remedy = "access.role is 'none': give the worker's identity the role permanently, or set 'auto'."
        raise PermissionDenied(ATTEMPTED, vault.name, result.observed, remedy)
    if result.address is not None and address is not None and result.address != str(address):
        raise NetworkDenied(
            ATTEMPTED,
            vault.name,
            f"The vault sees {result.address}, but the address to be let in is {address}: this worker leaves its "
            "network by another address on the way to the vault (NAT with several addresses, or a proxy).",
            f"Set access.address to {result.address} if it is yours and fixed, or use a private link to the vault.",
        )
