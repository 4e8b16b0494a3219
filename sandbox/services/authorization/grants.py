"""The rules for new role assignments, from a request of their own or from a deployment.

Source: REST API, Microsoft.Authorization 2022-04-01; "Troubleshoot Azure RBAC" for the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.azure import Azure
from sandbox.core.conditions import VERSION, Attributes, parse, unsupported
from sandbox.core.errors import arm_fault
from sandbox.core.rbac import Access, Principal, RoleAssignment

_ATTRIBUTE = "microsoft.authorization/roleassignments:"


@dataclass(frozen=True, kw_only=True)
class RequestedAssignment:
    """The role assignment that a PUT requests."""

    role_guid: str
    principal_id: str
    principal_type: str | None
    description: str | None
    condition: str | None = None
    condition_version: str | None = None

    def __post_init__(self) -> None:
        """:raises NotSupported: when the condition cannot be evaluated"""
        if self.condition is None:
            return
        if self.condition_version not in (None, VERSION):
            raise unsupported(f"version {self.condition_version}")
        parse(self.condition)

    def attributes(self, access: Access) -> Attributes:
        """What conditions on the right to write assignments read."""
        known = access.principals.get(self.principal_id.lower())
        kind = self.principal_type or (known.kind if known else "")
        return Attributes(request=_attributes(self.role_guid, self.principal_id, kind))

    def same_grant(self, assignment: RoleAssignment) -> bool:
        return assignment.role_guid == self.role_guid and assignment.principal_id.lower() == self.principal_id.lower()


def attributes_of(assignment: RoleAssignment | None) -> Attributes:
    """What conditions on the right to delete assignments read."""
    if assignment is None:
        return Attributes()
    return Attributes(resource=_attributes(assignment.role_guid, assignment.principal_id, assignment.principal_type))


def _attributes(role: str, principal: str, kind: str) -> dict[str, str]:
    return {
        f"{_ATTRIBUTE}roledefinitionid": role,
        f"{_ATTRIBUTE}principalid": principal,
        f"{_ATTRIBUTE}principaltype": kind,
    }


def grant(
    azure: Azure, scope: str, name: str, requested: RequestedAssignment, by: Principal
) -> tuple[RoleAssignment, bool]:
    """Create the assignment and return whether it is new. Repeating it sets its description and its condition.

    :raises HttpFault: when its name or an equal assignment exists, or its principal is unknown
    """
    existing = azure.access.assignment(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
    is_new = existing is None
    if existing is not None:
        _require_same(existing, requested)
    else:
        _require_assignable(azure, scope, requested)
        _require_new(azure, scope, requested)
        _require_principal(azure, requested)
        existing = azure.access.assign(
            role=requested.role_guid,
            principal_id=requested.principal_id,
            scope=scope,
            name=name,
            created_by=by.object_id,
            principal_type=requested.principal_type,
        )
    existing.description = requested.description
    existing.condition, existing.condition_version = requested.condition, requested.condition_version
    return existing, is_new


def _require_same(existing: RoleAssignment, requested: RequestedAssignment) -> None:
    if not requested.same_grant(existing) or requested.principal_type not in (None, existing.principal_type):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise arm_fault(400, "RoleAssignmentUpdateNotPermitted", message)


def _require_new(azure: Azure, scope: str, requested: RequestedAssignment) -> None:
    for existing in azure.access.assignments():
        if existing.scope.lower() == scope.lower() and requested.same_grant(existing):
            bare = existing.name.replace("-", "")
            message = f"The role assignment already exists. The ID of the existing role assignment is {bare}."
            raise arm_fault(409, "RoleAssignmentExists", message)


def _require_assignable(azure: Azure, scope: str, requested: RequestedAssignment) -> None:
    """Unknown roles pass: the assignment itself refuses them."""
    role = azure.access.role(requested.role_guid)
    if role is not None and not role.assignable_at(scope):
        message = f"The given role assignment scope '{scope}' is not assignable to role definition '{role.name}'."
        raise arm_fault(400, "RoleAssignmentScopeNotAssignableToRoleDefinition", message)


def _require_principal(azure: Azure, requested: RequestedAssignment) -> None:
    """An unknown principal passes when its type is given: it may still be replicating."""
    principal = azure.access.principals.get(requested.principal_id.lower())
    if principal is None and requested.principal_type is None:
        message = (
            f"Principal {requested.principal_id.replace('-', '')} does not exist in the directory "
            f"{azure.tenant_id}. Check that you have the correct principal ID. If you are creating this principal "
            "and then immediately assigning a role, this error might be related to a replication delay. In this case, "
            "set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype"
        )
        raise arm_fault(400, "PrincipalNotFound", message)
    if principal is not None and requested.principal_type not in (None, principal.kind):
        message = (
            f"The PrincipalId '{principal.object_id}' has type '{principal.kind}', which is different from the "
            f"specified PrincipalType '{requested.principal_type}'."
        )
        raise arm_fault(400, "UnmatchedPrincipalType", message)
