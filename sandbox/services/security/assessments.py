"""Microsoft.Security's assessments and sub-assessments: Resource Graph's rows as REST resources.

Wire shapes: assessments 2021-06-01, subAssessments 2019-01-01-preview; lists come in one page. Formats that the
scenario does not select are retired. UNVERIFIED: how the API answers for a retired assessment (it was removed on
2026-07-31); here its key is not found, and the list of all sub-assessments omits them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.rbac import contains
from sandbox.core.routing import Call, Service, answer
from sandbox.services.defender import recommendations, subassessments
from sandbox.services.defender.reports import Row
from sandbox.services.defender.state import Defender

READ = "Microsoft.Security/assessments/read"
SUB_READ = "Microsoft.Security/assessments/subAssessments/read"

_ASSESSMENTS = "/{scope:path}/providers/Microsoft.Security/assessments"
_TYPES = {
    recommendations.TYPE: "Microsoft.Security/assessments",
    subassessments.TYPE: "Microsoft.Security/assessments/subAssessments",
}


def add_assessments(service: Service) -> None:
    """Add the routes."""
    service.get(_ASSESSMENTS, action=READ)(list_assessments)
    service.get(f"{_ASSESSMENTS}/{{name}}", action=READ)(get_assessment)
    service.get("/{scope:path}/providers/Microsoft.Security/subAssessments", action=SUB_READ)(list_all)
    service.get(f"{_ASSESSMENTS}/{{name}}/subAssessments", action=SUB_READ)(list_sub_assessments)
    service.get(f"{_ASSESSMENTS}/{{name}}/subAssessments/{{sub}}", action=SUB_READ)(get_sub_assessment)


async def list_assessments(call: Call) -> Response:
    """All assessments at or below a scope."""
    return answer({"value": [_document(row) for row in _rows(call, recommendations.TYPE)]})


async def get_assessment(call: Call) -> Response:
    """The assessment of the resource in the path."""
    return answer(_document(_at(call, recommendations.TYPE)))


async def list_all(call: Call) -> Response:
    """All sub-assessments at or below a scope."""
    return answer({"value": [_document(row) for row in _rows(call, subassessments.TYPE)]})


async def list_sub_assessments(call: Call) -> Response:
    """The sub-assessments of one assessment, for all resources at or below a scope."""
    key = call.params["name"].lower()
    if not any(row["name"] == key for row in _rows(call, recommendations.TYPE)):
        raise _not_found(call.params["name"])
    below = f"/assessments/{key}/subassessments/"
    found = [row for row in _rows(call, subassessments.TYPE) if below in row["id"].lower()]
    return answer({"value": [_document(row) for row in found]})


async def get_sub_assessment(call: Call) -> Response:
    return answer(_document(_at(call, subassessments.TYPE)))


def _rows(call: Call, type_: str) -> Iterator[Row]:
    scope = "/" + call.params["scope"].strip("/")
    for row in call.azure.state(Defender).rows():
        if row["type"] == type_ and contains(scope, row["id"]):
            yield row


def _at(call: Call, type_: str) -> Row:
    resource_id = "/" + call.path.strip("/").lower()
    for row in _rows(call, type_):
        if row["id"].lower() == resource_id:
            return row
    raise _not_found(resource_id.rsplit("/", 1)[-1])


def _document(row: Row) -> dict[str, Any]:
    """A row as a REST resource: the same content in the spelling of the REST API."""
    properties = dict(row["properties"])
    details = {key.lower(): value for key, value in properties["resourceDetails"].items()}
    properties["resourceDetails"] = {"source": details["source"], "id": details["id"]}
    properties.pop("resourceAdditionalData", None)
    if row["type"] == recommendations.TYPE:
        data = properties.get("additionalData", {})
        properties["additionalData"] = {key: _text(value) for key, value in data.items()}
    return {"id": row["id"], "name": row["name"], "type": _TYPES[row["type"]], "properties": properties}


def _text(value: Any) -> str:
    """An assessment's additional data contain only strings."""
    return value if isinstance(value, str) else json.dumps(value)


def _not_found(name: str) -> HttpFault:
    return arm_fault(404, "ResourceNotFound", f"The assessment '{name}' was not found.")
