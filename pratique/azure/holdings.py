"""What a resource has that a deployment of another version of it would remove: its firewall rules and its tags.

A PUT replaces both lists as a whole, so a rule or tag that somebody has added and the template does not know goes::

    removed = holdings(before).without(holdings(after))

Covers the lists ``ipRules`` and ``virtualNetworkRules`` wherever they lie among the properties (Key Vault, Container
Registry, Storage, Cognitive Services, Cosmos DB, Event Hubs, Service Bus), and the tags of every resource. Facts: REST
specifications of these resource types; Azure Resource Manager ignores the letter case of ids and of the names of tags.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Literal

_LISTS: Mapping[str, Literal["firewall rule", "virtual network rule"]] = {
    "iprules": "firewall rule",
    "virtualnetworkrules": "virtual network rule",
}
#: Where the items of these lists hold what they let in.
_ITEMS = ("value", "ipAddressOrRange", "ipMask", "id")


@dataclass(frozen=True, order=True)
class Holding:
    """A firewall rule or a tag.

    :ivar value: of a tag; empty for a rule
    :ivar path: of the list that holds the rule, in lower case; empty for a tag
    """

    kind: Literal["firewall rule", "virtual network rule", "tag"]
    name: str
    value: str = ""
    path: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for two spellings of the same rule or tag. The value of a tag is not part of it."""
        return self.path, _network(self.name) if self.kind == "firewall rule" else self.name.lower().strip("/")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}{f' = {self.value}' if self.kind == 'tag' else ''}"


@dataclass(frozen=True)
class Holdings:
    """The rules and tags of one resource."""

    items: tuple[Holding, ...] = ()

    def without(self, others: Holdings) -> tuple[Holding, ...]:
        """Those that the others lack, whatever the spelling."""
        keys = {item.key for item in others.items}
        return tuple(item for item in self.items if item.key not in keys)


def holdings(document: Any) -> Holdings:
    """The rules and tags of a resource as Azure Resource Manager shows it; nothing where it has none.

    A list or an item that is an expression, because its value is not known before the deployment, holds nothing.
    """
    if not isinstance(document, Mapping):
        return Holdings()
    tags = _member(document, "tags")
    named = [Holding("tag", name, _text(value)) for name, value in tags.items()] if isinstance(tags, Mapping) else []
    return Holdings((*_rules(_member(document, "properties")), *named))


def _rules(value: Any, path: str = "properties") -> Iterator[Holding]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            below = f"{path}.{name.lower()}"
            kind = _LISTS.get(name.lower())
            if kind is None or not isinstance(member, Sequence) or isinstance(member, str):
                yield from _rules(member, below)
            else:
                yield from (Holding(kind, rule, path=below) for rule in map(_rule, member) if not _is_computed(rule))


def _rule(item: Any) -> str:
    """What an item of a list of rules lets in."""
    if not isinstance(item, Mapping):
        return _text(item)
    for name in _ITEMS:
        if isinstance(value := _member(item, name), str):
            return value
    subnet = _member(item, "subnet")
    return _rule(subnet) if isinstance(subnet, Mapping) else _text(item)


def _is_computed(text: str) -> bool:
    """Whether it is an expression of a template, for example ``[reference('…').ip]``."""
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")


def _member(document: Mapping[str, Any], name: str) -> Any:
    """A member by its name, in any letter case."""
    return next((value for key, value in document.items() if key.lower() == name.lower()), None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _network(rule: str) -> str:
    """One spelling for an address and a network of one address."""
    try:
        return str(ip_network(rule.strip(), strict=False))
    except ValueError:
        return rule.strip().lower()
