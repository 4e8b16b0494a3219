"""What all resource providers have in common: turning a template's resource into the one that ARM shows.

A provider adds defaults, computes properties that only it knows, and preserves state that is not from the template
(private endpoint connections, the ids of an identity) when a resource is put again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.services.deployments.errors import TemplateError
from sandbox.services.deployments.expressions import Place
from sandbox.services.keyvault.vaults import VAULT_TYPE

Document = dict[str, Any]

APPROVED = {"status": "Approved", "description": "Auto-Approved", "actionsRequired": "None"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A resource to create or update.

    :ivar body: the template's ``location``, ``properties`` and so on
    :ivar before: the existing resource, ``None`` when there is none
    """

    id: str
    name: str
    api_version: str
    body: Document
    before: Document | None
    place: Place
    at: datetime

    @property
    def properties(self) -> Document:
        """The properties in the template."""
        return dict(self.body.get("properties") or {})

    @property
    def location(self) -> str:
        return str(self.body.get("location", "")).replace(" ", "").lower()


def _nothing(order: Order) -> Document:
    return {}


def _no_links(properties: Document) -> Iterator[tuple[str, str]]:
    return iter(())


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A resource type.

    :ivar seconds: Azure seconds that its creation takes
    :ivar defaults: properties that the provider adds
    :ivar computed: properties that only the provider sets. Raises :class:`TemplateError` for an invalid resource
    :ivar preserved: properties that survive another put
    :ivar hidden: properties that can be written but not read
    :ivar links: ids of other resources that must exist, each with the action that the deployer needs on it
    :ivar stateful: whether it shows a ``provisioningState``
    :ivar builder: builds the whole resource, instead of all the above
    """

    type: str
    seconds: float
    defaults: Document = field(default_factory=dict)
    computed: Callable[[Order], Document] = _nothing
    preserved: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    links: Callable[[Document], Iterator[tuple[str, str]]] = _no_links
    stateful: bool = True
    builder: Callable[[Order], Document] | None = None

    @property
    def write(self) -> str:
        """The RBAC action for creating or updating one."""
        return f"{self.type}/write"


def make(kind: Kind, order: Order) -> Document:
    """The resource as ARM shows it after its creation.

    :raises HttpFault: when the provider refuses it
    """
    if kind.builder is not None:
        return kind.builder(order)
    before = order.before or {}
    if before and before.get("location", "") != order.location:
        raise TemplateError(
            f"The resource '{order.name}' already exists in location '{before['location']}'. A resource with the same "
            f"name cannot be created in location '{order.location}'. Please select a new resource name.",
            "InvalidResourceLocation",
            409,
        )
    properties = _merged(kind.defaults, order.properties) | kind.computed(order)
    properties |= {key: value for key, value in before.get("properties", {}).items() if key in kind.preserved}
    if kind.stateful:
        properties["provisioningState"] = "Succeeded"
    document = {key: value for key, value in order.body.items() if key != "properties"}
    document |= {"id": order.id, "name": order.name.rpartition("/")[2], "type": kind.type}
    if order.location:
        document |= {"location": order.location, "tags": order.body.get("tags") or {}}
    if "sku" in document:
        document["sku"] = {**document["sku"], "tier": document["sku"].get("tier", document["sku"]["name"])}
    document["properties"] = {key: value for key, value in properties.items() if key not in kind.hidden}
    return document


def with_connection(target: Document, endpoint: Document) -> Document:
    """The target of a private endpoint (registry or vault), with the endpoint's connection added.

    Key Vault's connections have neither name nor type (``PrivateEndpointConnectionItem``).
    """
    connections = [
        connection
        for connection in target["properties"].get("privateEndpointConnections", [])
        if connection["properties"]["privateEndpoint"]["id"].lower() != endpoint["id"].lower()
    ]
    name = f"{endpoint['name']}.{uuid.uuid5(uuid.NAMESPACE_URL, endpoint['id'])}"
    connection: Document = {
        "id": f"{target['id']}/privateEndpointConnections/{name}",
        "properties": {
            "privateEndpoint": {"id": endpoint["id"]},
            "privateLinkServiceConnectionState": APPROVED,
            "provisioningState": "Succeeded",
        },
    }
    if target["type"] != VAULT_TYPE:
        connection |= {"name": name, "type": f"{target['type']}/privateEndpointConnections"}
    return {**target, "properties": {**target["properties"], "privateEndpointConnections": [*connections, connection]}}


def targets(endpoint: Document) -> list[str]:
    """Ids of a private endpoint's targets."""
    return [
        connection["properties"]["privateLinkServiceId"]
        for connection in endpoint["properties"].get("privateLinkServiceConnections", [])
    ]


def _merged(defaults: Mapping[str, Any], properties: Mapping[str, Any]) -> Document:
    """The template's properties over the defaults, merged object by object; ``null`` selects the default."""
    result = dict(defaults)
    for key, value in properties.items():
        former = result.get(key)
        if isinstance(former, dict) and isinstance(value, dict):
            result[key] = _merged(former, value)
        elif value is not None or key not in result:
            result[key] = value
    return result
