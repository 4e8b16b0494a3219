"""Completes work that a cancellation must not interrupt: granting access and, above all, revoking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pratique.errors import URGENT, PratiqueError

T = TypeVar("T")

#: How often to start work that is itself cancelled.
_ATTEMPTS = 3


async def run_to_completion(work: Callable[[], Coroutine[Any, Any, T]], *, patience: float | None = None) -> T:
    """Complete the work even if the caller is cancelled, once or repeatedly; then continue the cancellation.

    ``asyncio.shield`` alone is not enough: the caller would continue at once, and close the connections that the work
    uses.

    :param work: started again when it is itself cancelled, unless ``patience`` is given. A loop that shuts down cancels
        every task, and Prefect's signal to a cancelled run shuts down the loop
    :param patience: seconds that the work may take after a cancellation; ``None`` for no limit
    :raises asyncio.CancelledError: after a cancellation, unless the work failed with an urgent error
    :raises PratiqueError: even after a cancellation, if its severity is urgent: a person has to act on it
    """
    interruption: asyncio.CancelledError | None = None
    for _ in range(_ATTEMPTS):
        task = asyncio.ensure_future(work())
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as cancelled:
                if interruption is None and patience is not None:
                    asyncio.get_running_loop().call_later(patience, task.cancel)
                interruption = cancelled
        if not task.cancelled() or patience is not None:
            break
    if interruption is not None and (task.cancelled() or not _urgent(task.exception())):
        raise interruption
    return task.result()


def _urgent(error: BaseException | None) -> bool:
    return isinstance(error, PratiqueError) and error.severity >= URGENT
