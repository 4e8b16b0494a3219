"""A vault's firewall and its leases: opened for one address under a lease, and closed again.

::

    recorded = await record_lease(session, vault_id, lease, address)
    ...
    await erase_leases(session, vault_id, {lease.tag_name})

The rule and the tag that says whose it is travel in one PATCH. A PATCH replaces whole lists and all tags, and knows no
ETag, so of two writers at once the slower wins: every change is read back, and made again when it is gone. What cannot
be helped: a rule that somebody else adds in the moment between our GET and our PATCH is lost, as between any two.

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
from pratique.azure.wire import word
from pratique.errors import Conflict, NetworkDenied, PratiqueError, Throttled, Unavailable
from pratique.lease import TAG_PREFIX, Lease, from_tags

LONGEST_TAG = 256  # characters; Azure's limit for a tag's value
ATTEMPTS = 20  # to have a change stay, among as many writers
REFUSALS = 3  # in a row, after which Azure is taken at its word
SETTLE_SECONDS = 3.0  # longer than another writer takes from its GET to the end of its PATCH


@dataclass(frozen=True)
class Firewall:
    """A vault's network rules.

    :ivar ip_rules: addresses and networks, as Azure writes them
    :ivar tags: all tags of the vault
    :ivar default_action: ``Allow`` or ``Deny`` for everybody else
    :ivar public_network_access: ``Enabled`` or ``Disabled``; when disabled, rules let nobody in
    """

    ip_rules: tuple[str, ...]
    tags: Mapping[str, str]
    default_action: str
    public_network_access: str

    @property
    def lease_tags(self) -> dict[str, str]:
        """The tags of leases: each value is JSON with the key ``address``."""
        return {name: value for name, value in self.tags.items() if _is_lease(name)}

    def rule_for(self, address: IPv4Address) -> str | None:
        """The rule that lets the address in: its own one before a wider one."""
        covering = [rule for rule in self.ip_rules if address in _network(rule)]
        return max(covering, key=lambda rule: _network(rule).prefixlen, default=None)

    def leased(self, address: IPv4Address) -> frozenset[str]:
        """Names of the lease tags that name the address."""
        return frozenset(name for name, value in self.lease_tags.items() if _address(value) == address)

    def owned(self, address: IPv4Address) -> bool:
        """Whether leases made the address's own rule."""
        return bool(self.leased(address)) and IPv4Network(address) in map(_network, self.ip_rules)


@dataclass(frozen=True)
class _Change:
    """Complete lists to be written."""

    rules: tuple[str, ...]
    tags: dict[str, str]


async def firewall(session: AzureSession, vault_id: str) -> Firewall:
    """Read a vault's network rules and lease tags."""
    return _firewall(await _get(session, vault_id))


async def record_lease(session: AzureSession, vault_id: str, lease: Lease, address: IPv4Address | None) -> Lease:
    """Write the lease's tag, and in the same PATCH the rule that lets an address in.

    An address that is let in already, by a rule that no lease made, needs no rule of the lease's. Another writer may
    undo the record later than it is read back here: whoever relies on it looks again (:func:`recorded`).

    :param address: to be let in; ``None`` for a lease without a rule
    :returns: the lease as recorded: with the address if the rule is the leases'
    :raises NetworkDenied: when the vault takes no public traffic at all
    :raises Conflict: when other writers undid the change again and again
    """
    attempted = "record the lease on the vault"

    def plan(now: Firewall) -> _Change | None:
        if address is not None and now.public_network_access == "Disabled":
            raise NetworkDenied(
                attempted,
                vault_id,
                "Public network access is disabled, so no rule lets anybody in.",
                "Run the worker inside the network, with a private link to the vault.",
            )
        mine = _as_recorded(now, lease, address)
        if recorded(now, mine):
            return None
        if len(mine.tag_value) > LONGEST_TAG:
            raise ValueError(f"the lease's record is too long for a tag: {len(mine.tag_value)} characters")
        rule = (f"{mine.address}/32",) if mine.address and now.rule_for(mine.address) is None else ()
        return _Change((*now.ip_rules, *rule), {**now.tags, lease.tag_name: mine.tag_value})

    return _as_recorded(await _converge(session, vault_id, attempted, plan), lease, address)


def recorded(now: Firewall, lease: Lease) -> bool:
    """Whether the lease's record stands, and its rule if it has one."""
    lets_in = lease.address is None or now.default_action == "Allow" or now.rule_for(lease.address) is not None
    return lets_in and now.tags.get(lease.tag_name) == lease.tag_value


async def erase_leases(session: AzureSession, vault_id: str, tag_names: Collection[str]) -> None:
    """End records of leases: the tags go, and with the last tag that names an address, its rule.

    Without the tag nothing is removed: whatever stands there is then not the lease's. A writer that had read the vault
    before writes the tags back with what it changes: the good news counts only when it lasts.

    :raises Conflict: when other writers undid the change again and again
    """

    def plan(now: Firewall) -> _Change | None:
        gone = {name: value for name, value in now.lease_tags.items() if name in tag_names}
        if not gone:
            return None
        kept = {name: value for name, value in now.tags.items() if name not in gone}
        needed = {_address(value) for name, value in kept.items() if _is_lease(name)}
        closed = {_address(value) for value in gone.values()} - needed
        rules = {IPv4Network(address) for address in closed if address is not None}
        return _Change(tuple(rule for rule in now.ip_rules if _network(rule) not in rules), kept)

    await _converge(session, vault_id, "erase the lease from the vault", plan, lasting=True)


def _as_recorded(now: Firewall, lease: Lease, address: IPv4Address | None) -> Lease:
    """With the address only if its rule is, or has to be, made by leases."""
    if address is None or now.default_action == "Allow":
        return replace(lease, address=None)
    made_by_leases = now.rule_for(address) is None or now.owned(address) or lease.address == address
    return replace(lease, address=address if made_by_leases else None)


async def _converge(
    session: AzureSession,
    vault_id: str,
    attempted: str,
    plan: Callable[[Firewall], _Change | None],
    *,
    lasting: bool = False,
) -> Firewall:
    """Write what the plan asks for until it asks for nothing more.

    :param lasting: whether that must still be so a while after the last writing
    """
    written, refused, settling = 0, 0, False
    while True:
        vault = await _get(session, vault_id)
        now = _firewall(vault)
        change = plan(now)
        if change is None:
            if settling or not (written and lasting):
                return now
            settling = True
            await asyncio.sleep(SETTLE_SECONDS)
            continue
        if written == ATTEMPTS:
            raise _undone(attempted, vault_id)
        refusal = await _patch(session, vault_id, vault, change)
        refused = refused + 1 if refusal is not None else 0
        if refusal is not None and refused == REFUSALS:
            raise refusal
        written, settling = written + 1, False
        if written > 1:  # undone or refused already: the writers are given different moments to come first
            await asyncio.sleep(random.uniform(0, SETTLE_SECONDS / 3))  # noqa: S311  # no secret


async def _get(session: AzureSession, vault_id: str) -> models.Vault:
    at = ResourceId.parse(vault_id)
    with azure_faults("read the vault", vault_id):
        return await session.vaults.vaults.get(at.group, at.name)


async def _patch(session: AzureSession, vault_id: str, vault: models.Vault, change: _Change) -> PratiqueError | None:
    """Write the complete lists, once: a repetition by the SDK would write what was read too long ago.

    :returns: a refusal that may be none: the answer was lost, or another writer was in the way
    """
    at = ResourceId.parse(vault_id)
    body: dict[str, Any] = {"tags": change.tags}
    if (acls := vault.properties.network_acls) is not None:
        # Always both: tags alone, read too long ago, would part a rule from the tag that says whose it is.
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
        default_action=word(acls.default_action) or "Allow" if acls else "Allow",
        public_network_access=(word(vault.properties.public_network_access) or "Enabled").capitalize(),
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
        f"The change was not there when read back, {ATTEMPTS} times.",
        "See who else changes the vault's network rules: az monitor activity-log list --resource-id <vault>",
    )
