"""What a deployment would remove that is not the template's: firewall rules and tags of its resources.

What-if compares each resource with the template's version. Not counted is what leases have put on the cluster's vault:
that is ours, and is put back after the deployment (:mod:`pratique.access.restore`).

Where what-if does not say what would happen to a resource, it is not known, and counts as a removal: unless the
resource cannot have rules or tags, or no resource in the group could be the one that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pratique.azure.holdings import Holding
from pratique.azure.network_rules import Firewall
from pratique.azure.what_if import Prediction, ResourceChange
from pratique.errors import RemovalsRefused
from pratique.markdown import plain

#: Types whose resources have neither tags nor rules.
_WITHOUT = frozenset(
    {
        "microsoft.authorization/locks",
        "microsoft.authorization/policyassignments",
        "microsoft.authorization/roleassignments",
        "microsoft.authorization/roledefinitions",
        "microsoft.insights/diagnosticsettings",
        "microsoft.network/privateendpoints/privatednszonegroups",
    }
)
REMEDY = (
    "Add what is to stay to the template or its parameters, or remove it yourself. To have the deployment remove it, "
    "set cluster.removals to 'allow'."
)
_NESTED = "microsoft.resources/deployments"


@dataclass(frozen=True)
class Removal:
    """What one resource would lose.

    :ivar resource: type and name
    """

    resource: str
    holdings: tuple[Holding, ...]

    def __str__(self) -> str:
        return f"{self.resource}: {', '.join(plain(str(holding)) for holding in self.holdings)}"


@dataclass(frozen=True)
class Removals:
    """What a deployment would remove.

    :ivar unknown: resources of which it is not known, each with the reason
    """

    known: tuple[Removal, ...] = ()
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.known or self.unknown)

    def lines(self) -> Iterator[str]:
        """One line for each resource."""
        yield from (f"It would remove from {removal}" for removal in self.known)
        yield from (f"Not known what it would remove from {plain(unknown)}" for unknown in self.unknown)

    def require_none(self, subject: str) -> None:
        """:raises RemovalsRefused: when there are any"""
        if self:
            raise RemovalsRefused("deploy the template", subject, f"{'. '.join(self.lines())}.", REMEDY)


def find_removals(prediction: Prediction, template: Mapping[str, Any], group_id: str, vault_id: str | None) -> Removals:
    """What the predicted deployment would remove.

    :param group_id: id of the resource group that the template is deployed to
    :param vault_id: of the cluster's vault, whose leases are put back; ``None`` when there is no vault
    """
    ignored = [change for change in prediction.changes if change.kind == "Ignore" and change.held]
    known, unknown = [], []
    for change in prediction.changes:
        if reason := _doubt(change, ignored, group_id):
            unknown.append(f"{change.name}: {reason}")
        elif lost := _foreign(change, vault_id):
            known.append(Removal(change.name, lost))
    if prediction.not_expanded and (ignored or _leaves_group(template)):
        which = ", ".join(change.name for change in ignored) or "resources in other groups"
        unknown.append(f"{which}: {' '.join(prediction.not_expanded)}")
    return Removals(tuple(known), tuple(unknown))


def _doubt(change: ResourceChange, ignored: list[ResourceChange], group_id: str) -> str:
    """Why it is not known what the resource would lose; empty if it is known."""
    if not change.unknown or change.type in _WITHOUT:
        return ""
    name_is_computed = "[" in change.id and change.id.lower().startswith(f"{group_id.lower()}/")
    if name_is_computed and not any(other.type == change.type for other in ignored):
        return ""  # a resource that exists is listed as ignored
    return change.unknown


def _foreign(change: ResourceChange, vault_id: str | None) -> tuple[Holding, ...]:
    """What the resource would lose, but for what leases have made."""
    if vault_id is None or change.id.lower() != vault_id.lower():
        return change.removed
    firewall = Firewall(
        vault_id=vault_id,
        ip_rules=tuple(holding.name for holding in change.held if holding.kind == "firewall rule"),
        tags={holding.name: holding.value for holding in change.held if holding.kind == "tag"},
        default_action="Deny",
        public_network_access="Enabled",
    )
    tags = {lease.tag_name for lease in firewall.records.leases}
    rules = {rule for address in firewall.leased for rule in firewall.rules_of(address)}
    return tuple(
        holding
        for holding in change.removed
        if not (holding.kind == "firewall rule" and holding.name in rules)
        and not (holding.kind == "tag" and holding.name.lower() in tags)
    )


def _leaves_group(value: Any) -> bool:
    """Whether a template has nested deployments to other resource groups or subscriptions."""
    if isinstance(value, Mapping):
        nested = str(value.get("type", "")).lower() == _NESTED
        if nested and {"resourceGroup", "subscriptionId", "scope"} & value.keys():
            return True
        return any(map(_leaves_group, value.values()))
    return isinstance(value, list) and any(map(_leaves_group, value))
