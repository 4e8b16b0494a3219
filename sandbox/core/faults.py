"""Faults that a test, or a person through the control API, injects into requests and long-running operations.

In the sandbox's process, on its :class:`.Azure`::

    azure.faults.add(kind="reset-after", method="PUT", path="*/roleAssignments/*")
    azure.faults.add(kind="status", status=503, host="*.vault.azure.net", nth=2, times=3)
    azure.faults.add(kind="operation-hangs", operation="import")

A fault counts its matches; a reset removes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RequestFault = Literal[
    "status", "web-page", "truncated", "reset-before", "reset-after", "timeout", "timeout-after", "slow"
]
OperationFault = Literal["operation-fails", "operation-hangs"]


class Fault(BaseModel):
    """What happens to which requests or operations. In patterns ``*`` matches any text; letter case is ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: RequestFault | OperationFault
    method: str = Field(default="*", description="Pattern for the request's method.")
    host: str = Field(default="*", description="Pattern for the request's host.")
    path: str = Field(
        default="*", description="Pattern for the request's path without its query, or for the operation's subject."
    )
    client: str = Field(default="*", description="Pattern for the user name that the client gave to the proxy.")
    operation: str = Field(default="*", description="Pattern for the operation's kind: deployment, import, scan, ….")
    nth: int = Field(default=1, ge=1, description="The first match that the fault hits.")
    times: int | None = Field(default=1, ge=1, description="How many matches it hits from there on; null for all.")
    status: int = Field(default=503, ge=400, le=599, description="Status code of a status fault.")
    code: str | None = Field(default=None, description="Error code of a status fault or a failed operation.")
    message: str | None = Field(default=None, description="Error message of a status fault or a failed operation.")
    details: tuple[dict[str, Any], ...] = Field(
        default=(), description="Errors inside the error of a status fault on ARM or of a failed operation."
    )
    plain: bool = Field(
        default=False, description="The message of a status fault alone, as text, without the service's envelope."
    )
    retry_after: int | str | None = Field(
        default=None, description="Retry-After header of a status fault: real seconds, or any other text."
    )
    seconds: float = Field(
        default=0,
        ge=0,
        description="Seconds of Azure's time by which an answer is delayed, or after which an operation fails.",
    )

    @property
    def targets_operations(self) -> bool:
        return self.kind.startswith("operation-")


@dataclass(kw_only=True)
class ActiveFault:
    """A fault and its history.

    :ivar matched: requests or operations that matched so far, whether they were hit or not
    :ivar hits: those that were hit
    :ivar caught: set once a response is being withheld and its effect, if it is to have one, is applied: the moment
        to kill its client
    """

    id: int
    fault: Fault
    matched: int = 0
    hits: int = 0
    caught: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, *pairs: tuple[str, str]) -> bool:
        """Count a candidate that matches, and return whether the fault hits it.

        :param pairs: values with their patterns
        """
        if not all(fnmatchcase(value.lower(), pattern.lower()) for value, pattern in pairs):
            return False
        self.matched += 1
        fault = self.fault
        hit = self.matched >= fault.nth and (fault.times is None or self.matched < fault.nth + fault.times)
        self.hits += hit
        return hit

    def document(self) -> dict[str, Any]:
        fields = self.fault.model_dump(exclude_unset=True)
        history = {"matched": self.matched, "hits": self.hits, "caught": self.caught.is_set()}
        return {"id": self.id, **fields, **history}


@dataclass
class Faults:
    """All active faults, in the order in which they were added: the first one that hits takes effect."""

    _active: list[ActiveFault] = field(default_factory=list)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def add(self, fault: Fault | None = None, **fields: Any) -> ActiveFault:
        """Add a fault, given whole or by its fields.

        :raises ValueError: when the fields are not a valid fault
        """
        active = ActiveFault(id=next(self._ids), fault=fault or Fault.model_validate(fields))
        self._active.append(active)
        return active

    def all(self) -> list[ActiveFault]:
        return list(self._active)

    def clear(self) -> None:
        self._active.clear()

    def of_request(self, method: str, host: str, path: str, client: str) -> ActiveFault | None:
        """The fault that hits this request. Every fault that matches counts it."""
        hit = []
        for active in self._active:
            fault = active.fault
            pairs = ((method, fault.method), (host, fault.host), (path, fault.path), (client, fault.client))
            if not fault.targets_operations and active.matches(*pairs):
                hit.append(active)
        return hit[0] if hit else None

    def of_operation(self, kind: str, subject: str) -> Fault | None:
        """The fault that hits a new operation."""
        hit = [
            active.fault
            for active in self._active
            if active.fault.targets_operations
            and active.matches((kind, active.fault.operation), (subject, active.fault.path))
        ]
        return hit[0] if hit else None
