"""What all resource providers do alike: from what a template asks for to the resource that ARM shows.

A provider adds what was left out, fills in what only it knows, and keeps the state that is not the template's (private
endpoint connections, the ids of an identity) when a resource is put again.
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


@dataclass(frozen=True)
class Order:
    """One resource to make.

    :ivar body: what the template asks for: ``location``, ``properties`` and so on
    :ivar before: the resource as it stands, ``None`` when it is new
    """

    id: str
    name: str
    api_version: str
    body: Document
    before: Document | None
    place: Place
    now: datetime

    @property
    def asked(self) -> Document:
        """The properties that the template gives."""
        return dict(self.body.get("properties") or {})

    @property
    def location(self) -> str:
        return str(self.body.get("location", "")).replace(" ", "").lower()


def _nothing(order: Order) -> Document:
    return {}


def _no_links(asked: Document) -> Iterator[tuple[str, str]]:
    return iter(())


@dataclass(frozen=True)
class Kind:
    """A type of resource.

    :ivar seconds: of Azure's time that making one takes
    :ivar defaults: properties that the provider adds
    :ivar settled: properties that only the provider sets. Raises :class:`TemplateError` for what it refuses
    :ivar kept: properties that survive another put
    :ivar hidden: properties that can be written and not read
    :ivar links: ids of other resources that must exist, each with the action that the deployer needs on it
    :ivar stateful: whether it shows a ``provisioningState``
    :ivar whole: makes all of the resource, in place of everything above
    """

    type: str
    seconds: float
    defaults: Document = field(default_factory=dict)
    settled: Callable[[Order], Document] = _nothing
    kept: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    links: Callable[[Document], Iterator[tuple[str, str]]] = _no_links
    stateful: bool = True
    whole: Callable[[Order], Document] | None = None

    @property
    def write(self) -> str:
        """The RBAC action that putting one takes."""
        return f"{self.type}/write"


def make(kind: Kind, order: Order) -> Document:
    """The resource as ARM shows it once it is made.

    :raises HttpFault: when the provider refuses it
    """
    if kind.whole is not None:
        return kind.whole(order)
    before = order.before or {}
    if before and before.get("location", "") != order.location:
        raise TemplateError(
            f"The resource '{order.name}' already exists in location '{before['location']}'. A resource with the same "
            f"name cannot be created in location '{order.location}'. Please select a new resource name.",
            "InvalidResourceLocation",
            409,
        )
    properties = _merged(kind.defaults, order.asked) | kind.settled(order)
    properties |= {key: value for key, value in before.get("properties", {}).items() if key in kind.kept}
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


def connected(target: Document, endpoint: Document) -> Document:
    """The target of a private endpoint (registry or vault) with the connection that the endpoint makes.

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
    """Ids of what a private endpoint leads to."""
    return [
        connection["properties"]["privateLinkServiceId"]
        for connection in endpoint["properties"].get("privateLinkServiceConnections", [])
    ]


def _merged(defaults: Mapping[str, Any], asked: Mapping[str, Any]) -> Document:
    """Defaults under what was asked for, object by object; ``null`` asks for the default."""
    result = dict(defaults)
    for key, value in asked.items():
        former = result.get(key)
        if isinstance(former, dict) and isinstance(value, dict):
            result[key] = _merged(former, value)
        elif value is not None or key not in result:
            result[key] = value
    return result
