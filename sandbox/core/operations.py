"""Long-running operations: work that goes on after the answer, and that clients poll.

An operation is a coroutine that sleeps on Azure's clock and changes state as it goes; how it ends is what its poll
answers.
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


@dataclass
class Operation:
    """One piece of work.

    :ivar kind: what it is, such as ``deployment``, ``import``, ``scan``
    :ivar subject: what it works on
    :ivar status: ``Running``, ``Succeeded``, ``Failed`` or ``Canceled``
    :ivar error: ARM's error object when it failed
    :ivar fault: the kind of the fault that was put in its way
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

    :param faults: may keep an operation from its work
    """

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._clock = clock
        self._faults = faults
        self._operations: dict[str, Operation] = {}

    def start(self, kind: str, subject: str, work: Callable[[Operation], Coroutine[Any, Any, Any]]) -> Operation:
        """Begin ``work``; its return value becomes the result, an :class:`HttpFault` its failure."""
        operation = Operation(str(uuid.uuid4()), kind, subject, self._clock.now())
        self._operations[operation.id] = operation
        fault = self._faults.of_operation(kind, subject)
        chosen = work if fault is None else partial(self._thwart, fault)
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
        """Cancel what still runs and wait for it."""
        running = [o.task for o in self._operations.values() if o.task is not None and not o.task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _thwart(self, fault: Fault, operation: Operation) -> None:
        """In place of the work: fail, or go on for ever."""
        operation.fault = fault.kind
        if fault.kind == "operation-hangs":
            await asyncio.Event().wait()
        await self._clock.sleep(fault.seconds)
        message = fault.message or "The operation failed, as a fault of the sandbox asked."
        raise arm_fault(409, fault.code or "OperationFailed", message)

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
            _log.exception("operation %s of %s broke", operation.kind, operation.subject)
            operation.status = "Failed"
            operation.error = {"code": "InternalServerError", "message": f"The sandbox broke: {error!r}"}
        finally:
            operation.finished = self._clock.now()
