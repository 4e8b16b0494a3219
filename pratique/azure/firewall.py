"""A vault's firewall and its lease tags: opens the firewall for an address under a lease, and closes it again.

::

    recorded = await record_lease(session, vault_id, lease, address)
    ...
    await erase_leases(session, vault_id, {lease.tag_name})

One PATCH writes the rule and the tag that names its owner. A PATCH replaces whole lists and all tags, and supports no
ETag, so of two concurrent writers the slower one wins: every change is read back, and made again if it was lost. One
loss is unavoidable: a rule that another writer adds between the GET and the PATCH here.

Facts: Microsoft.KeyVault/vaults REST API; Key Vault network security.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any

from azure.mgmt.keyvault import models

from pratique.azure.faults import azure_faults
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.wire import enum_value
from pratique.errors import Conflict, NetworkDenied, PratiqueError, Throttled, Unavailable
from pratique.lease import TAG_PREFIX, Lease, from_tags

LONGEST_TAG = 256  # characters; Azure's limit for a tag's value
ATTEMPTS = 20  # enough for as many concurrent writers
MAX_REFUSALS = 3  # consecutive refusals before a refusal counts as final
SETTLE_SECONDS = 3.0  # longer than another writer takes from its GET to the end of its PATCH


@dataclass(frozen=True)
class Firewall:
    """A vault's network rules.

    :ivar ip_rules: addresses and networks, as Azure writes them
    :ivar tags: all tags of the vault
    :ivar default_action: ``Allow`` or ``Deny``, for addresses without a rule
    :ivar public_network_access: ``Enabled`` or ``Disabled``; when disabled, rules have no effect
    """

    ip_rules: tuple[str, ...]
    tags: Mapping[str, str]
    default_action: str
    public_network_access: str

    @property
    def lease_tags(self) -> dict[str, str]:
        """The leases' tags. Each value is JSON with the key ``address``."""
        return {name: value for name, value in self.tags.items() if _is_lease(name)}

    def rule_for(self, address: IPv4Address) -> str | None:
        """The most specific rule that lets the address in."""
        covering = [rule for rule in self.ip_rules if address in _network(rule)]
        return max(covering, key=lambda rule: _network(rule).prefixlen, default=None)

    def has_lease_rule(self, address: IPv4Address) -> bool:
        """Whether leases added the rule for exactly this address."""
        leased = any(_address(value) == address for value in self.lease_tags.values())
        return leased and IPv4Network(address) in map(_network, self.ip_rules)


@dataclass(frozen=True)
class _Change:
    """The complete lists to write."""

    rules: tuple[str, ...]
    tags: dict[str, str]


async def read_firewall(session: AzureSession, vault_id: str) -> Firewall:
    """Read a vault's network rules and tags."""
    return _firewall(await _get(session, vault_id))


async def record_lease(session: AzureSession, vault_id: str, lease: Lease, address: IPv4Address | None) -> Lease:
    """Write the lease's tag and, in the same PATCH, a rule for the address.

    No rule is added if a rule that no lease has added already lets the address in. Another writer may still undo the
    record after it was read back here, so check it again before you rely on it (:func:`is_recorded`).

    :param address: address to let in; ``None`` for a lease without a rule
    :returns: the lease as recorded: with the address if leases added the rule
    :raises NetworkDenied: when the vault accepts no public traffic at all
    :raises Conflict: when other writers keep undoing the change
    """
    attempted = "record the lease on the vault"

    def plan(current: Firewall) -> _Change | None:
        if address is not None and current.public_network_access == "Disabled":
            raise NetworkDenied(
                attempted,
                vault_id,
                "Public network access is disabled, so firewall rules have no effect.",
                "Run the worker inside the network, with a private link to the vault.",
            )
        record = _as_recorded(current, lease, address)
        if is_recorded(current, record):
            return None
        if len(record.tag_value) > LONGEST_TAG:
            raise ValueError(f"the lease's record is too long for a tag: {len(record.tag_value)} characters")
        rule = (f"{record.address}/32",) if record.address and current.rule_for(record.address) is None else ()
        return _Change((*current.ip_rules, *rule), {**current.tags, lease.tag_name: record.tag_value})

    return _as_recorded(await _converge(session, vault_id, attempted, plan), lease, address)


def is_recorded(current: Firewall, lease: Lease) -> bool:
    """Whether the vault has the lease's tag, and its rule if it has one."""
    lets_in = lease.address is None or current.default_action == "Allow" or current.rule_for(lease.address) is not None
    return lets_in and current.tags.get(lease.tag_name) == lease.tag_value


async def erase_leases(session: AzureSession, vault_id: str, tag_names: Collection[str]) -> None:
    """Remove the leases' tags, and each address's rule with the last tag that names the address.

    A rule without a tag is kept, because no lease added it. Another writer that read the vault earlier may write the
    tags back, even tags that were missing for a moment because a third writer had not seen them, so the removal counts
    only if it lasts for a while.

    :raises Conflict: when other writers keep undoing the change
    """

    def plan(current: Firewall) -> _Change | None:
        removed = {name: value for name, value in current.lease_tags.items() if name in tag_names}
        if not removed:
            return None
        kept = {name: value for name, value in current.tags.items() if name not in removed}
        still_leased = {_address(value) for name, value in kept.items() if _is_lease(name)}
        addresses = {_address(value) for value in removed.values()} - still_leased
        rules = {IPv4Network(address) for address in addresses if address is not None}
        return _Change(tuple(rule for rule in current.ip_rules if _network(rule) not in rules), kept)

    await _converge(session, vault_id, "remove the lease from the vault", plan, lasting=True)


def _as_recorded(current: Firewall, lease: Lease, address: IPv4Address | None) -> Lease:
    """The lease with the address only if leases added its rule, or have to add it."""
    if address is None or current.default_action == "Allow":
        return replace(lease, address=None)
    lease_rule = current.rule_for(address) is None or current.has_lease_rule(address) or lease.address == address
    return replace(lease, address=address if lease_rule else None)


async def _converge(
    session: AzureSession,
    vault_id: str,
    attempted: str,
    plan: Callable[[Firewall], _Change | None],
    *,
    lasting: bool = False,
) -> Firewall:
    """Write the changes that the plan returns until it returns none.

    :param lasting: whether the plan must still return none some seconds later, also when nothing had to be written
    """
    written, refused, settling = 0, 0, False
    while True:
        vault = await _get(session, vault_id)
        current = _firewall(vault)
        change = plan(current)
        if change is None:
            if settling or not lasting:
                return current
            settling = True
            await _settle()
            continue
        if written == ATTEMPTS:
            raise _undone(attempted, vault_id)
        refusal = await _patch(session, vault_id, vault, change)
        refused = refused + 1 if refusal is not None else 0
        if refusal is not None and refused == MAX_REFUSALS:
            raise refusal
        written, settling = written + 1, False
        if written > 1:  # undone or refused before: a random pause keeps the writers from colliding again
            await asyncio.sleep(random.uniform(0, SETTLE_SECONDS / 3))  # noqa: S311  # no secret


async def _settle() -> None:
    """Wait until every writer that has read the vault earlier has written it."""
    await asyncio.sleep(SETTLE_SECONDS)


async def _get(session: AzureSession, vault_id: str) -> models.Vault:
    at = ResourceId.parse(vault_id)
    with azure_faults("read the vault", vault_id):
        return await session.vaults.vaults.get(at.group, at.name)


async def _patch(session: AzureSession, vault_id: str, vault: models.Vault, change: _Change) -> PratiqueError | None:
    """Write the complete lists once: a retry by the SDK would write values that are out of date.

    :returns: an error that another attempt may avoid: the answer was lost, or another writer interfered
    """
    at = ResourceId.parse(vault_id)
    body: dict[str, Any] = {"tags": change.tags}
    if (acls := vault.properties.network_acls) is not None:
        # Always write both: tags alone, if out of date, would separate a rule from the tag that names its owner.
        rules = [{"value": rule} for rule in change.rules]
        body["properties"] = {"networkAcls": {**acls.as_dict(), "ipRules": rules}}
    try:
        with azure_faults("change the vault's firewall", vault_id):
            await session.vaults.vaults.update(at.group, at.name, models.VaultPatchParameters(body), retry_total=0)
    except Throttled as throttled:
        await asyncio.sleep(1 if throttled.retry_after is None else throttled.retry_after)
        return throttled
    except (Unavailable, Conflict) as refusal:
        return refusal
    return None


def _firewall(vault: models.Vault) -> Firewall:
    acls = vault.properties.network_acls
    return Firewall(
        ip_rules=tuple(rule.value for rule in (acls.ip_rules if acls else None) or ()),
        tags=dict(vault.tags or {}),
        default_action=enum_value(acls.default_action) or "Allow" if acls else "Allow",
        public_network_access=(enum_value(vault.properties.public_network_access) or "Enabled").capitalize(),
    )


def _network(rule: str) -> IPv4Network | IPv6Network:
    return ip_network(rule, strict=False)


def _is_lease(tag_name: str) -> bool:
    return tag_name.startswith(TAG_PREFIX)


def _address(value: str) -> IPv4Address | None:
    (lease,) = from_tags({TAG_PREFIX: value})
    return lease.address


def _undone(attempted: str, vault_id: str) -> PratiqueError:
    return Conflict(
        attempted,
        vault_id,
        f"Other writers undid the change {ATTEMPTS} times.",
        "Find out who else changes the vault's network rules: az monitor activity-log list --resource-id <vault>",
    )
