"""A vault's network rules and tags, as Azure Resource Manager shows them.

Facts: Microsoft.KeyVault/vaults REST API; Microsoft Learn, "Transition to a network security perimeter".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from pratique.azure.rule_marks import marks
from pratique.azure.wire import enum_value
from pratique.lease import Records, read_tags

if TYPE_CHECKING:
    from azure.mgmt.keyvault import models


@dataclass(frozen=True, kw_only=True)
class Firewall:
    """A vault's network rules, and what else decides who gets in.

    :ivar vault_id: ARM id of the vault
    :ivar ip_rules: addresses and networks, as Azure writes them
    :ivar tags: all tags of the vault
    :ivar default_action: ``Allow`` or ``Deny``, for addresses without a rule
    :ivar public_network_access: ``Enabled``, ``Disabled`` or ``SecuredByPerimeter``; rules only have an effect if
        enabled
    :ivar roles_count: whether roles decide who may read certificates; if not, access policies do
    """

    vault_id: str
    ip_rules: tuple[str, ...]
    tags: Mapping[str, str]
    default_action: str
    public_network_access: str
    roles_count: bool = True

    @classmethod
    def of(cls, vault_id: str, vault: models.Vault) -> Firewall:
        acls = vault.properties.network_acls
        return cls(
            vault_id=vault_id,
            ip_rules=tuple(rule.value for rule in (acls.ip_rules if acls else None) or ()),
            tags=dict(vault.tags or {}),
            default_action=enum_value(acls.default_action) or "Allow" if acls else "Allow",
            public_network_access=enum_value(vault.properties.public_network_access) or "Enabled",
            roles_count=bool(vault.properties.enable_rbac_authorization),
        )

    @cached_property
    def records(self) -> Records:
        """The leases' records among the tags."""
        return read_tags(self.tags, self.vault_id)

    @cached_property
    def leased(self) -> frozenset[IPv4Address]:
        """The addresses for which leases have made a rule: those whose rule has its mark."""
        networks = frozenset(map(network, self.ip_rules))
        return frozenset(address for address in self.alone if not networks.isdisjoint(marks(self.vault_id, address)))

    @cached_property
    def alone(self) -> frozenset[IPv4Address]:
        """The addresses that have a rule of their own."""
        return frozenset(
            rule.network_address
            for rule in map(network, self.ip_rules)
            if isinstance(rule, IPv4Network) and rule.prefixlen == rule.max_prefixlen
        )

    @property
    def ignores_rules(self) -> bool:
        """Whether rules have no effect on anybody."""
        return self.public_network_access.lower() in ("disabled", "securedbyperimeter")

    def rule_for(self, address: IPv4Address) -> str | None:
        """The most specific rule that lets the address in."""
        covering = [rule for rule in self.ip_rules if address in network(rule)]
        return max(covering, key=lambda rule: network(rule).prefixlen, default=None)

    def rules_of(self, address: IPv4Address) -> list[str]:
        """The rule for exactly this address, and its mark."""
        networks = {IPv4Network(address), *marks(self.vault_id, address)}
        return [rule for rule in self.ip_rules if network(rule) in networks]


def network(rule: str) -> IPv4Network | IPv6Network:
    """The network that a rule lets in."""
    return ip_network(rule, strict=False)
