"""A vault's firewall: valid rules, and which of them are in effect.

Source: Microsoft Learn, "Configure network security for Azure Key Vault": up to 1,000 rules, public IPv4 addresses or
ranges in CIDR notation.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from sandbox.core.errors import HttpFault, arm_fault

MOST_RULES = 1000

_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


@dataclass(frozen=True)
class NetworkRules:
    """The clients that can reach a vault's data plane from the Internet.

    :ivar public: whether public network access is enabled
    :ivar perimeter: whether only the rules of a network security perimeter admit clients; here it has none
    :ivar closed: whether it is limited to the ranges
    """

    public: bool = True
    perimeter: bool = False
    closed: bool = False
    ranges: tuple[ipaddress.IPv4Network, ...] = ()

    @classmethod
    def of(cls, properties: dict[str, Any]) -> NetworkRules:
        """The rules in a vault's ARM properties."""
        acls, access = properties.get("networkAcls") or {}, properties.get("publicNetworkAccess", "Enabled").lower()
        return cls(
            public=access != "disabled",
            perimeter=access == "securedbyperimeter",
            closed=acls.get("defaultAction", "Allow").lower() == "deny",
            ranges=tuple(ipaddress.IPv4Network(rule["value"]) for rule in acls.get("ipRules") or []),
        )

    def allows(self, address: str) -> bool:
        return not self.closed or any(ipaddress.ip_address(address) in known for known in self.ranges)


@dataclass
class Firewall:
    """The rules of one vault over time: each change takes effect after a delay."""

    _history: list[tuple[float, NetworkRules]] = field(default_factory=list)

    def change(self, rules: NetworkRules, at: float, effective: float) -> None:
        """Set new rules; those of a new vault take effect immediately.

        :param at: Azure seconds
        :param effective: Azure seconds at which they take effect
        """
        if not self._history:
            self._history.append((at, rules))
        elif rules != self._history[-1][1]:
            self._history.append((effective, rules))

    def rules(self, at: float) -> NetworkRules:
        """The rules in effect."""
        while len(self._history) > 1 and self._history[1][0] <= at:
            self._history.pop(0)
        return self._history[0][1]


def network_acls(requested: dict[str, Any]) -> dict[str, Any]:
    """``networkAcls`` as ARM shows them, with every address as a range.

    :raises HttpFault: 400 for a rule that Key Vault refuses
    """
    rules = requested.get("ipRules") or []
    if len(rules) > MOST_RULES:
        raise _refused("properties.networkAcls.ipRules", f"{len(rules)} rules are more than {MOST_RULES}")
    for field_name, known in (("defaultAction", ("Allow", "Deny")), ("bypass", ("AzureServices", "None"))):
        if (value := requested.get(field_name)) not in (None, *known):
            raise _refused(f"properties.networkAcls.{field_name}", f"{value} is not one of {', '.join(known)}")
    return {
        "bypass": requested.get("bypass") or "AzureServices",
        "defaultAction": requested.get("defaultAction") or "Allow",
        "ipRules": [{"value": _range(rule, number)} for number, rule in enumerate(rules)],
        "virtualNetworkRules": requested.get("virtualNetworkRules") or [],
    }


def _range(rule: Any, number: int) -> str:
    place = f"properties.networkAcls.ipRules[{number}].value"
    value = rule.get("value") if isinstance(rule, dict) else None
    try:
        network = ipaddress.IPv4Network(str(value))
    except ValueError:
        raise _refused(place, f"{value} is not a valid IPv4 address or CIDR range") from None
    for private in _PRIVATE:
        if network.overlaps(private):
            bounds = f"{private.network_address}-{private.broadcast_address}"
            raise _refused(place, f"{value} belongs to forbidden range {bounds} (private IP addresses)")
    return str(network)


def _refused(place: str, reason: str) -> HttpFault:
    return arm_fault(400, "BadRequest", f"Invalid value found at {place}: {reason}")
