"""The rules of a new role assignment, whoever makes it: a request of its own, or a deployment.

Source: REST API, Microsoft.Authorization 2022-04-01; "Troubleshoot Azure RBAC" for the refusals.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.azure import Azure
from sandbox.core.errors import arm_fault
from sandbox.core.rbac import Principal, RoleAssignment


@dataclass(frozen=True)
class Wanted:
    """What a PUT asks for."""

    role_guid: str
    principal_id: str
    principal_type: str | None
    description: str | None
    condition: str | None = None
    condition_version: str | None = None

    def same_grant(self, assignment: RoleAssignment) -> bool:
        return assignment.role_guid == self.role_guid and assignment.principal_id.lower() == self.principal_id.lower()


def grant(azure: Azure, scope: str, name: str, wanted: Wanted, by: Principal) -> tuple[RoleAssignment, bool]:
    """Make the assignment, and tell whether it is new. The same grant under the same name changes its description only.

    :raises HttpFault: when its name or its effect is taken, or its principal is unknown
    """
    standing = azure.access.assignment(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
    is_new = standing is None
    if standing is not None:
        _require_same(standing, wanted)
    else:
        _require_assignable(azure, scope, wanted)
        _require_new(azure, scope, wanted)
        _require_principal(azure, wanted)
        standing = azure.access.assign(
            role=wanted.role_guid,
            principal_id=wanted.principal_id,
            scope=scope,
            name=name,
            created_by=by.object_id,
            principal_type=wanted.principal_type,
        )
    standing.description = wanted.description
    standing.condition, standing.condition_version = wanted.condition, wanted.condition_version
    return standing, is_new


def _require_same(standing: RoleAssignment, wanted: Wanted) -> None:
    if not wanted.same_grant(standing) or wanted.principal_type not in (None, standing.principal_type):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise arm_fault(400, "RoleAssignmentUpdateNotPermitted", message)


def _require_new(azure: Azure, scope: str, wanted: Wanted) -> None:
    for standing in azure.access.assignments():
        if standing.scope.lower() == scope.lower() and wanted.same_grant(standing):
            bare = standing.name.replace("-", "")
            message = f"The role assignment already exists. The ID of the existing role assignment is {bare}."
            raise arm_fault(409, "RoleAssignmentExists", message)


def _require_assignable(azure: Azure, scope: str, wanted: Wanted) -> None:
    """A role that is unknown is left to the assignment itself to refuse."""
    role = azure.access.role(wanted.role_guid)
    if role is not None and not role.assignable_at(scope):
        message = f"The given role assignment scope '{scope}' is not assignable to role definition '{role.name}'."
        raise arm_fault(400, "RoleAssignmentScopeNotAssignableToRoleDefinition", message)


def _require_principal(azure: Azure, wanted: Wanted) -> None:
    """A principal that the directory does not know passes when its type is given, as one that is still replicating."""
    principal = azure.access.principals.get(wanted.principal_id.lower())
    if principal is None and wanted.principal_type is None:
        message = (
            f"Principal {wanted.principal_id.replace('-', '')} does not exist in the directory "
            f"{azure.tenant_id}. Check that you have the correct principal ID. If you are creating this principal "
            "and then immediately assigning a role, this error might be related to a replication delay. In this case, "
            "set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype"
        )
        raise arm_fault(400, "PrincipalNotFound", message)
    if principal is not None and wanted.principal_type not in (None, principal.kind):
        message = (
            f"The PrincipalId '{principal.object_id}' has type '{principal.kind}', which is different from the "
            f"specified PrincipalType '{wanted.principal_type}'."
        )
        raise arm_fault(400, "UnmatchedPrincipalType", message)
