"""How the branches of a flow end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pratique.branches import results, run_branches, succeeded
from pratique.errors import AccessNotRevoked, GateBlocked, NotFound, PratiqueError, Unavailable


class Stopped(BaseException):
    """Like Prefect's TerminationSignal, not an Exception."""


async def gives(value: int) -> int:
    return value


async def fails(error: BaseException) -> int:
    raise error


def error(kind: type[PratiqueError]) -> PratiqueError:
    return kind("do", "it", "no.", "again.")


async def run_all(*branches: Coroutine[Any, Any, Any]) -> list[Any]:
    async with run_branches() as start:
        started = [start(branch) for branch in branches]
    return results(started)


async def test_results_come_in_the_order_of_the_branches() -> None:
    """Results have the order of the branches, as with gather."""
    assert await run_all(gives(1), gives(2), gives(3)) == [1, 2, 3]


async def test_branches_wait_for_branches() -> None:
    """A branch can wait for another branch, and start one."""

    async def adds(number: asyncio.Future[int]) -> int:
        return await number + 1

    async with run_branches() as start:
        first = start(gives(1))
        second = start(adds(first))

        async def starts() -> asyncio.Future[int]:
            return start(adds(second))

        third = start(starts())
    assert [second.result(), third.result().result()] == [2, 3]


async def test_a_failure_in_the_block_lets_the_branches_finish() -> None:
    """The branches finish if the block fails, and if it awaits a failed branch."""
    finished = asyncio.Event()

    async def goes_on() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        finished.set()

    async def awaits_what_fails() -> None:
        async with run_branches() as start:
            start(goes_on())
            await start(fails(error(NotFound)))

    with pytest.raises(NotFound):
        await awaits_what_fails()
    assert finished.is_set()


async def test_results_of_succeeded_branches_are_kept() -> None:
    """The results of succeeded branches are available although another branch failed."""
    started: list[asyncio.Future[int]] = []

    async def starts_three() -> None:
        async with run_branches() as start:
            started.extend([start(gives(1)), start(fails(error(NotFound))), start(gives(3))])

    with pytest.raises(NotFound):
        await starts_three()
    assert succeeded(started) == [1, 3]


async def test_a_failure_lets_the_others_finish() -> None:
    """The other branch is neither cancelled nor left unawaited."""
    failed, finished = asyncio.Event(), asyncio.Event()

    async def breaks() -> None:
        failed.set()
        raise error(NotFound)

    async def goes_on() -> None:
        await failed.wait()
        await asyncio.sleep(0)
        finished.set()

    with pytest.raises(NotFound):
        await run_all(breaks(), goes_on())
    assert finished.is_set()


@pytest.mark.parametrize("order", [1, -1])
async def test_the_most_severe_failure_is_raised(order: int) -> None:
    """Unrevoked access is more severe than a blocked gate, which is more severe than a retryable error."""
    kinds = [AccessNotRevoked, GateBlocked, NotFound, Unavailable]
    for first in range(len(kinds)):
        with pytest.raises(kinds[first]):
            await run_all(*[fails(error(kind)) for kind in kinds[first:][::order]])


class Branch:
    """A branch that runs until it is stopped, and then cleans up."""

    def __init__(self) -> None:
        self.started, self.cleaned = asyncio.Event(), asyncio.Event()

    async def run(self) -> int:
        self.started.set()
        try:
            await asyncio.Event().wait()
            return 0
        finally:
            await asyncio.sleep(0)
            self.cleaned.set()


async def test_an_interruption_stops_the_others_and_waits_for_their_cleanup() -> None:
    """A signal in one branch ends the flow at once, after the cleanup of every branch."""
    branch = Branch()
    with pytest.raises(Stopped):
        await run_all(branch.run(), fails(Stopped()))
    assert branch.cleaned.is_set()


async def test_cancelling_the_flow_runs_every_cleanup() -> None:
    """A cancellation from outside waits for the cleanup of every branch."""
    branch = Branch()
    whole = asyncio.ensure_future(run_all(branch.run(), gives(1)))
    await branch.started.wait()
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert branch.cleaned.is_set()
