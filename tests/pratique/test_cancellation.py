"""Work that a cancellation does not interrupt."""

from __future__ import annotations

import asyncio

import pytest

from pratique.cancellation import run_to_completion
from pratique.errors import URGENT, PratiqueError, Unavailable
from tests.pratique.test_errors import subclasses


class Work:
    """Work that starts, waits for permission to continue, and ends."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.started, self.resume, self.done = asyncio.Event(), asyncio.Event(), False
        self._failure = failure

    async def run(self) -> str:
        self.started.set()
        await self.resume.wait()
        self.done = True
        if self._failure is not None:
            raise self._failure
        return "done"


async def _cancelled(work: Work, *, patience: float | None = None) -> asyncio.Task[str]:
    task = asyncio.create_task(run_to_completion(work.run, patience=patience))
    await work.started.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    return task


async def test_without_cancellation() -> None:
    """Without a cancellation the work's result is returned, or its error raised."""
    work = Work()
    work.resume.set()
    assert await run_to_completion(work.run) == "done"
    failing = Work(Unavailable("do", "it", "No.", "Wait."))
    failing.resume.set()
    with pytest.raises(Unavailable):
        await run_to_completion(failing.run)


@pytest.mark.parametrize("failure", [None, Unavailable("do", "it", "No.", "Wait.")])
async def test_cancelled_three_times(failure: Exception | None) -> None:
    """The work ends first, with success or failure; then the cancellation continues."""
    work = Work(failure)
    task = await _cancelled(work)
    assert not task.done()
    work.resume.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.done


@pytest.mark.parametrize("kind", [kind for kind in subclasses(PratiqueError) if kind.severity >= URGENT])
async def test_urgent_errors(kind: type[PratiqueError]) -> None:
    """A cancellation does not hide an urgent error."""
    work = Work(kind("do", "it", "No.", "ACT NOW"))
    task = await _cancelled(work)
    work.resume.set()
    with pytest.raises(kind):
        await task


async def test_patience_ends() -> None:
    """Work with a limited patience is cancelled that long after the cancellation."""
    work = Work()
    task = await _cancelled(work, patience=0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.done


def test_a_loop_that_shuts_down() -> None:
    """A loop that shuts down cancels the work itself, which then starts again and completes."""
    work = Work()

    async def run() -> str:
        if work.started.is_set():
            work.resume.set()
        return await work.run()

    async def main() -> asyncio.Task[str]:
        task = asyncio.create_task(run_to_completion(run))
        await work.started.wait()
        return task

    assert asyncio.run(main()).cancelled()
    assert work.done
