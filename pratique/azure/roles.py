"""Role assignments that come and go.

::

    name = assignment_name(vault_id, CERTIFICATES_OFFICER, me.object_id)
    grant = await grant_role(session, vault_id, CERTIFICATES_OFFICER, me, name=name, description=lease.description)
    ...
    if grant.created_by_us:
        await revoke_role(session, grant.assignment_id)

Azure allows one assignment a principal, role and scope, so all our runs share the one with our name. What existed
before has another name, and is never taken for ours.

Facts: Microsoft.Authorization/roleAssignments REST API; Azure RBAC troubleshooting.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from azure.mgmt.authorization.v2022_04_01 import models

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession, Caller
from pratique.errors import Conflict, NotFound, Unavailable, UnreadableAnswer

_NAMESPACE = uuid.UUID("f5d0a8c1-3f0b-5b0e-9a53-6a5d9c2f7e41")
_MANAGEMENT_GROUP = "/providers/microsoft.management/managementgroups/"


@dataclass(frozen=True)
class Assignment:
    """A role assignment.

    :ivar id: ARM resource id
    :ivar name: its GUID
    :ivar role_guid: of the role definition
    """

    id: str
    name: str
    scope: str
    role_guid: str
    principal_id: str
    description: str


@dataclass(frozen=True)
class Grant:
    """What asking for a role came to.

    :ivar created_by_us: whether the assignment is of the name asked for, and so may be revoked
    """

    assignment_id: str
    created_by_us: bool


def assignment_name(scope: str, role_guid: str, principal_id: str) -> str:
    """The GUID under which a role is granted: the same for the same arguments, so that asking twice grants once."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((scope.lower(), role_guid.lower(), principal_id.lower()))))


def assignment_id(scope: str, name: str) -> str:
    """The ARM id of an assignment."""
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"


async def find_assignment(session: AzureSession, scope: str, role_guid: str, principal_id: str) -> str | None:
    """Id of an assignment that gives the principal the role at the scope or above it, or ``None``.

    Membership in groups is not followed.
    """
    held = await _list(session, scope, f"principalId eq '{principal_id}'")
    return next((one.id for one in held if one.role_guid == role_guid.lower() and _covers(one.scope, scope)), None)


async def list_assignments(session: AzureSession, scope: str) -> list[Assignment]:
    """All assignments made at exactly this scope."""
    held = await _list(session, scope, "atScope()")
    return [one for one in held if one.scope.lower() == scope.lower()]


async def grant_role(
    session: AzureSession, scope: str, role_guid: str, principal: Caller, *, name: str, description: str
) -> Grant:
    """Assign the role, unless the principal holds it at this very scope.

    :param name: see :func:`assignment_name`
    :param description: kept with the assignment, for people and for whoever cleans up
    :raises PermissionDenied: when the worker may not assign roles here
    :raises Unavailable: when an assignment exists that cannot be listed yet
    """
    attempted = "grant the role"
    request = models.RoleAssignmentCreateParameters(
        role_definition_id=_role_id(session, role_guid),
        principal_id=principal.object_id,
        principal_type=principal.kind,
        description=description,
    )
    try:
        with azure_faults(attempted, f"{role_guid} on {scope}"):
            made = await session.authorization.role_assignments.create(scope, name, request)
        return Grant(_assignment(made).id, True)
    except Conflict as conflict:
        ours = assignment_id(scope, name)
        if await role_exists(session, ours):
            return Grant(ours, True)
        held = await _list(session, scope, f"principalId eq '{principal.object_id}'")
        for one in held:
            if one.role_guid == role_guid.lower() and one.scope.lower() == scope.lower():
                return Grant(one.id, False)
        raise Unavailable(
            attempted, conflict.subject, conflict.observed, "Run again when the assignment can be listed."
        ) from None


async def revoke_role(session: AzureSession, assignment_id: str) -> None:
    """Delete an assignment; one that is gone already is no error."""
    try:
        with azure_faults("revoke the role", assignment_id):
            await session.authorization.role_assignments.delete_by_id(assignment_id)
    except NotFound:
        return


async def role_exists(session: AzureSession, assignment_id: str) -> bool:
    """Whether the assignment stands, read back by its id."""
    try:
        with azure_faults("read the role assignment", assignment_id):
            await session.authorization.role_assignments.get_by_id(assignment_id)
    except NotFound:
        return False
    return True


async def _list(session: AzureSession, scope: str, condition: str) -> list[Assignment]:
    with azure_faults("list the role assignments", scope):
        pages = session.authorization.role_assignments.list_for_scope(scope, filter=condition)
        return [_assignment(one) async for one in pages]


def _role_id(session: AzureSession, role_guid: str) -> str:
    return f"/subscriptions/{session.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role_guid}"


def _covers(above: str, scope: str) -> bool:
    above, scope = above.lower().rstrip("/"), scope.lower().rstrip("/")
    return scope == above or scope.startswith(f"{above}/") or above.startswith(_MANAGEMENT_GROUP)


def _assignment(found: models.RoleAssignment) -> Assignment:
    if not (found.id and found.name and found.scope and found.role_definition_id and found.principal_id):
        raise UnreadableAnswer("read the role assignment", str(found.id), "It lacks its properties.", "Run again.")
    role_guid = found.role_definition_id.rsplit("/", 1)[-1].lower()
    return Assignment(found.id, found.name, found.scope, role_guid, found.principal_id, found.description or "")
