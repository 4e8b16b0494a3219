"""Management locks, which restrict writes and deletions for everybody, whatever their roles.

``CanNotDelete`` refuses deletions, ``ReadOnly`` writes and POSTs as well. A lock holds at its scope and below, also for
extension resources such as role assignments; a scope with a locked resource below it cannot be deleted either.

Source: Microsoft Learn, "Lock your resources to protect your infrastructure"; MicrosoftDocs/azure-docs#110791 for role
assignments. The error's text is that of ARM's answers in public issues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sandbox.core.errors import arm_fault
from sandbox.core.rbac import contains

Level = Literal["CanNotDelete", "ReadOnly"]
Operation = Literal["write", "delete"]


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock.

    :ivar scope: id of the subscription, the resource group or the resource
    """

    scope: str
    name: str
    level: Level
    notes: str | None = None

    @property
    def id(self) -> str:
        return f"{self.scope}/providers/Microsoft.Authorization/locks/{self.name}"

    def forbids(self, operation: Operation, scope: str) -> bool:
        if operation == "delete":
            return contains(self.scope, scope) or contains(scope, self.scope)
        return self.level == "ReadOnly" and contains(self.scope, scope)


class Locks:
    """All locks by id (case-insensitive)."""

    def __init__(self) -> None:
        self._locks: dict[str, Lock] = {}

    def put(self, lock: Lock) -> bool:
        """Create or replace a lock; returns whether it is new."""
        is_new = lock.id.lower() not in self._locks
        self._locks[lock.id.lower()] = lock
        return is_new

    def get(self, lock_id: str) -> Lock | None:
        return self._locks.get(lock_id.lower())

    def delete(self, lock_id: str) -> Lock | None:
        return self._locks.pop(lock_id.lower(), None)

    def list(self, shows: Callable[[Lock], bool]) -> list[Lock]:
        return [lock for lock in self._locks.values() if shows(lock)]

    def require(self, operation: Operation, scope: str) -> None:
        """:raises HttpFault: 409 ScopeLocked"""
        if locked := self.list(lambda lock: lock.forbids(operation, scope)):
            scopes = ",".join(dict.fromkeys(lock.scope for lock in locked))
            raise arm_fault(
                409,
                "ScopeLocked",
                f"The scope '{scope}' cannot perform {operation} operation because following scope(s) are locked: "
                f"'{scopes}'. Please remove the lock and try again.",
            )
