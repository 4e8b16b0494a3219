"""What-if: what a deployment would change, found without changing anything.

Source: REST API ``Microsoft.Resources/deployments``, What If, and "ARM template deployment what-if operation". A
resource that the template has and that stands is compared with what a PUT would make of it; what its provider sets anew
each time is no change. ``reference()`` to what does not stand yet stays an expression, as in Azure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sandbox.services.authorization.models import assignment_document
from sandbox.services.deployments import resources
from sandbox.services.deployments.expressions import Place
from sandbox.services.deployments.provider import Document, Order, make
from sandbox.services.deployments.template import Plan, PlannedResource

if TYPE_CHECKING:
    from sandbox.azure import Azure

SECONDS = 5.0  # of Azure's time that a forecast takes
# What the engine adds to a resource after its provider has made it.
_ADDED = frozenset({"properties.secretUriWithVersion"})
# What is not the resource's content.
_ASIDE = frozenset({"apiVersion", "systemData"})


class _Later(dict[str, Any]):
    """The properties of a resource that does not stand yet: each is the expression that will give it."""

    def __init__(self, resource_id: str) -> None:
        super().__init__()
        self._id = resource_id

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Any:
        return f"[reference('{self._id}').{key}]"


def forecast(azure: Azure, place: Place, plan: Plan, *, payloads: bool = True) -> list[Document]:
    """The changes, the template's resources first, then those of the group that it leaves alone.

    :param payloads: whether to compare; otherwise only ids are told, and what stands is said to be deployed again
    :raises HttpFault: what a provider would refuse
    """
    planned = {resource.id.lower() for resource in plan.resources}

    def lookup(resource_id: str) -> Mapping[str, Any] | None:
        found = azure.resources.get(resource_id)
        later = found is None and resource_id.lower() in planned
        return {"id": resource_id, "properties": _Later(resource_id)} if later else found

    changes = [_change(azure, place, resource, resource.body(lookup), payloads) for resource in plan.resources]
    for document in azure.resources.list(scope=place.id):
        if document["id"].lower() not in planned and document["id"].count("/") == place.id.count("/") + 4:
            seen = {"before": document, "after": document} if payloads else {}
            changes.append({"resourceId": document["id"], "changeType": "Ignore", **seen})
    return changes


def _change(azure: Azure, place: Place, planned: PlannedResource, body: Document, payloads: bool) -> Document:
    before = _standing(azure, planned)
    if before is None:
        head = {"apiVersion": planned.api_version, "id": planned.id, "name": planned.name.rpartition("/")[2]}
        after = {**head, "type": planned.type, **_shown(planned, body)}
        return {"resourceId": planned.id, "changeType": "Create", **({"after": after} if payloads else {})}
    if not payloads:
        return {"resourceId": planned.id, "changeType": "Deploy"}
    after, volatile = _after(azure, place, planned, body, before)
    delta = [one for one in _delta(before, after) if one["path"] not in volatile]
    change = "Modify" if delta else "NoChange"
    return {"resourceId": planned.id, "changeType": change, "before": before, "after": after, "delta": delta}


def _standing(azure: Azure, planned: PlannedResource) -> Document | None:
    if planned.type != resources.ROLE_ASSIGNMENT:
        return azure.resources.get(planned.id)
    assignment = azure.access.assignment(planned.id)
    return None if assignment is None else assignment_document(assignment, azure.subscription_id)


def _shown(planned: PlannedResource, body: Document) -> Document:
    hidden = resources.kind_of(planned.type).hidden
    properties = body.get("properties")
    if not isinstance(properties, dict):
        return body
    return {**body, "properties": {key: "*******" if key in hidden else value for key, value in properties.items()}}


def _after(
    azure: Azure, place: Place, planned: PlannedResource, body: Document, before: Document
) -> tuple[Document, set[str]]:
    """The resource after a PUT, and the paths that would differ after any PUT."""
    if planned.type == resources.ROLE_ASSIGNMENT:
        asked = {key: value for key, value in (body.get("properties") or {}).items() if value is not None}
        return {**before, "properties": {**before["properties"], **asked}}, set()
    kind = resources.kind_of(planned.type)
    order = Order(planned.id, planned.name, planned.api_version, body, before, place, azure.clock.now())
    after, again = (make(kind, one) for one in (order, replace(order, now=order.now + timedelta(days=1))))
    return after, {one["path"] for one in _delta(after, again)} | _ADDED


def _delta(before: Any, after: Any, path: str = "") -> Iterator[Document]:
    """Property changes as ARM tells them: a full path for each value, and the items of an array as its children."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            if path or key not in _ASIDE:
                yield from _delta(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list):
        longest = max(len(before), len(after))
        children = [
            one for index in range(longest) for one in _delta(_item(before, index), _item(after, index), str(index))
        ]
        if children:
            yield {"path": path, "propertyChangeType": "Array", "children": children}
    elif before != after:
        kind = "Create" if before is None else "Delete" if after is None else "Modify"
        yield {"path": path, "propertyChangeType": kind, "before": before, "after": after}


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else None
