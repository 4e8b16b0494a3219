"""Long-running operations: work that continues after the response and that clients poll.

An operation is a coroutine that sleeps on Azure's clock and changes state as it goes; its polls answer with its
status.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sandbox.core.clock import Clock
from sandbox.core.errors import HttpFault, arm_fault
from sandbox.core.faults import Fault, Faults

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Operation:
    """A long-running operation.

    :ivar kind: such as ``deployment``, ``import``, ``scan``
    :ivar subject: the id or name of the resource that it works on
    :ivar status: ``Running``, ``Succeeded``, ``Failed`` or ``Canceled``
    :ivar error: ARM's error object when it failed
    :ivar fault: the kind of the fault that was injected
    """

    id: str
    kind: str
    subject: str
    started: datetime
    status: str = "Running"
    finished: datetime | None = None
    error: dict[str, Any] | None = None
    result: Any = None
    fault: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Operations:
    """All operations since the start, by id.

    :param faults: may fail or hang an operation
    """

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._operations: dict[str, Operation] = {}

    def start(self, kind: str, subject: str, work: Callable[[Operation], Coroutine[Any, Any, Any]]) -> Operation:
        """Start ``work``; its return value becomes the result, an :class:`HttpFault` the error."""
        operation = Operation(id=str(uuid.uuid4()), kind=kind, subject=subject, started=self._clock.now())
        self._operations[operation.id] = operation
        fault = self._faults.of_operation(kind, subject)
        chosen = work if fault is None else partial(self._inject, fault)
        operation.task = asyncio.get_running_loop().create_task(self._run(operation, chosen))
        return operation

    def get(self, operation_id: str) -> Operation | None:
        return self._operations.get(operation_id)

    def all(self) -> list[Operation]:
        return list(self._operations.values())

    def cancel(self, operation: Operation) -> None:
        if operation.task is not None and not operation.task.done():
            operation.task.cancel()

    async def close(self) -> None:
        """Cancel running operations and wait for them."""
        running = [o.task for o in self._operations.values() if o.task is not None and not o.task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _inject(self, fault: Fault, operation: Operation) -> None:
        """Fail or hang, in place of the work."""
        operation.fault = fault.kind
        if fault.kind == "operation-hangs":
            await asyncio.Event().wait()
        await self._clock.sleep(fault.seconds)
        message = fault.message or "The sandbox injected this failure."
        raise arm_fault(409, fault.code or "OperationFailed", message, details=fault.details)

    async def _run(self, operation: Operation, work: Callable[[Operation], Coroutine[Any, Any, Any]]) -> None:
        try:
            operation.result = await work(operation)
            operation.status = "Succeeded"
        except HttpFault as fault:
            operation.status = "Failed"
            operation.error = fault.body.get("error", fault.body)
        except asyncio.CancelledError:
            operation.status = "Canceled"
            raise
        except Exception as error:
            _log.exception("operation %s on %s crashed", operation.kind, operation.subject)
            operation.status = "Failed"
            operation.error = {"code": "InternalServerError", "message": f"Internal error in the sandbox: {error!r}"}
        finally:
            operation.finished = self._clock.now()
