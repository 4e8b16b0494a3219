"""Role assignments at any scope, and what the caller may do there.

Source: REST API, Microsoft.Authorization 2022-04-01; "Troubleshoot Azure RBAC" for the errors.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from starlette.responses import Response

from sandbox.core.conditions import Attributes
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm.ids import canonical
from sandbox.services.authorization.grants import RequestedAssignment, attributes_of, grant
from sandbox.services.authorization.models import (
    ASSIGNMENTS,
    DEFINITIONS,
    assignment_document,
    assignment_filter,
    permission_document,
)
from sandbox.services.entra.state import arm_caller

LIST = f"/{{scope:path}}/providers/{ASSIGNMENTS}"
ONE = LIST + "/{name}"
PERMISSIONS = "Microsoft.Authorization/permissions"
PRINCIPAL_TYPES = ("User", "Group", "ServicePrincipal", "ForeignGroup", "Device")

_ROLE_ID = re.compile(rf"(?:/subscriptions/[^/]+)?/providers/{re.escape(DEFINITIONS)}/([0-9a-f-]{{36}})", re.IGNORECASE)

authorization = Service(
    "authorization", ("management.azure.com",), authenticate=arm_caller, api_versions=("2022-04-01",)
)


def _wanted(call: Call) -> Attributes:
    """Of the requested assignment; a request that cannot be read is refused once the caller may write at all."""
    try:
        return _requested(call).attributes(call.azure.access)
    except HttpFault:
        return Attributes()


def _existing(call: Call) -> Attributes:
    return attributes_of(call.azure.access.assignment(call.path))


@authorization.put(ONE, action=f"{ASSIGNMENTS}/write", attributes=_wanted)
async def put_assignment(call: Call) -> Response:
    """Assign a role. Repeating the same assignment under the same name updates its description and condition."""
    scope, name = canonical(call.azure, _scope(call)), _guid(call.params["name"])
    assignment, is_new = grant(call.azure, scope, name, _requested(call), call.principal)
    status = 201 if is_new else 200
    return answer(assignment_document(assignment, call.azure.subscription_id), status)


@authorization.get(ONE, action=f"{ASSIGNMENTS}/read")
async def get_assignment(call: Call) -> Response:
    assignment = call.azure.access.assignment(call.path)
    if assignment is None:
        canonical(call.azure, _scope(call))
        raise arm_fault(404, "RoleAssignmentNotFound", f"The role assignment '{call.params['name']}' is not found.")
    return answer(assignment_document(assignment, call.azure.subscription_id))


@authorization.delete(ONE, action=f"{ASSIGNMENTS}/delete", attributes=_existing)
async def delete_assignment(call: Call) -> Response:
    """204 when there is nothing to delete."""
    canonical(call.azure, _scope(call))
    assignment = call.azure.access.unassign(call.path)
    if assignment is None:
        return Response(status_code=204)
    return answer(assignment_document(assignment, call.azure.subscription_id))


@authorization.get(LIST, action=f"{ASSIGNMENTS}/read")
async def list_assignments(call: Call) -> Response:
    scope = canonical(call.azure, _scope(call))
    shows = assignment_filter(call.query.get("$filter", ""), scope)
    found = [a for a in call.azure.access.assignments() if shows(a)]
    return answer({"value": [assignment_document(a, call.azure.subscription_id) for a in found]})


@authorization.get(
    f"/{{scope:path}}/providers/{PERMISSIONS}",
    action=f"{PERMISSIONS}/read",
)
async def list_permissions(call: Call) -> Response:
    """What the caller may do at the scope: one entry for each role."""
    access = call.azure.access
    held = access.assignments_at(call.principal.object_id, canonical(call.azure, _scope(call)))
    return answer({"value": [permission_document(access.roles[assignment.role_guid]) for assignment in held]})


def _scope(call: Call) -> str:
    return "/" + call.params["scope"].strip("/")


def _guid(name: str) -> str:
    try:
        return str(uuid.UUID(name))
    except ValueError:
        message = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        raise arm_fault(400, "InvalidRoleAssignmentId", message) from None


def _requested(call: Call) -> RequestedAssignment:
    properties: Any = call.json().get("properties")
    if not isinstance(properties, dict) or not properties.get("principalId") or not properties.get("roleDefinitionId"):
        raise arm_fault(400, "BadRequestFormat", "The request was incorrectly formatted.")
    role_id = _ROLE_ID.fullmatch(str(properties["roleDefinitionId"]))
    if role_id is None:
        message = f"The role definition ID '{properties['roleDefinitionId']}' is not a valid fully qualified id."
        raise arm_fault(400, "InvalidRoleDefinitionId", message)
    if properties.get("principalType") not in (None, *PRINCIPAL_TYPES):
        raise arm_fault(
            400, "InvalidPrincipalType", f"The principal type '{properties['principalType']}' is not valid."
        )
    return RequestedAssignment(
        role_guid=role_id[1].lower(),
        principal_id=str(properties["principalId"]),
        principal_type=properties.get("principalType"),
        description=properties.get("description"),
        condition=properties.get("condition"),
        condition_version=properties.get("conditionVersion"),
    )
