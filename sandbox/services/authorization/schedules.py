"""Privileged Identity Management: role assignments that expire.

Source: REST API, Microsoft.Authorization/roleAssignmentScheduleRequests 2020-10-01; Microsoft Learn, "Activate Azure
resource roles in PIM": you cannot end your own activation in its first five minutes. Supported: AdminAssign,
AdminRemove, SelfActivate and SelfDeactivate; activations that wait for approval, and withdrawing them; eligibility by
AdminAssign and AdminRemove of roleEligibilityScheduleRequests. Under a lock, removals end as FailedAsResourceIsLocked,
while activations still expire. Not supported: approving, policies and later starts.
The error codes are UNVERIFIED.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from sandbox.azure import Azure
from sandbox.core.errors import HttpFault, NotSupported, arm_fault
from sandbox.core.operations import Operation
from sandbox.core.rbac import contains
from sandbox.core.routing import Call, Service, answer
from sandbox.services.arm.ids import canonical
from sandbox.services.authorization.grants import RequestedAssignment, grant
from sandbox.services.authorization.models import definition_id
from sandbox.services.entra.state import arm_caller

ACTIVE = "Microsoft.Authorization/roleAssignmentScheduleRequests"
ELIGIBLE = "Microsoft.Authorization/roleEligibilityScheduleRequests"
SHORTEST = timedelta(minutes=5)

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")

schedules = Service("role-schedules", ("management.azure.com",), authenticate=arm_caller, api_versions=("2020-10-01",))


@dataclass(frozen=True)
class Holding:
    """A principal, a role and a scope."""

    principal_id: str
    role_guid: str
    scope: str


@dataclass(frozen=True)
class _Active:
    """An assignment made by a request.

    :ivar since: Azure seconds
    :ivar operation: ends the assignment, if it expires
    """

    assignment_id: str
    since: float
    operation: Operation | None


class Schedules:
    """All requests, eligible principals, and the assignments made by requests.

    :ivar approved: GUIDs of the roles whose activation requires approval
    """

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self.requests: dict[str, dict[str, Any]] = {}
        self.eligible: set[Holding] = set()
        self.approved: set[str] = set()
        self._active: dict[Holding, _Active] = {}

    def is_eligible(self, wanted: Holding) -> bool:
        return any(
            (known.principal_id, known.role_guid) == (wanted.principal_id, wanted.role_guid)
            and contains(known.scope, wanted.scope)
            for known in self.eligible
        )

    def activate(self, holding: Holding, assignment_id: str, seconds: float | None) -> None:
        """Record a new assignment and end it after ``seconds`` of Azure's time; ``None`` keeps it."""
        operation = None
        if seconds is not None:

            async def end(_: Operation) -> None:
                await self._azure.clock.sleep_until(self._azure.clock.elapsed() + seconds)
                self._active.pop(holding, None)
                self._azure.access.unassign(assignment_id)

            operation = self._azure.operations.start("role-schedule", assignment_id, end)
        self._active[holding] = _Active(assignment_id, self._azure.clock.elapsed(), operation)

    def end(self, holding: Holding) -> bool:
        """End an assignment early; False when there is none."""
        active = self._active.pop(holding, None)
        if active is None:
            return False
        if active.operation is not None:
            self._azure.operations.cancel(active.operation)
        return self._azure.access.unassign(active.assignment_id) is not None

    def is_fresh(self, holding: Holding) -> bool:
        """Whether an assignment is too new to be deactivated."""
        active = self._active.get(holding)
        return active is not None and self._azure.clock.elapsed() - active.since < SHORTEST.total_seconds()


@schedules.put(
    f"/{{scope:path}}/providers/{ACTIVE}/{{name}}",
    unchecked="checked: activation requires eligibility, everything else the action",
)
async def request_assignment(call: Call) -> Response:
    """Make a temporary assignment, or end one."""
    schedules, properties, holding = call.azure.state(Schedules), _properties(call), _holding(call)
    match kind := str(properties.get("requestType")):
        case "AdminAssign" | "SelfActivate":
            seconds = _seconds(call, properties)
            _admit(call, kind, holding)
            if kind == "SelfActivate" and holding.role_guid in schedules.approved:
                return _recorded(call, ACTIVE, holding, "PendingApproval")
            wanted = RequestedAssignment(
                role_guid=holding.role_guid,
                principal_id=holding.principal_id,
                principal_type=None,
                description=properties.get("justification"),
            )
            assignment, _ = grant(call.azure, holding.scope, call.params["name"], wanted, call.principal)
            schedules.activate(holding, assignment.id, seconds)
        case "AdminRemove" | "SelfDeactivate":
            _admit(call, kind, holding)
            if kind == "SelfDeactivate" and schedules.is_fresh(holding):
                message = "The active duration is too short. Minimum required is 5 minutes."
                raise arm_fault(400, "ActiveDurationTooShort", message)
            if _is_delete_locked(call, holding):
                return _recorded(call, ACTIVE, holding, "FailedAsResourceIsLocked")
            if not schedules.end(holding):
                raise arm_fault(400, "RoleAssignmentDoesNotExist", "The Role assignment does not exist.")
        case _:
            raise NotSupported(f"The sandbox does not support the request type '{kind}'.")
    return _recorded(call, ACTIVE, holding, "Revoked" if kind in ("AdminRemove", "SelfDeactivate") else "Provisioned")


@schedules.put(f"/{{scope:path}}/providers/{ELIGIBLE}/{{name}}", action=f"{ELIGIBLE}/write")
async def request_eligibility(call: Call) -> Response:
    """Make a principal eligible for a role, or no longer; eligibility does not expire here."""
    schedules, holding = call.azure.state(Schedules), _holding(call)
    match kind := _properties(call).get("requestType"):
        case "AdminAssign":
            schedules.eligible.add(holding)
        case "AdminRemove":
            schedules.eligible.discard(holding)
        case _:
            raise NotSupported(f"The sandbox does not support the request type '{kind}' for eligibility.")
    return _recorded(call, ELIGIBLE, holding, "Provisioned" if kind == "AdminAssign" else "Revoked")


@schedules.post(
    f"/{{scope:path}}/providers/{ACTIVE}/{{name}}/cancel", unchecked="callers may withdraw their own requests"
)
async def cancel_request(call: Call) -> Response:
    """Withdraw a request that waits for approval."""
    found = call.azure.state(Schedules).requests.get(call.path.lower().removesuffix("/cancel"))
    if found is None or found["properties"]["requestorId"] != call.principal.object_id:
        raise arm_fault(404, "RoleAssignmentRequestNotFound", f"There is no request '{call.params['name']}'.")
    if found["properties"]["status"] != "PendingApproval":
        raise arm_fault(400, "RoleAssignmentRequestCannotBeCancelled", "Only a pending request can be cancelled.")
    found["properties"]["status"] = "Canceled"
    return Response(status_code=200)


@schedules.get(f"/{{scope:path}}/providers/{ACTIVE}/{{name}}", action=f"{ACTIVE}/read")
@schedules.get(f"/{{scope:path}}/providers/{ELIGIBLE}/{{name}}", action=f"{ELIGIBLE}/read")
async def get_request(call: Call) -> Response:
    found = call.azure.state(Schedules).requests.get(call.path.lower())
    if found is None:
        raise arm_fault(404, "RoleAssignmentRequestNotFound", f"There is no request '{call.params['name']}'.")
    return answer(found)


def _admit(call: Call, kind: str, holding: Holding) -> None:
    """Administrators need the right; everybody else requests for themselves and must be eligible."""
    if kind.startswith("Admin"):
        call.require(f"{ACTIVE}/write", holding.scope)
    elif holding.principal_id.lower() != call.principal.object_id.lower():
        raise arm_fault(403, "AuthorizationFailed", "Only the principal itself can activate or deactivate its roles.")
    elif kind == "SelfActivate" and not call.azure.state(Schedules).is_eligible(holding):
        message = f"The principal '{holding.principal_id}' is not eligible for the role at '{holding.scope}'."
        raise arm_fault(400, "RoleEligibilityDoesNotExist", message)


def _is_delete_locked(call: Call, holding: Holding) -> bool:
    """Whether a lock keeps the holding's assignment from being deleted."""
    try:
        call.azure.locks.require("delete", holding.scope)
    except HttpFault:
        return True
    return False


def _properties(call: Call) -> dict[str, Any]:
    properties = call.json().get("properties")
    if not isinstance(properties, dict) or not properties.get("principalId") or not properties.get("roleDefinitionId"):
        raise arm_fault(400, "BadRequestFormat", "The request needs properties with principalId and roleDefinitionId.")
    return properties


def _holding(call: Call) -> Holding:
    properties = _properties(call)
    scope = canonical(call.azure, "/" + call.params["scope"].strip("/"))
    return Holding(
        str(properties["principalId"]), str(properties["roleDefinitionId"]).rsplit("/", 1)[-1].lower(), scope
    )


def _seconds(call: Call, properties: dict[str, Any]) -> float | None:
    """Duration of the assignment in seconds; ``None`` when it does not expire."""
    expiration = (properties.get("scheduleInfo") or {}).get("expiration") or {"type": "NoExpiration"}
    match expiration.get("type"):
        case "NoExpiration" | None:
            return None
        case "AfterDuration" if found := _DURATION.fullmatch(str(expiration.get("duration"))):
            days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
            span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        case "AfterDateTime" if expiration.get("endDateTime"):
            span = datetime.fromisoformat(str(expiration["endDateTime"])) - call.azure.clock.now()
        case _:
            raise arm_fault(400, "InvalidExpiration", "The expiration needs a duration (ISO 8601) or an endDateTime.")
    if span < SHORTEST:
        raise arm_fault(400, "ActiveDurationTooShort", "The requested active duration is too short.")
    return span.total_seconds()


def _recorded(call: Call, kind: str, holding: Holding, status: str) -> Response:
    properties = _properties(call)
    principal = call.azure.access.principals.get(holding.principal_id.lower())
    request_id = f"{holding.scope}/providers/{kind}/{call.params['name']}"
    document = {
        "id": request_id,
        "name": call.params["name"],
        "type": kind,
        "properties": {
            "scope": holding.scope,
            "roleDefinitionId": definition_id(holding.role_guid, call.azure.subscription_id),
            "principalId": holding.principal_id,
            "principalType": principal.kind if principal else None,
            "requestType": properties["requestType"],
            "status": status,
            "scheduleInfo": properties.get("scheduleInfo"),
            "justification": properties.get("justification"),
            "requestorId": call.principal.object_id,
            "createdOn": call.azure.clock.now().isoformat().replace("+00:00", "Z"),
        },
    }
    call.azure.state(Schedules).requests[request_id.lower()] = document
    return answer(document, 201)
