"""Faults: what a test, or a person at the control host, puts in the way of requests and long-running operations.

In the process of the sandbox, on its :class:`.Azure`::

    azure.faults.add(kind="reset-after", method="PUT", path="*/roleAssignments/*")
    azure.faults.add(kind="status", status=503, host="*.vault.azure.net", nth=2, times=3)
    azure.faults.add(kind="operation-hangs", operation="import")

A fault is counted per match, and forgotten by a reset.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RequestFault = Literal["status", "reset-before", "reset-after", "timeout", "timeout-after", "slow"]
OperationFault = Literal["operation-fails", "operation-hangs"]


class Fault(BaseModel):
    """What happens to which requests or operations. In the patterns ``*`` stands for any text, in any letter case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: RequestFault | OperationFault
    method: str = Field(default="*", description="Pattern of the request's method.")
    host: str = Field(default="*", description="Pattern of the request's host.")
    path: str = Field(
        default="*", description="Pattern of the request's path without its query, or of the operation's subject."
    )
    client: str = Field(default="*", description="Pattern of the user name that the client gave to the proxy.")
    operation: str = Field(default="*", description="Pattern of the operation's kind: deployment, import, scan, ….")
    nth: int = Field(default=1, ge=1, description="The first match that is hit.")
    times: int | None = Field(default=1, ge=1, description="How many matches from there on; null for all.")
    status: int = Field(default=503, ge=400, le=599, description="Of a status fault.")
    code: str | None = Field(default=None, description="Of the error in a status fault, or of a failed operation.")
    message: str | None = Field(default=None, description="Of that error.")
    retry_after: int | None = Field(default=None, ge=0, description="Retry-After of a status fault, as sent.")
    seconds: float = Field(
        default=0, ge=0, description="Of Azure's time: how slow an answer is, or when an operation fails."
    )

    @property
    def of_operations(self) -> bool:
        return self.kind.startswith("operation-")


@dataclass
class StandingFault:
    """A fault with its history.

    :ivar matched: requests or operations that fitted it so far, whether they were hit or not
    :ivar hits: those that were
    :ivar caught: set when the answer to one is withheld, and whatever is to be applied has been: the moment to kill
        its client
    """

    id: int
    fault: Fault
    matched: int = 0
    hits: int = 0
    caught: asyncio.Event = field(default_factory=asyncio.Event)

    def meet(self, *pairs: tuple[str, str]) -> bool:
        """Count something that may fit, and tell whether it is hit.

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
        asked = self.fault.model_dump(exclude_unset=True)
        history = {"matched": self.matched, "hits": self.hits, "caught": self.caught.is_set()}
        return {"id": self.id, **asked, **history}


@dataclass
class Faults:
    """All faults that stand, in the order in which they were added: the first one that hits is the one that counts."""

    _standing: list[StandingFault] = field(default_factory=list)
    _ids: count[int] = field(default_factory=lambda: count(1))

    def add(self, fault: Fault | None = None, **fields: Any) -> StandingFault:
        """Put a fault in the way, given whole or by its fields.

        :raises ValueError: when the fields make no fault
        """
        standing = StandingFault(next(self._ids), fault or Fault.model_validate(fields))
        self._standing.append(standing)
        return standing

    def all(self) -> list[StandingFault]:
        return list(self._standing)

    def clear(self) -> None:
        self._standing.clear()

    def of_request(self, method: str, host: str, path: str, client: str) -> StandingFault | None:
        """What this request meets. Every fault that it fits counts it."""
        hit = []
        for standing in self._standing:
            fault = standing.fault
            pairs = ((method, fault.method), (host, fault.host), (path, fault.path), (client, fault.client))
            if not fault.of_operations and standing.meet(*pairs):
                hit.append(standing)
        return hit[0] if hit else None

    def of_operation(self, kind: str, subject: str) -> Fault | None:
        """What an operation that begins now meets."""
        hit = [
            standing.fault
            for standing in self._standing
            if standing.fault.of_operations
            and standing.meet((kind, standing.fault.operation), (subject, standing.fault.path))
        ]
        return hit[0] if hit else None
