"""Runs branches of a flow concurrently; when all of them have ended, the most severe failure is raised.

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

#: Higher than the severity of any error.
_INTERRUPTED = 1000


class Start(Protocol):
    """Starts a branch."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> Branch[T]: ...


@asynccontextmanager
async def run_branches() -> AsyncIterator[Start]:
    """Start branches in the block, and leave it when all of them have ended.

    Unlike with ``asyncio.gather``, a failure does not leave other branches unawaited. Unlike with a ``TaskGroup``, it
    does not cancel them: a failed image does not stop the certificate's import halfway. An interruption cancels them:
    Prefect's signal to stop surfaces in an arbitrary branch, and the others have seconds to clean up.

    :raises Exception: the most severe failure; the others are in the failed task runs
    """
    branches: list[asyncio.Task[Any]] = []

    def start(work: Coroutine[Any, Any, T]) -> Branch[T]:
        branches.append(branch := asyncio.ensure_future(work))
        return branch

    failures: list[BaseException] = []
    try:
        try:
            yield start
        except Exception as error:  # for example of a failed branch that the block has awaited
            failures.append(error)
        await _wait(branches)
    finally:
        for branch in branches:
            branch.cancel()
        outcomes = await asyncio.gather(*branches, return_exceptions=True)
    failures += [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failures:
        raise max(failures, key=_severity)


def results(branches: Iterable[Branch[T]]) -> list[T]:
    """The results of branches that have all succeeded."""
    return [branch.result() for branch in branches]


def succeeded(branches: Iterable[Branch[T]]) -> list[T]:
    """The results of the branches that have succeeded."""
    return [branch.result() for branch in branches if branch.done() and not _failed(branch)]


async def _wait(branches: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for all branches, including those started meanwhile, or until one is interrupted."""
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
        return _INTERRUPTED  # a branch that was cancelled because of the interruption
    if not isinstance(failure, Exception):
        return _INTERRUPTED + 1
    return int(getattr(failure, "severity", 0))
