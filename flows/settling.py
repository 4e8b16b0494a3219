"""Waiting for several branches of a flow: all of them end, then the gravest failure is the flow's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from pratique.errors import AccessNotRevoked, GateBlocked, LiveImagesAtRisk, LiveImagesUnexplained, PermanentError

T = TypeVar("T")
_GRAVEST_FIRST = (AccessNotRevoked, GateBlocked, LiveImagesUnexplained, LiveImagesAtRisk, PermanentError)


async def settled(*branches: Awaitable[T]) -> list[T]:
    """Run the branches side by side and let each come to its own end.

    Unlike ``asyncio.gather`` no failure leaves siblings unawaited, and unlike a ``TaskGroup`` none cancels them: an
    image that fails does not stop the certificate's import half way. An interruption does: Prefect's signal to stop
    surfaces in whichever branch happens to run, and the others have seconds to clean up.

    :raises Exception: of the failures the gravest; the others are in the failed task runs
    """
    tasks = [asyncio.ensure_future(branch) for branch in branches]
    try:
        pending: set[asyncio.Future[T]] = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            if any(_interrupted(task) for task in done):
                break
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise min(failures, key=_gravity)
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _interrupted(task: asyncio.Future[Any]) -> bool:
    return task.cancelled() or not isinstance(task.exception() or Exception(), Exception)


def _gravity(failure: BaseException) -> int:
    if isinstance(failure, asyncio.CancelledError):
        return -1  # what the interruption below did to the other branches
    if not isinstance(failure, Exception):
        return -2
    return next((rank for rank, kind in enumerate(_GRAVEST_FIRST) if isinstance(failure, kind)), len(_GRAVEST_FIRST))
