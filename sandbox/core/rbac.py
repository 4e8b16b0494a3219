"""Principals, role definitions and role assignments, and the permission checks over them.

Assignments propagate with a delay, as in Azure: a new grant does not work yet, and a deleted one still works for a
while.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from sandbox.core.checks import Check, Checks
from sandbox.core.clock import Clock
from sandbox.core.conditions import NO_ATTRIBUTES, Attributes, parse
from sandbox.core.errors import arm_fault


@dataclass(frozen=True)
class Principal:
    """A user, group or service principal in the directory.

    :ivar kind: ``User``, ``ServicePrincipal`` or ``Group``, as in ``principalType``
    :ivar client_id: the application id of a service principal or managed identity
    """

    object_id: str
    kind: str
    name: str
    client_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class RoleDefinition:
    """A role: lists of action patterns in which ``*`` matches any text.

    :ivar assignable_scopes: where a custom role may be assigned; ``/`` marks a built-in role
    """

    guid: str
    name: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    description: str = ""
    assignable_scopes: tuple[str, ...] = ("/",)

    @property
    def built_in(self) -> bool:
        return self.assignable_scopes == ("/",)

    def assignable_at(self, scope: str) -> bool:
        """Whether lists at the scope show the role and assignments there may use it."""
        return self.built_in or any(contains(outer, scope) for outer in self.assignable_scopes)

    def allows(self, action: str, *, data: bool) -> bool:
        granted, taken = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        return _any_matches(granted, action) and not _any_matches(taken, action)


@dataclass(kw_only=True)
class RoleAssignment:
    """A role for a principal at a scope.

    :ivar effective: Azure seconds (:meth:`Clock.elapsed`) at which it takes effect
    :ivar ended: Azure seconds at which a deleted assignment loses its effect
    :ivar condition: what :mod:`sandbox.core.conditions` can parse
    """

    name: str
    scope: str
    principal_id: str
    principal_type: str
    role_guid: str
    created_on: datetime
    created_by: str
    effective: float
    description: str | None = None
    condition: str | None = None
    condition_version: str | None = None
    ended: float | None = None
    deleted: bool = False

    @property
    def id(self) -> str:
        return f"{self.scope}/providers/Microsoft.Authorization/roleAssignments/{self.name}"

    def admits(self, action: str, attributes: Attributes | None) -> bool:
        """Whether the condition, if there is one, lets the role count for a request.

        :param attributes: None where they are not known yet: the condition then counts as met
        """
        return self.condition is None or attributes is None or parse(self.condition).holds(action, attributes)


@dataclass(kw_only=True)
class Access:
    """The directory and all role assignments."""

    clock: Clock
    subscription_id: str
    delay: float
    principals: dict[str, Principal] = field(default_factory=dict)
    roles: dict[str, RoleDefinition] = field(default_factory=dict)
    checks: Checks = field(default_factory=Checks)
    _assignments: dict[str, RoleAssignment] = field(default_factory=dict)
    _leaving: list[RoleAssignment] = field(default_factory=list)

    def add_principal(self, principal: Principal) -> Principal:
        self.principals[principal.object_id.lower()] = principal
        return principal

    def principal_of_client(self, client_id: str) -> Principal | None:
        return next((p for p in self.principals.values() if p.client_id == client_id), None)

    def role(self, reference: str) -> RoleDefinition | None:
        """A role definition by GUID, by full resource id, or by name."""
        key = reference.rsplit("/", 1)[-1].lower()
        return self.roles.get(key) or next((r for r in self.roles.values() if r.name == reference), None)

    def assign(
        self,
        *,
        role: str,
        principal_id: str,
        scope: str,
        name: str | None = None,
        created_by: str = "",
        description: str | None = None,
        principal_type: str | None = None,
        at_once: bool = False,
    ) -> RoleAssignment:
        """Add an assignment; it takes effect after the propagation delay, or immediately with ``at_once``."""
        definition = self.role(role)
        if definition is None:
            raise arm_fault(
                404, "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role}' does not exist."
            )
        known = self.principals.get(principal_id.lower())
        assignment = RoleAssignment(
            name=name or str(uuid.uuid4()),
            scope=scope.rstrip("/"),
            principal_id=principal_id,
            principal_type=principal_type or (known.kind if known else "ServicePrincipal"),
            role_guid=definition.guid,
            created_on=self.clock.now(),
            created_by=created_by,
            effective=self.clock.after(0 if at_once else self.delay),
            description=description,
        )
        self._assignments[assignment.id.lower()] = assignment
        return assignment

    def unassign(self, assignment_id: str) -> RoleAssignment | None:
        """Delete an assignment; it stays effective for the propagation delay."""
        assignment = self._assignments.pop(assignment_id.lower(), None)
        if assignment is not None:
            assignment.deleted = True
            assignment.ended = self.clock.after(self.delay)
            self._leaving.append(assignment)
        return assignment

    def assignment(self, assignment_id: str) -> RoleAssignment | None:
        return self._assignments.get(assignment_id.lower())

    def assignments(self) -> list[RoleAssignment]:
        """All assignments that a list shows, which leaves out deleted ones."""
        return list(self._assignments.values())

    def fading(self) -> list[RoleAssignment]:
        """Deleted assignments that are still effective."""
        now = self.clock.elapsed()
        self._leaving = [a for a in self._leaving if a.ended is None or a.ended > now]
        return [a for a in self._leaving if a.effective <= now]

    def allowed(
        self,
        principal_id: str,
        action: str,
        scope: str,
        *,
        data: bool = False,
        attributes: Attributes | None = NO_ATTRIBUTES,
    ) -> bool:
        """Whether the principal may do ``action`` at ``scope`` at this moment; records the check.

        :param attributes: what conditions read, as :meth:`RoleAssignment.admits`
        """
        now, wanted = self.clock.elapsed(), principal_id.lower()
        granted = any(
            assignment.principal_id.lower() == wanted
            and assignment.effective <= now
            and contains(assignment.scope, scope)
            and (role := self.roles.get(assignment.role_guid)) is not None
            and role.allows(action, data=data)
            and assignment.admits(action, attributes)
            for assignment in (*self._assignments.values(), *self.fading())
        )
        self.checks.note(Check(principal=principal_id, action=action, scope=scope, data=data, granted=granted))
        return granted

    def assignments_at(self, principal_id: str, scope: str) -> list[RoleAssignment]:
        """The principal's assignments that are effective at the scope at this moment."""
        now = self.clock.elapsed()
        return [
            assignment
            for assignment in self._assignments.values()
            if assignment.principal_id.lower() == principal_id.lower()
            and assignment.effective <= now
            and contains(assignment.scope, scope)
        ]

    def require(
        self, principal: Principal, action: str, scope: str, attributes: Attributes | None = NO_ATTRIBUTES
    ) -> None:
        """:raises HttpFault: ARM's 403 AuthorizationFailed"""
        if not self.allowed(principal.object_id, action, scope, attributes=attributes):
            raise arm_fault(
                403,
                "AuthorizationFailed",
                f"The client '{principal.client_id or principal.name}' with object id '{principal.object_id}' does not "
                f"have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. "
                "If access was recently granted, please refresh your credentials.",
            )


def contains(outer: str, inner: str) -> bool:
    """Whether ``inner`` is ``outer`` or below it (ARM scopes, case-insensitive)."""
    outer, inner = outer.lower().rstrip("/"), inner.lower().rstrip("/")
    return inner == outer or inner.startswith(outer + "/")


def _any_matches(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(pattern).fullmatch(action.lower()) for pattern in patterns)


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.lower().split("*")))
