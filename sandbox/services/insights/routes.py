"""Azure Monitor's resources: put, change and delete action groups, alert rules and diagnostic settings.

Templates create the same resources; Resource Manager's generic routes read them. Source: Microsoft.Insights REST API
(actionGroups 2023-01-01, scheduledQueryRules 2022-06-15, diagnosticSettings 2021-05-01-preview).
"""

from __future__ import annotations

from starlette.responses import Response

from sandbox.core.errors import arm_fault
from sandbox.core.resources import Document
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm.ids import canonical, missing, parse
from sandbox.services.deployments.provider import Order, make
from sandbox.services.deployments.resources import kind_of
from sandbox.services.deployments.state import Deployments
from sandbox.services.entra.state import arm_caller

_GROUPED = ("actionGroups", "scheduledQueryRules")
_INSIGHTS = "/providers/Microsoft.Insights"

insights = Service(
    "insights",
    ("management.azure.com",),
    authenticate=arm_caller,
    api_versions=("2023-01-01", "2022-06-15", "2021-05-01-preview"),
)


async def put_resource(call: Call) -> Response:
    """Create or replace a resource; the resources that it links to must exist."""
    found = parse(call.path)
    if found is None or found.name is None:
        raise missing(call.azure, call.path)
    scope = canonical(call.azure, found.scope)
    kind, body = kind_of(found.type), call.json()
    for linked, action in kind.links(body.get("properties") or {}):
        if call.azure.resources.get(linked) is None:
            raise arm_fault(404, "ResourceNotFound", f"The Resource '{linked}' was not found.")
        call.require(action, linked)
    before = call.azure.resources.get(call.path)
    place = call.azure.state(Deployments).place("/".join(scope.split("/")[:5]))
    resource_id = f"{scope}/providers/{kind.type}/{found.name}"
    order = Order(
        id=resource_id,
        name=found.name,
        api_version=call.query.get("api-version", ""),
        body=body,
        before=before,
        place=place,
        at=call.azure.clock.now(),
    )
    return answer(call.azure.resources.put(make(kind, order)), 201 if before is None else 200)


async def patch_resource(call: Call) -> Response:
    """Change some of its properties, such as ``enabled``."""
    before, change = _existing(call), call.json()
    properties = {**before["properties"], **(change.get("properties") or {})}
    return answer(call.azure.resources.put({**before, **change, "properties": properties}))


async def delete_resource(call: Call) -> Response:
    return Response(status_code=204 if call.azure.resources.delete(call.path) is None else 200)


async def list_settings(call: Call) -> Response:
    """The settings of one resource. Requires the right to read them, while other lists omit what is not readable."""
    resource = canonical(call.azure, call.path.rpartition("/providers/")[0])
    return answer({"value": call.azure.resources.list("Microsoft.Insights/diagnosticSettings", resource)})


def _existing(call: Call) -> Document:
    found = call.azure.resources.get(call.path)
    if found is None:
        raise missing(call.azure, call.path)
    return found


for _kind in _GROUPED:
    _path = f"/subscriptions/{{sub}}/resourceGroups/{{rg}}{_INSIGHTS}/{_kind}/{{name}}"
    insights.put(_path, action=f"Microsoft.Insights/{_kind}/write")(put_resource)
    insights.patch(_path, action=f"Microsoft.Insights/{_kind}/write")(patch_resource)
    insights.delete(_path, action=f"Microsoft.Insights/{_kind}/delete")(delete_resource)
_SETTINGS = f"/subscriptions/{{sub}}/resourceGroups/{{rg}}/{{resource:path}}{_INSIGHTS}/diagnosticSettings"
insights.get(_SETTINGS, action="Microsoft.Insights/diagnosticSettings/read")(list_settings)
_SETTING = f"{_SETTINGS}/{{name}}"
insights.put(_SETTING, action="Microsoft.Insights/diagnosticSettings/write")(put_resource)
insights.delete(_SETTING, action="Microsoft.Insights/diagnosticSettings/delete")(delete_resource)
