"""Branches of a flow that run side by side: all of them end, then the flow reports the most severe failure.

::

    async with run_branches() as start:
        network_id = start(read_spoke_network(config.network))
        images = [start(resolve_image(image)) for image in images]
    resolved = results(images)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

#: The result of a branch, now or later.
Branch: TypeAlias = asyncio.Future[T]

#: Outweighs the severity of every error.
_INTERRUPTED = 1000


class Start(Protocol):
    """Starts a branch."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Branch[T]: ...


@asynccontextmanager
async def run_branches() -> AsyncIterator[Start]:
    """Start branches in the block, and leave it once all of them have ended.

    Unlike ``asyncio.gather``, no failure leaves siblings unawaited. Unlike a ``TaskGroup``, no failure cancels them: an
    image that fails does not stop the certificate's import half way. An interruption does: Prefect's signal to stop
    surfaces in whichever branch happens to run, and the others have seconds to clean up.

    :raises Exception: the failure of the highest severity; the others are in the failed task runs
    """
    branches: list[asyncio.Task[Any]] = []

    def start(work: Coroutine[Any, Any, T]) -> Branch[T]:
        branches.append(branch := asyncio.ensure_future(work))
        return branch

    failures: list[BaseException] = []
    try:
        try:
            yield start
        except Exception as error:  # the block has awaited a branch that failed, for example
            failures.append(error)
        await _all_ended(branches)
    finally:
        for branch in branches:
            branch.cancel()
        outcomes = await asyncio.gather(*branches, return_exceptions=True)
    failures += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise max(failures, key=_severity)


def results(branches: Iterable[Branch[T]]) -> list[T]:
    """What branches that have ended well have returned."""
    return [branch.result() for branch in branches]


def succeeded(branches: Iterable[Branch[T]]) -> list[T]:
    """What those of the branches have returned that ended well; the others are left out."""
    return [branch.result() for branch in branches if branch.done() and not _failed(branch)]


async def _all_ended(branches: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for all, also for those that are started meanwhile; not when one was interrupted."""
    while pending := [branch for branch in branches if not branch.done()]:
        done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        if any(_interrupted(branch) for branch in done):
            return


def _failed(branch: Branch[Any]) -> bool:
    return branch.cancelled() or branch.exception() is not None


def _interrupted(branch: Branch[Any]) -> bool:
    return branch.cancelled() or not isinstance(branch.exception() or Exception(), Exception)


def _severity(failure: BaseException) -> int:
    if isinstance(failure, asyncio.CancelledError):
        return _INTERRUPTED  # what an interruption did to the other branches
    if not isinstance(failure, Exception):
        return _INTERRUPTED + 1
    return int(getattr(failure, "severity", 0))
