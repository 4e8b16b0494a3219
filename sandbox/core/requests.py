"""The request log: who requested what, under which RBAC action, and with what result."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sandbox.core.clock import Clock


@dataclass(slots=True, kw_only=True)
class Request:
    """One request as the control API shows it.

    :ivar action: RBAC action or data action
    :ivar fault: the kind of the fault that was injected
    :ivar status: 0 while there is no response, and when there never was one
    :ivar milliseconds: real time until the response
    """

    number: int
    at: str
    method: str
    host: str
    path: str
    query: str
    client: str
    service: str | None = None
    operation: str | None = None
    action: str | None = None
    scope: str | None = None
    principal: str | None = None
    fault: str | None = None
    status: int = 0
    milliseconds: float = 0.0

    def document(self) -> dict[str, Any]:
        return asdict(self)


class RequestLog:
    """The most recent requests, numbered from 1."""

    def __init__(self, clock: Clock, keep: int = 100_000) -> None:
        self._clock = clock
        self._requests: deque[Request] = deque(maxlen=keep)
        self._number = 0

    def begin(self, method: str, host: str, path: str, query: str, client: str) -> Request:
        self._number += 1
        entry = Request(
            number=self._number,
            at=self._clock.now().isoformat(),
            method=method,
            host=host,
            path=path,
            query=query,
            client=client,
        )
        self._requests.append(entry)
        return entry

    def since(self, number: int = 0) -> list[Request]:
        """Requests after ``number``."""
        newer = min(len(self._requests), max(0, self._number - number))
        return list(islice(self._requests, len(self._requests) - newer, None))
