"""Role assignments and role definitions as ARM shows them, and the filters of their lists.

Source: REST API, Microsoft.Authorization 2022-04-01.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sandbox.core.errors import arm_fault
from sandbox.core.rbac import RoleAssignment, RoleDefinition, contains

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
DEFINITIONS = "Microsoft.Authorization/roleDefinitions"

_PRINCIPAL = re.compile(r"(?:principalId\s+eq\s+|assignedTo\()'([^']*)'\)?", re.IGNORECASE)
_ROLE_NAME = re.compile(r"roleName\s+eq\s+'((?:[^']|'')*)'", re.IGNORECASE)
_AT_SCOPE = re.compile(r"atScope\(\)", re.IGNORECASE)
_TYPE = re.compile(r"type\s+eq\s+'(BuiltInRole|CustomRole)'", re.IGNORECASE)
_BELOW = re.compile(r"atScopeAndBelow\(\)", re.IGNORECASE)


def subscription_of(scope: str, default: str) -> str:
    """The GUID of the subscription of a scope; the default for the tenant's."""
    parts = scope.split("/")
    return parts[2].lower() if len(parts) > 2 and parts[1].lower() == "subscriptions" else default


def assignment_document(assignment: RoleAssignment, subscription_id: str) -> dict[str, Any]:
    """The document.

    :param subscription_id: of a role's id, if the assignment is at the tenant
    """
    subscription_id = subscription_of(assignment.scope, subscription_id)
    created = _stamp(assignment.created_on)
    return {
        "id": assignment.id,
        "name": assignment.name,
        "type": ASSIGNMENTS,
        "properties": {
            "roleDefinitionId": definition_id(assignment.role_guid, subscription_id),
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": assignment.condition,
            "conditionVersion": assignment.condition_version,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": assignment.created_by or None,
            "updatedBy": assignment.created_by or None,
            "delegatedManagedIdentityResourceId": None,
            "description": assignment.description,
        },
    }


def definition_document(role: RoleDefinition, subscription_id: str) -> dict[str, Any]:
    permissions = {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": list(role.not_data_actions),
    }
    return {
        "id": definition_id(role.guid, subscription_id),
        "name": role.guid,
        "type": DEFINITIONS,
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole" if role.built_in else "CustomRole",
            "description": role.description,
            "assignableScopes": list(role.assignable_scopes),
            "permissions": [permissions],
        },
    }


def permission_document(role: RoleDefinition) -> dict[str, Any]:
    """One entry of the list of the caller's permissions. This version of the API shows no conditions."""
    return {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": list(role.not_data_actions),
    }


def definition_id(guid: str, subscription_id: str) -> str:
    return f"/subscriptions/{subscription_id}/providers/{DEFINITIONS}/{guid}"


def assignment_filter(text: str, scope: str) -> Callable[[RoleAssignment], bool]:
    """A predicate for the list at ``scope``: everything at, above and below it, narrowed by ``$filter``.

    :raises HttpFault: 400 for an unsupported filter
    """
    below, principal = True, None
    for term in _terms(text):
        if _AT_SCOPE.fullmatch(term):
            below = False
        elif found := _PRINCIPAL.fullmatch(term):
            principal = found[1].lower()
        else:
            raise _unsupported(text)

    def shows(assignment: RoleAssignment) -> bool:
        within = contains(assignment.scope, scope) or (below and contains(scope, assignment.scope))
        return within and principal in (None, assignment.principal_id.lower())

    return shows


def definition_filter(text: str, scope: str) -> Callable[[RoleDefinition], bool]:
    """A predicate for the list of definitions at ``scope``: built-in ones, and custom ones that can be assigned there.

    :raises HttpFault: 400 for an unsupported filter
    """
    name: str | None = None
    kind: str | None = None
    below = False
    for term in _terms(text):
        if found := _ROLE_NAME.fullmatch(term):
            name = found[1].replace("''", "'").lower()
        elif found := _TYPE.fullmatch(term):
            kind = found[1].lower()
        elif _BELOW.fullmatch(term):
            below = True
        else:
            raise _unsupported(text)

    def shows(role: RoleDefinition) -> bool:
        here = role.assignable_at(scope) or (below and any(contains(scope, at) for at in role.assignable_scopes))
        same_kind = kind in (None, "builtinrole" if role.built_in else "customrole")
        return here and same_kind and name in (None, role.name.lower())

    return shows


def _terms(text: str) -> list[str]:
    return [term.strip() for term in re.split(r"\s+and\s+", text.strip(), flags=re.IGNORECASE)] if text.strip() else []


def _unsupported(text: str) -> Exception:
    return arm_fault(400, "UnsupportedQuery", f"The filter '{text}' is not supported.")


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
