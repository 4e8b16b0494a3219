"""Work that a cancellation does not cut in half."""

from __future__ import annotations

import asyncio

import pytest

from pratique.cancellation import run_to_completion
from pratique.errors import AccessNotRevoked, Unavailable


class Gate:
    """Work that begins, waits to be let through, and ends."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun, self.open, self.done = asyncio.Event(), asyncio.Event(), False
        self._failure = failure

    async def work(self) -> str:
        self.begun.set()
        await self.open.wait()
        self.done = True
        if self._failure is not None:
            raise self._failure
        return "done"


async def _cancelled(gate: Gate, *, patience: float | None = None) -> asyncio.Task[str]:
    task = asyncio.create_task(run_to_completion(gate.work, patience=patience))
    await gate.begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    return task


async def test_left_alone() -> None:
    """It is the work's own result, or its own failure."""
    gate = Gate()
    gate.open.set()
    assert await run_to_completion(gate.work) == "done"
    failing = Gate(Unavailable("do", "it", "No.", "Wait."))
    failing.open.set()
    with pytest.raises(Unavailable):
        await run_to_completion(failing.work)


@pytest.mark.parametrize("failure", [None, Unavailable("do", "it", "No.", "Wait.")])
async def test_cancelled_three_times(failure: Exception | None) -> None:
    """The work ends first, however; then the cancellation goes on."""
    gate = Gate(failure)
    task = await _cancelled(gate)
    assert not task.done()
    gate.open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.done


async def test_access_that_stands_is_louder() -> None:
    """A cancellation does not hide it."""
    gate = Gate(AccessNotRevoked("do", "it", "No.", "ACT NOW"))
    task = await _cancelled(gate)
    gate.open.set()
    with pytest.raises(AccessNotRevoked):
        await task


async def test_patience_ends() -> None:
    """Work that may be given up is, some time after the cancellation."""
    gate = Gate()
    task = await _cancelled(gate, patience=0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not gate.done


def test_a_loop_that_shuts_down() -> None:
    """It cancels the work itself, which is then begun again and comes to its end."""
    gate = Gate()

    async def work() -> str:
        if gate.begun.is_set():
            gate.open.set()
        return await gate.work()

    async def main() -> asyncio.Task[str]:
        task = asyncio.create_task(run_to_completion(work))
        await gate.begun.wait()
        return task

    assert asyncio.run(main()).cancelled()
    assert gate.done
