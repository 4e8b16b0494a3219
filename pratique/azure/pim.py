"""Time-limited roles through Privileged Identity Management (PIM): activations, which Azure ends by itself.

::

    lease = replace(lease, assignment=activation_name(lease))
    await activate(session, vault_id, CERTIFICATES_OFFICER, me, lease, minutes=30)
    ...
    await deactivate(session, vault_id, lease.assignment)

The GUID of the request is derived from the lease and its expiry, and the lease's record names it, so whoever ends the
lease finds the request and everything needed to end it. Azure keeps one activation per principal, role and scope, so
several leases may name the same one.

Facts: Microsoft.Authorization/roleAssignmentScheduleRequests REST API 2020-10-01; Microsoft Learn, "Activate Azure
resource roles in PIM": an activation lasts at least five minutes and cannot be ended earlier. UNVERIFIED: the error
codes, the answer of a tenant without the licence, and that an unambiguous eligibility need not be named.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pratique.azure.faults import azure_faults
from pratique.azure.session import AzureSession, Caller
from pratique.azure.wire import enum_value
from pratique.errors import Conflict, NotFound, OperationFailed, PermissionDenied, ScopeLocked, Unavailable
from pratique.lease import Lease

if TYPE_CHECKING:
    from azure.mgmt.authorization.v2020_10_01 import models

#: Prefix of :attr:`Lease.assignment` when it is an activation, which Azure ends by itself; the request's GUID follows.
ACTIVATION_PREFIX = "pim:"
SHORTEST_MINUTES = 5

_NAMESPACE = uuid.UUID("0b3c8a52-6f0d-5c4b-8f0e-52a5f1b7d9c3")
_JUSTIFICATION = re.compile(r"Pratique, lease (?P<id>\S+) of .+, until (?P<until>\S+)")
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?")
_PENDING = ("PendingApproval", "PendingApprovalProvisioning", "PendingAdminDecision")
_ENDED = ("Denied", "Revoked", "Canceled", "Failed", "FailedAsResourceIsLocked", "AdminDenied", "TimedOut", "Invalid")
_ACTION = "Microsoft.Authorization/roleAssignmentScheduleRequests/write"


def activation_name(lease: Lease) -> str:
    """The name of the lease's own activation; a renewed lease has a new one."""
    return f"{ACTIVATION_PREFIX}{_request_name(lease.id, _until(lease))}"


async def activate(
    session: AzureSession, scope: str, role_guid: str, principal: Caller, lease: Lease, *, minutes: int
) -> None:
    """Assign the role for a limited time, with the request that :attr:`Lease.assignment` names.

    An identity that may assign roles assigns it to itself (``AdminAssign``). If that is denied, an identity that is
    eligible for the role activates it (``SelfActivate``). In Azure, people and groups can be eligible, but service
    principals cannot.

    :param minutes: until Azure ends it, at least :data:`SHORTEST_MINUTES`
    :raises PermissionDenied: when the identity may do neither, or when a person has to approve
    :raises Conflict: when the role is already active through another request
    """
    if minutes < SHORTEST_MINUTES:
        raise ValueError(f"an activation lasts at least {SHORTEST_MINUTES} minutes, not {minutes}")
    try:
        request = await _request(session, scope, role_guid, principal, lease, minutes, "AdminAssign")
    except PermissionDenied as denied:
        try:
            request = await _request(session, scope, role_guid, principal, lease, minutes, "SelfActivate")
        except (PermissionDenied, OperationFailed) as failed:
            raise PermissionDenied(
                denied.attempted,
                denied.subject,
                f"{denied.observed} Activating an eligible role failed too: {failed.observed}",
                f"Give {principal.name} a role with {_ACTION}, or make it eligible for the role, on {scope}.",
            ) from None
    _require_active(request, role_guid, scope)


async def grants_role(session: AzureSession, scope: str, activation: str, role_guid: str, principal: Caller) -> bool:
    """Whether an activation that a lease names is a lease's, still lasts, and gives this role to this principal."""
    request = await _find(session, scope, activation)
    return (
        request is not None
        and _is_of_a_lease(request)
        and not _has_ended(request)
        and request.principal_id == principal.object_id
        and str(request.role_definition_id).lower().endswith(role_guid.lower())
    )


async def lasts(session: AzureSession, scope: str, activation: str) -> bool:
    """Whether an activation that a lease names is a lease's, and has not ended."""
    request = await _find(session, scope, activation)
    return request is not None and _is_of_a_lease(request) and not _has_ended(request)


async def deactivate(session: AzureSession, scope: str, activation: str) -> bool:
    """End an activation early, or cancel a request that still waits for approval.

    Does nothing for an activation that has ended, or that is in its first five minutes: Azure does not let it be ended
    yet, but ends it by itself later.

    :param activation: as a lease's record names it
    :returns: False for an activation that no lease has made: it goes on
    """
    from azure.mgmt.authorization.v2020_10_01 import models

    request = await _find(session, scope, activation)
    if request is None or _has_ended(request):
        return True
    if not _is_of_a_lease(request):
        return False
    requests, attempted = session.schedules.role_assignment_schedule_requests, "end the role's activation"
    try:
        with azure_faults(attempted, scope):
            if enum_value(request.status) in _PENDING:
                await requests.cancel(scope, str(request.name))
                return True
            removal = models.RoleAssignmentScheduleRequest(
                principal_id=request.principal_id,
                role_definition_id=request.role_definition_id,
                request_type="SelfDeactivate" if enum_value(request.request_type) == "SelfActivate" else "AdminRemove",
                target_role_assignment_schedule_id=request.target_role_assignment_schedule_id,
                justification=request.justification,
            )
            _require_removed(await requests.create(scope, str(uuid.uuid4()), removal), scope)
    except (NotFound, Conflict, OperationFailed) as failed:
        ended = "RoleAssignmentDoesNotExist" in failed.observed
        too_early = "ActiveDurationTooShort" in failed.observed
        if not (ended or too_early or isinstance(failed, NotFound)):
            raise
    return True


async def _request(
    session: AzureSession, scope: str, role_guid: str, principal: Caller, lease: Lease, minutes: int, kind: str
) -> models.RoleAssignmentScheduleRequest:
    from azure.mgmt.authorization.v2020_10_01 import models

    request = models.RoleAssignmentScheduleRequest(
        principal_id=principal.object_id,
        role_definition_id=(
            f"/subscriptions/{session.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role_guid}"
        ),
        request_type=kind,
        justification=f"Pratique, lease {lease.id} of {lease.owner}, until {_until(lease)}",
        schedule_info=models.RoleAssignmentScheduleRequestPropertiesScheduleInfo(
            start_date_time=datetime.now(UTC),
            expiration=models.RoleAssignmentScheduleRequestPropertiesScheduleInfoExpiration(
                type="AfterDuration", duration=f"PT{minutes}M"
            ),
        ),
    )
    name = lease.assignment.removeprefix(ACTIVATION_PREFIX)
    try:
        with azure_faults("activate the role", f"{role_guid} on {scope}"):
            return await session.schedules.role_assignment_schedule_requests.create(scope, name, request)
    except (Conflict, OperationFailed, Unavailable) as failed:
        # An earlier attempt may have succeeded although its answer was lost.
        earlier = await _find(session, scope, lease.assignment)
        if earlier is not None and not _has_ended(earlier):
            return earlier
        if "RoleAssignmentExists" in failed.observed:
            raise Conflict(failed.attempted, failed.subject, failed.observed, failed.remedy) from None
        raise


async def _find(session: AzureSession, scope: str, activation: str) -> models.RoleAssignmentScheduleRequest | None:
    name = activation.removeprefix(ACTIVATION_PREFIX)
    try:
        with azure_faults("read the role's activation", f"{name} on {scope}"):
            return await session.schedules.role_assignment_schedule_requests.get(scope, name)
    except NotFound:
        return None


def _until(lease: Lease) -> str:
    return lease.expires.astimezone(UTC).isoformat(timespec="seconds")


def _request_name(lease_id: str, until: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{lease_id}|{until}"))


def _is_of_a_lease(request: models.RoleAssignmentScheduleRequest) -> bool:
    """Whether its GUID follows from the lease in its justification, which only who activates roles can write."""
    lease = _JUSTIFICATION.fullmatch(str(request.justification))
    return lease is not None and str(request.name).lower() == _request_name(lease["id"], lease["until"])


def _has_ended(request: models.RoleAssignmentScheduleRequest) -> bool:
    """Whether its status or its duration says so: an activation after that time belongs to another request."""
    schedule = request.schedule_info
    if enum_value(request.status) in _ENDED:
        return True
    expiration = schedule.expiration if schedule else None
    duration = _DURATION.fullmatch(str(expiration.duration)) if expiration else None
    if duration is None or schedule is None or schedule.start_date_time is None:
        return False
    hours, minutes = (int(part or 0) for part in duration.groups())
    return schedule.start_date_time + timedelta(hours=hours, minutes=minutes) <= datetime.now(UTC)


def _require_removed(removal: models.RoleAssignmentScheduleRequest, scope: str) -> None:
    """:raises PratiqueError: when Azure has accepted the request and not carried it out"""
    status, attempted = enum_value(removal.status), "end the role's activation"
    if status == "FailedAsResourceIsLocked":
        raise ScopeLocked(
            attempted, scope, f"The request is {status}.", "Remove the lock, or ask its owner: az lock list."
        )
    if status in _ENDED and status != "Revoked":
        raise OperationFailed(
            attempted, scope, f"The request is {status}.", "Check it in Privileged Identity Management."
        )


def _require_active(request: models.RoleAssignmentScheduleRequest, role_guid: str, scope: str) -> None:
    status = enum_value(request.status)
    if status in _PENDING:
        remedy = (
            "Ask an approver of the role to approve the request in Privileged Identity Management, then run again; "
            "or let the pipeline's identity activate the role without approval."
        )
        raise PermissionDenied("activate the role", f"{role_guid} on {scope}", f"The request is {status}.", remedy)
    if status in _ENDED:
        remedy = "Check the request in Privileged Identity Management, then run again."
        raise OperationFailed("activate the role", f"{role_guid} on {scope}", f"The request is {status}.", remedy)
