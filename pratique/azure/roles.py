"""Temporary role assignments.

::

    name = assignment_name(vault_id, CERTIFICATES_OFFICER, me.object_id)
    grant = await grant_role(session, vault_id, CERTIFICATES_OFFICER, me, name=name, description=lease.description)
    ...
    if grant.revocable:
        await revoke_role(session, grant.assignment_id)

Azure allows one assignment per principal, role and scope, so all runs share the one with Pratique's name. An assignment
that existed before has another name, so it is never mistaken for Pratique's.

Facts: Microsoft.Authorization/roleAssignments REST API; Azure RBAC troubleshooting.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pratique.azure.faults import azure_faults
from pratique.azure.lists import every_page
from pratique.azure.session import AzureSession, Caller
from pratique.errors import Conflict, NotFound, Unavailable, UnreadableAnswer

if TYPE_CHECKING:
    from azure.mgmt.authorization.v2022_04_01 import models

_NAMESPACE = uuid.UUID("f5d0a8c1-3f0b-5b0e-9a53-6a5d9c2f7e41")
_MANAGEMENT_GROUP = "/providers/microsoft.management/managementgroups/"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A role assignment.

    :ivar id: ARM resource id
    :ivar name: GUID of the assignment
    :ivar role_guid: GUID of the role definition
    """

    id: str
    name: str
    scope: str
    role_guid: str
    principal_id: str
    description: str


@dataclass(frozen=True)
class Grant:
    """The assignment through which a principal holds a role.

    :ivar revocable: whether the assignment has the requested name, so that it may be revoked
    """

    assignment_id: str
    revocable: bool


def assignment_name(scope: str, role_guid: str, principal_id: str) -> str:
    """The GUID of a temporary assignment. The same arguments give the same GUID, so that a repeated grant is one."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((scope.lower(), role_guid.lower(), principal_id.lower()))))


def assignment_id(scope: str, name: str) -> str:
    """The ARM id of an assignment."""
    return f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"


def is_temporary(assignment: Assignment) -> bool:
    """Whether it is a temporary assignment of this project: its GUID follows from its scope, role and principal."""
    derived = assignment_name(assignment.scope, assignment.role_guid, assignment.principal_id)
    return assignment.name.lower() == derived


async def find_assignment(session: AzureSession, scope: str, role_guid: str, principal_id: str) -> str | None:
    """Find an assignment that gives the principal the role at the scope or above it, and return its id or ``None``.

    Group memberships are not considered.
    """
    assignments = await _list(session, scope, f"principalId eq '{principal_id}'")
    return next(
        (held.id for held in assignments if held.role_guid == role_guid.lower() and _covers(held.scope, scope)), None
    )


async def list_assignments(session: AzureSession, scope: str) -> list[Assignment]:
    """List all assignments at exactly this scope."""
    assignments = await _list(session, scope, "atScope()")
    return [assignment for assignment in assignments if assignment.scope.lower() == scope.lower()]


async def grant_role(
    session: AzureSession, scope: str, role_guid: str, principal: Caller, *, name: str, description: str
) -> Grant:
    """Assign the role, unless the principal holds it at exactly this scope.

    :param name: see :func:`assignment_name`
    :param description: stored with the assignment, for people and for a later sweep
    :raises PermissionDenied: when the worker may not assign roles at the scope
    :raises Unavailable: when an assignment exists that cannot be listed yet
    """
    from azure.mgmt.authorization.v2022_04_01 import models

    attempted = "grant the role"
    request = models.RoleAssignmentCreateParameters(
        role_definition_id=_role_id(session, role_guid),
        principal_id=principal.object_id,
        principal_type=principal.kind,
        description=description,
    )
    try:
        with azure_faults(attempted, f"{role_guid} on {scope}"):
            created = await session.authorization.role_assignments.create(scope, name, request)
        return Grant(_assignment(created).id, revocable=True)
    except Conflict as conflict:
        temporary = assignment_id(scope, name)
        if await read_assignment(session, temporary) is not None:
            return Grant(temporary, revocable=True)
        for held in await _list(session, scope, f"principalId eq '{principal.object_id}'"):
            if held.role_guid == role_guid.lower() and held.scope.lower() == scope.lower():
                return Grant(held.id, revocable=False)
        raise Unavailable(
            attempted, conflict.subject, conflict.observed, "Run again when the assignment can be listed."
        ) from None


async def revoke_role(session: AzureSession, assignment_id: str) -> None:
    """Delete an assignment. Does nothing if it no longer exists."""
    try:
        with azure_faults("revoke the role", assignment_id):
            await session.authorization.role_assignments.delete_by_id(assignment_id)
    except NotFound:
        return


async def read_assignment(session: AzureSession, assignment_id: str) -> Assignment | None:
    """Read an assignment by its id, which finds it earlier than a list; ``None`` if it does not exist."""
    try:
        with azure_faults("read the role assignment", assignment_id):
            return _assignment(await session.authorization.role_assignments.get_by_id(assignment_id))
    except NotFound:
        return None


async def _list(session: AzureSession, scope: str, condition: str) -> list[Assignment]:
    attempted = "list the role assignments"
    with azure_faults(attempted, scope):
        pages = session.authorization.role_assignments.list_for_scope(
            scope, filter=condition, raw_response_hook=every_page(attempted, scope)
        )
        return [_assignment(assignment) async for assignment in pages]


def _role_id(session: AzureSession, role_guid: str) -> str:
    return f"/subscriptions/{session.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role_guid}"


def _covers(above: str, scope: str) -> bool:
    above, scope = above.lower().rstrip("/"), scope.lower().rstrip("/")
    return scope == above or scope.startswith(f"{above}/") or above.startswith(_MANAGEMENT_GROUP)


def _assignment(found: models.RoleAssignment) -> Assignment:
    if not (found.id and found.name and found.scope and found.role_definition_id and found.principal_id):
        raise UnreadableAnswer("read the role assignment", str(found.id), "It lacks required properties.", "Run again.")
    return Assignment(
        id=found.id,
        name=found.name,
        scope=found.scope,
        role_guid=found.role_definition_id.rsplit("/", 1)[-1].lower(),
        principal_id=found.principal_id,
        description=found.description or "",
    )
