"""What-if: what a deployment would change, computed without changing anything.

Source: REST API ``Microsoft.Resources/deployments``, What If, and "ARM template deployment what-if operation". Each
existing resource is compared with the result of putting the template's version; properties that its provider sets anew
each time are not changes. ``reference()`` to a resource that does not exist yet stays an expression, as in Azure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandbox.services.acr.models import REGISTRY_TYPE
from sandbox.services.acr.state import Registries
from sandbox.services.authorization.models import assignment_document
from sandbox.services.deployments import resources
from sandbox.services.deployments.expressions import Place
from sandbox.services.deployments.provider import Document, Order, make
from sandbox.services.deployments.template import Plan, PlannedResource

if TYPE_CHECKING:
    from sandbox.azure import Azure

SECONDS = 5.0  # Azure seconds that the operation takes
# What the engine adds to a resource after its provider has built it.
_ADDED = frozenset({"properties.secretUriWithVersion"})
# Not part of the resource's content.
_ASIDE = frozenset({"apiVersion", "systemData"})


class _UnresolvedProperties(dict[str, Any]):
    """The properties of a resource that does not exist yet: each is the expression that refers to it."""

    def __init__(self, resource_id: str) -> None:
        super().__init__()
        self._id = resource_id

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        return f"[reference('{self._id}').{key}]"


def forecast(azure: Azure, place: Place, plan: Plan, *, payloads: bool = True) -> list[Document]:
    """The changes: first the template's resources, then the other resources in the group.

    :param payloads: whether to compare; without it, only ids are listed and existing resources are marked ``Deploy``
    :raises HttpFault: when a provider would refuse a resource
    """
    planned = {resource.id.lower() for resource in plan.resources}

    def lookup(resource_id: str) -> Mapping[str, Any] | None:
        found = azure.resources.get(resource_id)
        later = found is None and resource_id.lower() in planned
        return {"id": resource_id, "properties": _UnresolvedProperties(resource_id)} if later else found

    changes = [_change(azure, place, resource, resource.body(lookup), payloads) for resource in plan.resources]
    for document in azure.resources.list(scope=place.id):
        if document["id"].lower() not in planned and document["id"].count("/") == place.id.count("/") + 4:
            payload = {"before": document, "after": document} if payloads else {}
            changes.append({"resourceId": document["id"], "changeType": "Ignore", **payload})
    return changes


def _change(azure: Azure, place: Place, planned: PlannedResource, body: Document, payloads: bool) -> Document:
    before = _existing(azure, planned)
    if before is None:
        head = {"apiVersion": planned.api_version, "id": planned.id, "name": planned.name.rpartition("/")[2]}
        after = {**head, "type": planned.type, **_without_hidden(planned, body)}
        return {"resourceId": planned.id, "changeType": "Create", **({"after": after} if payloads else {})}
    if not payloads:
        return {"resourceId": planned.id, "changeType": "Deploy"}
    after, volatile = _after(azure, place, planned, body, before)
    delta = [change for change in _delta(before, after) if change["path"] not in volatile]
    change = "Modify" if delta else "NoChange"
    return {"resourceId": planned.id, "changeType": change, "before": before, "after": after, "delta": delta}


def _existing(azure: Azure, planned: PlannedResource) -> Document | None:
    if planned.type != resources.ROLE_ASSIGNMENT:
        return azure.resources.get(planned.id)
    assignment = azure.access.assignment(planned.id)
    return None if assignment is None else assignment_document(assignment, azure.subscription_id)


def _without_hidden(planned: PlannedResource, body: Document) -> Document:
    hidden = resources.kind_of(planned.type).hidden
    properties = body.get("properties")
    if not isinstance(properties, dict):
        return body
    return {**body, "properties": {key: "*******" if key in hidden else value for key, value in properties.items()}}


def _after(
    azure: Azure, place: Place, planned: PlannedResource, body: Document, before: Document
) -> tuple[Document, set[str]]:
    """The resource after a put, and the paths that would differ after any put."""
    if planned.type == resources.ROLE_ASSIGNMENT:
        properties = {key: value for key, value in (body.get("properties") or {}).items() if value is not None}
        return {**before, "properties": {**before["properties"], **properties}}, set()
    kind = resources.kind_of(planned.type)
    order = Order(
        id=planned.id,
        name=planned.name,
        api_version=planned.api_version,
        body=body,
        before=before,
        place=place,
        at=azure.clock.now(),
    )
    after, again = (make(kind, each) for each in (order, replace(order, at=order.at + timedelta(days=1))))
    if planned.type.lower() == REGISTRY_TYPE.lower():  # a put that does not name the mode keeps it
        after, again = (azure.state(Registries).with_mode(each, before) for each in (after, again))
    return after, {change["path"] for change in _delta(after, again)} | _ADDED


def _delta(before: Any, after: Any, path: str = "") -> Iterator[Document]:
    """Property changes in ARM's format: a full path for each value, and the items of an array as its children."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            if path or key not in _ASIDE:
                yield from _delta(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list):
        longest = max(len(before), len(after))
        children = [
            change
            for index in range(longest)
            for change in _delta(_item(before, index), _item(after, index), str(index))
        ]
        if children:
            yield {"path": path, "propertyChangeType": "Array", "children": children}
    elif before != after:
        kind = "Create" if before is None else "Delete" if after is None else "Modify"
        yield {"path": path, "propertyChangeType": kind, "before": before, "after": after}


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None
