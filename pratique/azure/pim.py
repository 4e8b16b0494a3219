"""Roles that Azure ends by itself: activations through Privileged Identity Management.

::

    lease = replace(lease, assignment=activation(lease))
    await activate(session, vault_id, CERTIFICATES_OFFICER, me, lease, minutes=30)
    ...
    await deactivate(session, vault_id, lease.assignment)

The GUID of the request follows from the lease and its expiry, and the lease's record names it: whoever ends the lease
finds the request, and in it everything that ending takes. Azure keeps one activation a principal, role and scope, so
several leases may name the same one.

Facts: Microsoft.Authorization/roleAssignmentScheduleRequests REST API 2020-10-01; Microsoft Learn, "Activate Azure
resource roles in PIM": an activation lasts five minutes at least and cannot be ended before. UNVERIFIED: the codes of
refusals, what a tenant without the licence answers, and that the eligibility need not be named when it is unambiguous.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

from azure.mgmt.authorization.v2020_10_01 import models

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession, Caller
from pratique.azure.wire import word
from pratique.errors import Conflict, NotFound, OperationFailed, PermissionDenied, Unavailable
from pratique.lease import Lease

#: Begins :attr:`Lease.assignment` when it is an activation, which Azure ends by itself; the request's GUID follows.
BY_ITSELF = "pim:"
SHORTEST_MINUTES = 5

_NAMESPACE = uuid.UUID("0b3c8a52-6f0d-5c4b-8f0e-52a5f1b7d9c3")
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?")
_FOR_PEOPLE = ("PendingApproval", "PendingApprovalProvisioning", "PendingAdminDecision")
_OVER = ("Denied", "Revoked", "Canceled", "Failed", "FailedAsResourceIsLocked", "AdminDenied", "TimedOut", "Invalid")
_ACTION = "Microsoft.Authorization/roleAssignmentScheduleRequests/write"


def activation(lease: Lease) -> str:
    """How the lease names an activation of its own; a renewed lease has another."""
    expires = lease.expires.astimezone(UTC).isoformat(timespec="seconds")
    return f"{BY_ITSELF}{uuid.uuid5(_NAMESPACE, f'{lease.id}|{expires}')}"


async def activate(
    session: AzureSession, scope: str, role_guid: str, principal: Caller, lease: Lease, *, minutes: int
) -> None:
    """Assign the role for a time, under the request that :attr:`Lease.assignment` names.

    An identity that may assign roles assigns it to itself (``AdminAssign``). One that may not, but is eligible for the
    role, activates it (``SelfActivate``): this is tried when the first is refused for want of the right. Azure lets
    people be eligible, and groups, but no service principals.

    :param minutes: until Azure ends it, at least :data:`SHORTEST_MINUTES`
    :raises PermissionDenied: when the identity may do neither, or when somebody has to approve
    :raises Conflict: when the role is active already by another request
    """
    if minutes < SHORTEST_MINUTES:
        raise ValueError(f"an activation lasts {SHORTEST_MINUTES} minutes at least, not {minutes}")
    try:
        request = await _request(session, scope, role_guid, principal, lease, minutes, "AdminAssign")
    except PermissionDenied as refused:
        try:
            request = await _request(session, scope, role_guid, principal, lease, minutes, "SelfActivate")
        except (PermissionDenied, OperationFailed) as also:
            raise PermissionDenied(
                refused.attempted,
                refused.subject,
                f"{refused.observed} As for an eligibility: {also.observed}",
                f"Give {principal.name} a role with {_ACTION}, or make it eligible for the role, on {scope}.",
            ) from None
    _require_active(request, role_guid, scope)


async def serves(session: AzureSession, scope: str, activation: str, role_guid: str, principal: Caller) -> bool:
    """Whether an activation that some lease names gives this role to this principal, and is not over."""
    request = await _find(session, scope, activation)
    return (
        request is not None
        and not _over(request)
        and request.principal_id == principal.object_id
        and str(request.role_definition_id).lower().endswith(role_guid.lower())
    )


async def deactivate(session: AzureSession, scope: str, activation: str) -> None:
    """End an activation before its time; a request that still waits for somebody is withdrawn.

    One that is over is no error, nor one in its first five minutes: Azure does not end it yet, but will by itself.

    :param activation: as a lease names it
    """
    request = await _find(session, scope, activation)
    if request is None or _over(request):
        return
    requests, attempted = session.schedules.role_assignment_schedule_requests, "end the role's activation"
    try:
        with azure_faults(attempted, scope):
            if word(request.status) in _FOR_PEOPLE:
                await requests.cancel(scope, str(request.name))
                return
            ended = models.RoleAssignmentScheduleRequest(
                principal_id=request.principal_id,
                role_definition_id=request.role_definition_id,
                request_type="SelfDeactivate" if word(request.request_type) == "SelfActivate" else "AdminRemove",
                target_role_assignment_schedule_id=request.target_role_assignment_schedule_id,
                justification=request.justification,
            )
            await requests.create(scope, str(uuid.uuid4()), ended)
    except (NotFound, Conflict, OperationFailed) as refused:
        over = "RoleAssignmentDoesNotExist" in refused.observed
        early = "ActiveDurationTooShort" in refused.observed
        if not (over or early or isinstance(refused, NotFound)):
            raise


async def _request(
    session: AzureSession, scope: str, role_guid: str, principal: Caller, lease: Lease, minutes: int, kind: str
) -> models.RoleAssignmentScheduleRequest:
    asked = models.RoleAssignmentScheduleRequest(
        principal_id=principal.object_id,
        role_definition_id=(
            f"/subscriptions/{session.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role_guid}"
        ),
        request_type=kind,
        justification=f"Pratique, lease {lease.id} of {lease.owner}",
        schedule_info=models.RoleAssignmentScheduleRequestPropertiesScheduleInfo(
            start_date_time=datetime.now(UTC),
            expiration=models.RoleAssignmentScheduleRequestPropertiesScheduleInfoExpiration(
                type="AfterDuration", duration=f"PT{minutes}M"
            ),
        ),
    )
    name = lease.assignment.removeprefix(BY_ITSELF)
    try:
        with azure_faults("activate the role", f"{role_guid} on {scope}"):
            return await session.schedules.role_assignment_schedule_requests.create(scope, name, asked)
    except (Conflict, OperationFailed, Unavailable) as failed:
        # An earlier attempt of ours whose answer was lost?
        standing = await _find(session, scope, lease.assignment)
        if standing is not None and not _over(standing):
            return standing
        if "RoleAssignmentExists" in failed.observed:
            raise Conflict(failed.attempted, failed.subject, failed.observed, failed.remedy) from None
        raise


async def _find(session: AzureSession, scope: str, activation: str) -> models.RoleAssignmentScheduleRequest | None:
    name = activation.removeprefix(BY_ITSELF)
    try:
        with azure_faults("read the role's activation", f"{name} on {scope}"):
            return await session.schedules.role_assignment_schedule_requests.get(scope, name)
    except NotFound:
        return None


def _over(request: models.RoleAssignmentScheduleRequest) -> bool:
    """By its status, or by its time: what is active after that is somebody else's."""
    schedule = request.schedule_info
    if word(request.status) in _OVER:
        return True
    expiration = schedule.expiration if schedule else None
    lasts = _DURATION.fullmatch(str(expiration.duration)) if expiration else None
    if lasts is None or schedule is None or schedule.start_date_time is None:
        return False
    hours, minutes = (int(part or 0) for part in lasts.groups())
    return schedule.start_date_time + timedelta(hours=hours, minutes=minutes) <= datetime.now(UTC)


def _require_active(request: models.RoleAssignmentScheduleRequest, role_guid: str, scope: str) -> None:
    status = word(request.status)
    if status in _FOR_PEOPLE:
        remedy = (
            "Somebody has to act: let an approver of the role grant the request in Privileged Identity Management, "
            "then run again; or let the pipeline's identity activate the role without approval."
        )
        raise PermissionDenied("activate the role", f"{role_guid} on {scope}", f"The request is {status}.", remedy)
    if status in _OVER:
        remedy = "Look at the request in Privileged Identity Management, then run again."
        raise OperationFailed("activate the role", f"{role_guid} on {scope}", f"The request is {status}.", remedy)
