"""A vault's firewall, opened for one address under a lease and closed again.

::

    await open_firewall(session, vault_id, address, ("pratique-lease-7f3a", '{"address": "203.0.113.10", …}'))
    ...
    await close_firewall(session, vault_id, address, "pratique-lease-7f3a")

The rule and the tag that says whose it is travel in one PATCH. A PATCH replaces whole lists and all tags, and knows no
ETag, so of two writers at once the slower wins: every change is read back, and made again when it is gone.

Facts: Microsoft.KeyVault/vaults REST API; Key Vault network security.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Any

from azure.mgmt.keyvault import models

from pratique.azure.faults import azure_faults
from pratique.azure.resource_ids import ResourceId
from pratique.azure.session import AzureSession
from pratique.azure.wire import word
from pratique.errors import Conflict, NetworkDenied, PratiqueError, Unavailable
from pratique.lease import TAG_PREFIX

LONGEST_TAG = 256  # characters; Azure's limit for a tag's value
ATTEMPTS = 5
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
        return {name: value for name, value in self.tags.items() if name.startswith(TAG_PREFIX)}

    def rule_for(self, address: IPv4Address) -> str | None:
        """The rule that lets the address in: its own one before a wider one."""
        covering = [rule for rule in self.ip_rules if address in _network(rule)]
        return max(covering, key=lambda rule: _network(rule).prefixlen, default=None)

    def leased(self, address: IPv4Address) -> frozenset[str]:
        """Names of the lease tags that name the address."""
        return frozenset(name for name, value in self.lease_tags.items() if _address(value) == str(address))

    def owned(self, address: IPv4Address) -> bool:
        """Whether leases made the address's own rule."""
        return bool(self.leased(address)) and IPv4Network(address) in map(_network, self.ip_rules)


@dataclass(frozen=True)
class Opening:
    """How the address is let in.

    :ivar rule: the rule, or an empty string when the firewall lets everybody in
    :ivar created_by_us: whether leases made the rule, so that it must be closed
    """

    rule: str
    created_by_us: bool


@dataclass(frozen=True)
class _Change:
    """Complete lists to be written."""

    rules: tuple[str, ...]
    tags: dict[str, str]


async def firewall(session: AzureSession, vault_id: str) -> Firewall:
    """Read a vault's network rules and lease tags."""
    return _firewall(await _get(session, vault_id))


async def open_firewall(
    session: AzureSession, vault_id: str, address: IPv4Address, lease_tag: tuple[str, str]
) -> Opening:
    """Let one address in under a lease.

    An address that is let in already, by a rule that no lease made, is left alone, and no tag is written.

    :param lease_tag: name (with :data:`pratique.lease.TAG_PREFIX`) and value (JSON with the key ``address``)
    :raises NetworkDenied: when the vault takes no public traffic at all
    :raises Conflict: when other writers undid the change five times
    :raises ValueError: for a tag that is none of a lease, or too long
    """
    attempted, (name, value) = "open the vault's firewall", lease_tag
    if not name.startswith(TAG_PREFIX) or len(value) > LONGEST_TAG or _address(value) != str(address):
        raise ValueError(f"not a lease tag for {address}: {name}")

    def opened(now: Firewall) -> _Change | None:
        if now.public_network_access == "Disabled":
            raise NetworkDenied(
                attempted,
                vault_id,
                "Public network access is disabled, so no rule lets anybody in.",
                "Run the worker inside the network, with a private link to the vault.",
            )
        rule = now.rule_for(address)
        if now.default_action == "Allow" or (rule and (not now.owned(address) or now.tags.get(name) == value)):
            return None
        return _Change(now.ip_rules if rule else (*now.ip_rules, f"{address}/32"), {**now.tags, name: value})

    after = await _converge(session, vault_id, attempted, name, opened)
    if after.default_action == "Allow":
        return Opening("", False)
    return Opening(after.rule_for(address) or "", after.owned(address))


async def close_firewall(
    session: AzureSession, vault_id: str, address: IPv4Address | None, lease_tag_name: str
) -> None:
    """End a lease's opening: its tag goes, and with the last tag that names the address, the rule.

    Without the tag nothing is removed: the rule is then not the lease's.

    :param address: that the lease let in; ``None`` for a lease without a rule, or one that nobody can read
    :raises Conflict: when other writers undid the change five times
    """

    def closed(now: Firewall) -> _Change | None:
        if lease_tag_name not in now.tags:
            return None
        rules = now.ip_rules
        if address is not None and not now.leased(address) - {lease_tag_name}:
            rules = tuple(rule for rule in rules if _network(rule) != IPv4Network(address))
        return _Change(rules, {name: value for name, value in now.tags.items() if name != lease_tag_name})

    await _converge(session, vault_id, "close the vault's firewall", lease_tag_name, closed)


async def _converge(
    session: AzureSession, vault_id: str, attempted: str, tag: str, plan: Callable[[Firewall], _Change | None]
) -> Firewall:
    """Write what the plan asks for until it asks for nothing more.

    Where other leases are about, their writers may have read before this write and write after it: then the good news
    counts only when it lasts.
    """
    written, crowded, lasted = 0, False, False
    while True:
        vault = await _get(session, vault_id)
        now = _firewall(vault)
        crowded = crowded or bool(now.lease_tags.keys() - {tag})
        change = plan(now)
        if change is None:
            if lasted or not (written and crowded):
                return now
            lasted = True
            await asyncio.sleep(SETTLE_SECONDS)
            continue
        if written == ATTEMPTS:
            raise _undone(attempted, vault_id)
        await _patch(session, vault_id, vault, change)
        written, lasted = written + 1, False


async def _get(session: AzureSession, vault_id: str) -> models.Vault:
    at = ResourceId.parse(vault_id)
    with azure_faults("read the vault", vault_id):
        return await session.vaults.vaults.get(at.group, at.name)


async def _patch(session: AzureSession, vault_id: str, vault: models.Vault, change: _Change) -> None:
    """Write the complete lists; a lost answer is no error, since the caller reads back."""
    at = ResourceId.parse(vault_id)
    present = vault.properties.network_acls
    acls: dict[str, Any] = present.as_dict() if present else {"bypass": "AzureServices", "defaultAction": "Deny"}
    acls["ipRules"] = [{"value": rule} for rule in change.rules]
    body = models.VaultPatchParameters({"tags": change.tags, "properties": {"networkAcls": acls}})
    try:
        with azure_faults("change the vault's firewall", vault_id):
            await session.vaults.vaults.update(at.group, at.name, body)
    except Unavailable:
        return


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


def _address(value: str) -> str | None:
    try:
        document = json.loads(value)
    except ValueError:
        return None
    return document.get("address") if isinstance(document, dict) else None


def _undone(attempted: str, vault_id: str) -> PratiqueError:
    return Conflict(
        attempted,
        vault_id,
        f"The change was not there when read back, {ATTEMPTS} times.",
        "See who else changes the vault's network rules: az monitor activity-log list --resource-id <vault>",
    )
