"""Role definitions: built-in ones, and custom ones that clients create.

Source: REST API, Microsoft.Authorization/roleDefinitions 2022-04-01; "Azure custom roles"; "Troubleshoot Azure RBAC"
for the errors. A changed or deleted definition takes effect immediately: only assignments propagate with a delay here.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from starlette.responses import Response

from sandbox.azure import Azure
from sandbox.core.errors import arm_fault
from sandbox.core.rbac import RoleDefinition
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm.ids import canonical
from sandbox.services.authorization.models import (
    DEFINITIONS,
    definition_document,
    definition_filter,
    subscription_of,
)
from sandbox.services.entra.state import arm_caller

ANYBODY = "anybody in the tenant may read its role definitions"
ROOT = f"/providers/{DEFINITIONS}"
LIST = f"/{{scope:path}}/providers/{DEFINITIONS}"
ONE = LIST + "/{name}"

_ASSIGNABLE = re.compile(r"/subscriptions/[^/]+(/resourceGroups/[^/]+)?", re.IGNORECASE)

role_definitions = Service(
    "role-definitions", ("management.azure.com",), authenticate=arm_caller, api_versions=("2022-04-01",)
)


@role_definitions.get(ROOT, unchecked=ANYBODY)
@role_definitions.get(LIST, action=f"{DEFINITIONS}/read")
async def list_definitions(call: Call) -> Response:
    shows = definition_filter(call.query.get("$filter", ""), _scope(call))
    roles = [role for role in call.azure.access.roles.values() if shows(role)]
    return answer({"value": [definition_document(role, _subscription(call)) for role in roles]})


@role_definitions.get(ROOT + "/{name}", unchecked=ANYBODY)
@role_definitions.get(ONE, action=f"{DEFINITIONS}/read")
async def get_definition(call: Call) -> Response:
    role = call.azure.access.roles.get(call.params["name"].lower())
    if role is None:
        message = f"The specified role definition with ID '{call.params['name']}' does not exist."
        raise arm_fault(404, "RoleDefinitionDoesNotExist", message)
    return answer(definition_document(role, _subscription(call)))


@role_definitions.put(ONE, action=f"{DEFINITIONS}/write")
async def put_definition(call: Call) -> Response:
    """Create or replace a custom role. The caller needs the right on every scope at which it can be assigned."""
    canonical(call.azure, _scope(call))
    role = _requested(call)
    for scope in role.assignable_scopes:
        canonical(call.azure, scope)
        call.require(f"{DEFINITIONS}/write", scope)
    _require_custom(call.azure, role.guid)
    for other in call.azure.access.roles.values():
        if other.guid != role.guid and other.name.lower() == role.name.lower():
            message = f"A custom role with the same name already exists in this directory: '{role.name}'."
            raise arm_fault(409, "RoleDefinitionWithSameNameExists", message)
    call.azure.access.roles[role.guid] = role
    return answer(definition_document(role, _subscription(call)), 201)


@role_definitions.delete(ONE, action=f"{DEFINITIONS}/delete")
async def delete_definition(call: Call) -> Response:
    """204 when there is nothing to delete; refused while the role is assigned."""
    role = call.azure.access.roles.get(call.params["name"].lower())
    if role is None:
        return Response(status_code=204)
    _require_custom(call.azure, role.guid)
    for scope in role.assignable_scopes:
        call.require(f"{DEFINITIONS}/delete", scope)
    if any(assignment.role_guid == role.guid for assignment in call.azure.access.assignments()):
        message = f"There are existing role assignments referencing role {role.guid}."
        raise arm_fault(400, "RoleDefinitionHasAssignments", message)
    del call.azure.access.roles[role.guid]
    return answer(definition_document(role, _subscription(call)))


def _subscription(call: Call) -> str:
    return subscription_of(_scope(call), call.azure.subscription_id)


def _scope(call: Call) -> str:
    return "/" + call.params.get("scope", "").strip("/")


def _require_custom(azure: Azure, guid: str) -> None:
    role = azure.access.roles.get(guid)
    if role is not None and role.built_in:
        message = f"The built-in role '{role.name}' cannot be changed or deleted."
        raise arm_fault(400, "RoleDefinitionCannotBeUpdated", message)


def _requested(call: Call) -> RoleDefinition:
    """The definition in the body; its id comes from the path, not from the body."""
    properties: Any = call.json().get("properties")
    if not isinstance(properties, dict) or not properties.get("roleName"):
        raise _invalid("The role definition needs properties with a roleName.")
    scopes = [str(scope).rstrip("/") for scope in properties.get("assignableScopes") or []]
    if not scopes or not all(_ASSIGNABLE.fullmatch(scope) for scope in scopes):
        raise _invalid("assignableScopes must name subscriptions or resource groups, and at least one.")
    try:
        guid = str(uuid.UUID(call.params["name"]))
    except ValueError:
        message = f"The role definition ID '{call.params['name']}' is not valid. It must be a GUID."
        raise arm_fault(400, "InvalidRoleDefinitionId", message) from None
    permissions = properties.get("permissions") or []
    actions, not_actions, data_actions, not_data_actions = (
        tuple(action for permission in permissions for action in permission.get(key) or [])
        for key in ("actions", "notActions", "dataActions", "notDataActions")
    )
    return RoleDefinition(
        guid=guid,
        name=str(properties["roleName"]),
        actions=actions,
        not_actions=not_actions,
        data_actions=data_actions,
        not_data_actions=not_data_actions,
        description=str(properties.get("description") or ""),
        assignable_scopes=tuple(scopes),
    )


def _invalid(message: str) -> Exception:
    return arm_fault(400, "InvalidRoleDefinition", message)
