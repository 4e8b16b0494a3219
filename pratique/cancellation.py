"""Work that a cancellation must not cut in half: grants that are being made, and above all their revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pratique.errors import AccessNotRevoked, DrillNotRemoved

T = TypeVar("T")
_NEVER_MISSED = (AccessNotRevoked, DrillNotRemoved)


#: How often work is begun that is cancelled itself.
_ATTEMPTS = 3


async def run_to_completion(work: Callable[[], Coroutine[Any, Any, T]], *, patience: float | None = None) -> T:
    """Carry the work to its end even if whoever waits is cancelled, once or again; then let the cancellation go on.

    ``asyncio.shield`` alone is not enough: its caller would go on at once, and close the connections under the work.

    :param work: begun again when it is cancelled itself: a loop that shuts down does that to every task, and Prefect's
        signal to a run that is cancelled makes it shut down. Not with a ``patience``
    :param patience: seconds that the work has left after a cancellation; ``None`` for as many as it takes
    :raises asyncio.CancelledError: after a cancellation, whatever became of the work
    :raises AccessNotRevoked, DrillNotRemoved: even then: nobody must miss it
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
    if interruption is not None and (task.cancelled() or not isinstance(task.exception(), _NEVER_MISSED)):
        raise interruption
    return task.result()
